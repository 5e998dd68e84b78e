"""What the stages keep in Redis: claims, first answers, caches and the takedown list."""

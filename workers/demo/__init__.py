"""What the demo needs at run time: rendered scenes, a noisy crawl of them, small models."""

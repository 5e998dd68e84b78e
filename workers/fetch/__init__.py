"""Gets images from web servers nobody vouches for."""

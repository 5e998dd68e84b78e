"""Gets pictures from web servers nobody vouches for."""

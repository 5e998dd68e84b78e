"""What the metadata of an image file says."""

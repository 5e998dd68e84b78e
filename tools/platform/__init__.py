"""What `make platform` tries: the chart on an API server and on a node, and the images."""

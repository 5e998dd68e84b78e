"""Makes training batches of any stream of samples."""

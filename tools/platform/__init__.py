"""A Kubernetes API server on this machine, which judges what the chart renders: `make platform`."""

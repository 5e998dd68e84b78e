"""Training of the demo's small models; one documented command each."""

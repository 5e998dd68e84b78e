"""The embedded demo: rendered scenes, small models trained on them, the demo run."""

"""The pipeline: runtime, stages, models, stores and the command."""

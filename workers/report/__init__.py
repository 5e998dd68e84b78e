"""What people read about a pipeline: the report, the state of its stages, the life of one pair."""

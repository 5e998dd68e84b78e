"""Where a dataset comes from: its counters added up, told to people and to other programs."""

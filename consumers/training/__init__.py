"""`TrainingBatches`: any stream of samples as batches for training."""

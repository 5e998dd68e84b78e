"""`ShardStream`: the shards of a dataset as a stream of samples."""

"""What a dataset below a prefix is: keys, manifests, chains, shards, tables, takedowns."""

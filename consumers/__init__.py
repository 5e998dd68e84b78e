"""How pairs get out: topics, shards, and what training makes of them."""

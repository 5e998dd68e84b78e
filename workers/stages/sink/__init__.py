"""The sink: writes aligned pairs as shards, each committed by exactly one manifest."""

"""The engine: runs one stage over Kafka with exactly-once delivery. Knows no stage."""

"""Sends messages to Kafka and reports what became of each."""

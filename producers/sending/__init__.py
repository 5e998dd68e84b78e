"""Gives records to Kafka and tells what became of each."""

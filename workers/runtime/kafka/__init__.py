"""All of the engine that speaks to Kafka."""

"""All that constructs a Kafka client or touches the library."""

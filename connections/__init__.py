"""How every side reaches its servers: settings, TLS, tokens, Kafka clients."""

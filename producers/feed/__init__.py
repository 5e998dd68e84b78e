"""Publishes a source in transactions that also record how far it is published."""

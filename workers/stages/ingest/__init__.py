"""Ingest: gets, decodes, deduplicates and stores each image."""

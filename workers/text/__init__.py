"""Cleaning of alt texts, detection of their language, and places where a text may be cut."""

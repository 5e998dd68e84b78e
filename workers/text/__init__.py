"""Cleaning, language and clause boundaries of texts."""

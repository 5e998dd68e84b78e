"""Scorers: each module with a `build` is one. The other modules help models and stages."""

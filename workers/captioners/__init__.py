"""Captioners: each module with a `build` is one. Modules with a leading underscore help them."""

"""Checks of captions: each module with a `build` is one."""

"""Programs for this project's own developers; not in the wheel."""

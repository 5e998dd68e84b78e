"""Programs for the developers of this project. They are not in the wheel."""

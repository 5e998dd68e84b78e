"""The whole pipeline on one machine, over a file of the user's."""

"""Everything that uses kafka-python: no other package imports the library."""

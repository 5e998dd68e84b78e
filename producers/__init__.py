"""How pairs get in: the publisher, and the sources it can be fed from."""

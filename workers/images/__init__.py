"""Getting, decoding and hashing pictures nobody vouches for."""

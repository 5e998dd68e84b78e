"""All that speaks to Redis or to the object store."""

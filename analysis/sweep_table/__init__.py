"""Records read from a sweep's storage into one table, and the front of it."""

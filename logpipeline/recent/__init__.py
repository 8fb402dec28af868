"""Recent: the newest events, in Redis."""

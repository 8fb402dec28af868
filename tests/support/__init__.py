"""Support: what the tests share."""

"""Chaos: everything under load dies, freezes and fills up, and verify.py decides."""

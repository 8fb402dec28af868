"""Alerts: the rules, what is open, and who is notified."""

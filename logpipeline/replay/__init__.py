"""Replay: sends dead letters and rotated files to Kafka again, once."""

"""Replay: dead letters and rotated files, sent to Kafka again, once."""

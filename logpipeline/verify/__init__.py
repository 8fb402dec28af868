"""Verify: whether Kafka, logs.txt and Redis agree."""

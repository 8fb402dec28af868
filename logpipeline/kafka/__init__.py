"""Kafka: connecting, authenticating, sending and fetching; all use of kafka-python's internals."""

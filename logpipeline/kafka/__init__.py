"""Kafka: connect, authenticate, send and fetch; all that touches kafka-python's private parts."""

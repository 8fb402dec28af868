"""Collector: HTTP, OpenTelemetry, Loki, Elasticsearch's bulk and syslog → Kafka."""

"""Producer: log files, the simulator, and the logging handler, into Kafka."""

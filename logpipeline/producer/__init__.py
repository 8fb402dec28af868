"""Producer: sends log files, simulated events and a program's own logs to Kafka."""

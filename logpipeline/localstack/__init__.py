"""Local stack: real Kafka and real Redis without Docker, and the programs that use them."""

"""Supply: the lock files, and known vulnerabilities of what they pin."""

"""Supply: the lock files, and known vulnerabilities of the pinned packages."""

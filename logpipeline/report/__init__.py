"""Report: trends of the archive as one HTML page, and SQL."""

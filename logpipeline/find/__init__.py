"""Find: searches everything that was ever archived."""

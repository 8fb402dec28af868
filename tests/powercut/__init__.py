"""Power cut: every state that one may leave on disk, recovered by the real code and compared."""

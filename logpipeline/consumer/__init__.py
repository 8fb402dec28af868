"""Consumer: one batch in four steps: dead letters, archive, Redis, commit."""

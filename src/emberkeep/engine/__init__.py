"""The repository: deduplicated, compressed, encrypted backups in an object store."""

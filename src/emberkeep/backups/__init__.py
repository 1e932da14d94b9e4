"""The rules of backups: states, parents, placement in a zone, quota, records."""

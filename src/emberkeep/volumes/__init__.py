"""Volumes: what backups may know of them, and those that Emberkeep keeps itself."""

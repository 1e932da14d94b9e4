"""The v3 API: requests become calls of `backups` and `volumes`, results become JSON."""

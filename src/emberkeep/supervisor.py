"""Emberkeep of one process tree: an API and a worker process under one parent."""

"""Durable work: enqueued in the caller's transaction, claimed by a worker for a lease."""

"""Handlers: one module a resource; each turns a `Call` into calls of the services and a `Reply`."""

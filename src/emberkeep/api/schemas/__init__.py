"""Schemas of request bodies, one module a resource.  See `validation`."""

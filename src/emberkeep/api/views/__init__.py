"""Views: rows as JSON documents, one module a resource.  Pure functions of their arguments."""

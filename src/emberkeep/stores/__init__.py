"""Object stores: where repositories keep their objects."""

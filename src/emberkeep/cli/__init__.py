"""The `emberkeep` command."""

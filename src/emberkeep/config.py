"""Configuration: `emberkeep.conf`, read once and handed down as values."""

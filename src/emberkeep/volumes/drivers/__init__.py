"""Volume drivers: the bytes of volumes as the engine's Source and Target."""

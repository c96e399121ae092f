"""Pages drawn to measure reading order: what stands on them, where, and in which order it is read."""

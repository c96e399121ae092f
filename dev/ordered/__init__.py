"""Synthetic pages to measure reading order: their text, its positions, and the order in which it is read."""

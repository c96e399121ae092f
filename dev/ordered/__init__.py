"""Synthetic pages to measure reading order: with their text, positions and reading order."""

"""Data sets as tasks: sequences of conversations with their pictures."""

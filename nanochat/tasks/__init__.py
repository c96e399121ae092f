"""Datasets as tasks: sequences of conversations with their images."""

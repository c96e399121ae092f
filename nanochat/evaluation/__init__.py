"""Evaluation: how well documents are read, and reports of it."""

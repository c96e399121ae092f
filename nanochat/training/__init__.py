"""Training: one loop for both stages, and what it needs."""

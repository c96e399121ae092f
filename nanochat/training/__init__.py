"""Training: one loop for both stages, with optimizers, validation, checkpoints and fine-tuning."""

"""Benchmarks of training, reading and data loading, relative to the limits of this machine."""

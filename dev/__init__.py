"""Tools of those who develop this project: benchmarks, galleries, plots. Not part of what is installed."""

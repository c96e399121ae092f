"""Developer tools: benchmarks, galleries, plots. They are not part of the installed package."""

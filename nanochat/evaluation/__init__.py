"""Evaluation: error rates, comparison with other OCR systems, and reports."""

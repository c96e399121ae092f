"""Export to ONNX graphs, and their simplification."""

from nanochat.onnx_export.export import export_lines, export_onnx

__all__ = ["export_lines", "export_onnx"]

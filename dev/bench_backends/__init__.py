"""PyTorch and ONNX Runtime compared, see `__main__.py`."""

"""Networks described in tables: weights without a graph become ONNX, checked against PyTorch."""

"""ONNX graphs: read, brought to one form, and run."""

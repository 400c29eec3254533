"""ONNX graphs: read them, bring them to one form, and run them."""

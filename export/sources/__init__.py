"""Reads a trained face encoder in any supported form, and converts it to a plain ONNX model."""

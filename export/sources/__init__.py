"""Reads a trained face encoder, in any supported form, as one plain ONNX model."""

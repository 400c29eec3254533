"""Checks whether a quantized ONNX file is legal for TensorRT, and which layers run in int8."""

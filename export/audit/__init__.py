"""Whether a quantized ONNX file is legal for TensorRT, and how it will be read."""

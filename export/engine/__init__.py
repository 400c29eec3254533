"""TensorRT engines, built and proven on the device; this folder does not need the onnx package."""

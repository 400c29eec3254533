"""TensorRT engines, built and proven on the device; nothing here needs the onnx package."""

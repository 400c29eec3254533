"""A trained face encoder, in whatever form it comes, as one plain ONNX model."""

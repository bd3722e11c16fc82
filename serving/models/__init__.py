"""What is served: an artifact, an ONNX file, a user's code."""

"""Rules that write ONNX operators as simpler ONNX operators, where TVM's front end has no way for them."""

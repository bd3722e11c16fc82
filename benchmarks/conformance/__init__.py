"""How much of ONNX compiles."""

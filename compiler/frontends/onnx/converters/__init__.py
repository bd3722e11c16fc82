"""Operators that TVM's ONNX front end converts in another way, or not at all."""

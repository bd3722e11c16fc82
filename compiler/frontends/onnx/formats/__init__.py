"""ONNX files in other numbers than float32 (quantised, float16, bfloat16), written in float32."""

"""Serves an artifact or an ONNX model over HTTP, in one process.

backends   what runs a model: ONNX Runtime (`ort`) or a compiled artifact
protocol   request body -> arrays, arrays -> answer body (`npy` reads the binary ones)
pool       worker threads, each with its own backend
app        the ASGI application; metrics: what it counts
server     bind, load, warm up, listen, drain
"""

"""Serves an artifact, an ONNX model or user code over HTTP.

backends   what runs a model: ONNX Runtime (`ort`) or a compiled artifact
user_code  a folder with an inference.py as for SageMaker's toolkit (what it leaves out: `user_defaults`)
body       request bodies: collected, unpacked, limited
protocol   POST /invocations: body -> arrays, arrays -> answer (`npy` reads the binary ones)
oip        the same for the Open Inference Protocol of KServe and Triton
openapi    what it answers to, at /openapi.json
answer     what these share: one call, one answer
pool       worker threads, each with its own backend
batching   requests that wait together, run together (`batch_check`: for which models, by what
           `independence` finds proved)
app        the ASGI application; metrics: what it counts
server     bind, load, warm up, listen, drain (settings: how)
connection one client: how long it may take
processes  several worker processes behind one socket: started, replaced, ended; `worker` is one of them,
           `shares` the cores of each, `board` what they tell one another, `acceptor` takes connections
"""

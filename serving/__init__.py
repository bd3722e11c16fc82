"""Serves models over HTTP: artifacts, ONNX files, user code. Each folder imports only those below it.

server      chooses: one process, or several that another one watches (`settings`: how)
process     one process (`host`), how it is started (`launch`), who watches it (`supervisor`)
web         the ASGI application; connections: what a client may send, and how long it may take
protocols   SageMaker's invocations, the Open Inference Protocol: their paths, their requests, OpenAPI
dispatch    models by name (`shelf`), each with its worker threads, its queue, and what joins requests
models      what is served, behind one contract (`base`); `loader` chooses the implementation
meters      what the processes of a server tell one another; metrics
wire        bytes to tensors, tensors to bytes
"""

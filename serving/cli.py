"""`dyno serve`."""

from __future__ import annotations

import click

from modeldyno.base.command.renamed import RenamingCommand
from modeldyno.base.flags import flags_of
from modeldyno.serving.settings import ServeSettings


@click.command("serve", cls=RenamingCommand)
@flags_of(ServeSettings, "settings")
def serve_command(settings: ServeSettings) -> None:
    """Serve an artifact, an ONNX model or user code over HTTP.

    PATH is an artifact folder; an .onnx file, which runs in ONNX Runtime; or a folder with an inference.py in
    the shape of SageMaker's toolkit (model_fn, input_fn, predict_fn, output_fn), whose code is run: serve
    your own. GET /ping answers 200 once the model is ready; POST /invocations takes JSON, x-npy, x-npz or raw
    bytes; /v2 speaks the Open Inference Protocol of KServe and Triton; boto3's sagemaker-runtime finds the
    endpoint NAME at /endpoints/NAME/invocations. SIGTERM, SIGHUP and Ctrl-C answer what
    was accepted, then end.

    A worker hangs when it runs a request for twice --deadline-ms, and 5 s beyond it at least: with
    --processes its process is replaced; else another thread takes its place, up to four times, and then the
    server ends with exit code 2. Without --deadline-ms nothing is taken to hang. /ping answers 503 while no
    worker takes requests.

    \b
    Example:
        dyno serve artifact --port 8080 --processes 4

    Exit codes: 0 ended by a signal, with all answered; 2 bad input, or the server could not go on.
    """
    from modeldyno.serving.server import serve

    serve(settings)

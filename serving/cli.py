"""`dyno serve`."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command.outputs import OutputFile
from modeldyno.base.errors import ConfigError
from modeldyno.base.host.cores import parse_cores


def _sizes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in (value or "").split(",") if value)
    except ValueError as error:
        raise ConfigError(
            f"--preferred-batch {value}: expected numbers of rows with commas, e.g. 4,8"
        ) from error


@click.command("serve")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="TCP port; 0 takes a free one.",
)
@click.option(
    "--port-file",
    type=OutputFile(),
    help="File that gets the port number once the server listens (default: none).",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Threads inside one inference (default: cores of a process divided by its workers).",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Inferences that may run side by side in each process.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Server processes behind the port, each with its share of the cores; one that dies is replaced.",
)
@click.option(
    "--model-name",
    default="model",
    show_default=True,
    help="Name in /v2/models/NAME: letters, digits, dots, dashes and underscores.",
)
@click.option("--cpus", callback=parse_cores, help="Cores to stay on, e.g. 0,1 (default: all usable ones).")
@click.option(
    "--max-body-mib",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Largest request body, in MiB; the unpacked size too.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    help="Requests that may wait for a worker, in each process; one more is answered 503.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Rows that requests which wait together may be joined to in one inference; 1 joins none.",
)
@click.option(
    "--batch-delay-ms",
    type=click.FloatRange(0, 10_000),
    default=0.0,
    show_default=True,
    help="How long a request may wait for others to join; with 0 it waits only for a free worker.",
)
@click.option(
    "--preferred-batch",
    callback=_sizes,
    help="Rows that joined requests should make, e.g. 4,8 (default: what the artifact prefers, if it does).",
)
@click.option(
    "--rows-independent",
    is_flag=True,
    help="Join requests where nothing proves, nor refutes, that no row of a batch depends on another.",
)
@click.option(
    "--timeout-ms",
    type=click.FloatRange(0, min_open=True),
    help="A request without an answer by then is answered 504; a worker that then hangs on is replaced "
    "(default: none).",
)
@click.option(
    "--client-timeout-s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="How long a client may take to send a request (then it is answered 408), or to read its answer.",
)
def serve_command(
    *,
    path: Path,
    host: str,
    port: int,
    port_file: Path | None,
    threads: int | None,
    workers: int,
    processes: int,
    model_name: str,
    cpus: tuple[int, ...] | None,
    max_body_mib: int,
    max_waiting: int,
    max_batch: int,
    batch_delay_ms: float,
    preferred_batch: tuple[int, ...],
    rows_independent: bool,
    timeout_ms: float | None,
    client_timeout_s: float,
) -> None:
    """Serve an artifact, an ONNX model or user code over HTTP.

    PATH is an artifact folder; an .onnx file, which runs in ONNX Runtime; or a folder with an inference.py in
    the shape of SageMaker's toolkit (model_fn, input_fn, predict_fn, output_fn), whose code is run: serve
    your own. GET /ping answers 200 once the model is ready; POST /invocations takes JSON, x-npy, x-npz or raw
    bytes; /v2 speaks the Open Inference Protocol of KServe and Triton. SIGTERM, SIGHUP and Ctrl-C answer what
    was accepted, then end.

    A worker hangs when it runs a request for twice --timeout-ms, and 5 s beyond it at least: with --processes
    its process is replaced; else another thread takes its place, up to four times, and then the server ends
    with exit code 2. Without --timeout-ms nothing is taken to hang. /ping answers 503 while no worker takes
    requests.
    """
    from modeldyno.serving.server import serve
    from modeldyno.serving.settings import ServeSettings

    serve(
        ServeSettings(
            path=path,
            host=host,
            port=port,
            port_file=port_file,
            threads=threads,
            workers=workers,
            processes=processes,
            model_name=model_name,
            cpus=cpus,
            max_body_mib=max_body_mib,
            max_waiting=max_waiting,
            max_batch=max_batch,
            batch_delay_ms=batch_delay_ms,
            preferred_batch=preferred_batch,
            rows_independent=rows_independent,
            timeout_ms=timeout_ms,
            client_timeout_s=client_timeout_s,
        )
    )

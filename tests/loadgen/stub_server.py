"""A small HTTP server with a known service time, run as a process: `python stub_server.py PORT_FILE ...`.

POST /invocations sleeps, then answers as `--cycle` says for the request's number. Times are counted from the
first POST. GET /ping and GET /v2/models/model answer at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from modeldyno.base.files import write_text
from modeldyno.base.process.procs import end_with_parent

METADATA = json.dumps(
    {
        "name": "model",
        "platform": "stub",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
    }
).encode()


class Stub:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cycle: list[str] = options.cycle.split(",")
        self.requests = 0
        self.lock = asyncio.Lock()
        self.first_s: float | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.answer(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        await reader.readexactly(int(fields.get("content-length", 0)))
        if method == "GET":
            known = {"/ping": b"", "/v2/models/model": METADATA}
            writer.write(reply(200, known[path]) if path in known else reply(404, b""))
            return True
        if path != "/invocations":
            writer.write(reply(200, b"elsewhere"))
            return True
        return await self.invoke(writer)

    async def invoke(self, writer: asyncio.StreamWriter) -> bool:
        kind = self.cycle[self.requests % len(self.cycle)]
        self.requests += 1
        if self.options.one_at_a_time:
            async with self.lock:
                await asyncio.sleep(self.service_s())
        else:
            await asyncio.sleep(self.service_s())
        if kind == "hang":
            await asyncio.sleep(60)
        if kind == "cut":
            writer.write(reply(200, b"0123456789")[:-5])
            return False
        statuses = {"ok": 200, "fail": 500, "move": 307, "see": 303, "reject": 400}
        good = self.options.body.encode().decode("unicode_escape").encode()
        body = good if kind == "ok" else f"this is a {kind}".encode()
        writer.write(reply(statuses[kind], body, self.options.location))
        return True

    def service_s(self) -> float:
        now_s = asyncio.get_running_loop().time()
        if self.first_s is None:
            self.first_s = now_s
        since_s, usual_s = now_s - self.first_s, float(self.options.service_ms) / 1000
        if since_s < self.options.slow_until_s:
            return float(self.options.slow_ms) / 1000
        stall_s: float = self.options.stall_at_s
        if stall_s <= since_s < stall_s + 1:
            return stall_s + 1 - since_s + usual_s
        return usual_s


def reply(status: int, body: bytes, location: str = "/ping") -> bytes:
    head = f"HTTP/1.1 {status} Stub\r\nlocation: {location}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("port_file", type=Path)
    parser.add_argument("--service-ms", type=float, default=5.0)
    parser.add_argument("--slow-until-s", type=float, default=0.0)
    parser.add_argument("--slow-ms", type=float, default=0.0)
    parser.add_argument("--stall-at-s", type=float, default=1e9, help="everything waits for one second then")
    parser.add_argument("--cycle", default="ok")
    parser.add_argument("--body", default="0123456789", help="of good answers, with Python's escapes")
    parser.add_argument("--location", default="/ping", help="where redirects lead")
    parser.add_argument("--one-at-a-time", action="store_true", help="requests wait for each other")
    return parser.parse_args()


async def main() -> None:
    chosen = options()
    server = await asyncio.start_server(Stub(chosen).serve, "127.0.0.1", 0, backlog=1024)
    write_text(chosen.port_file, str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(main())

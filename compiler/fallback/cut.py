"""Compiling what can be compiled, and keeping the rest as ONNX segments that run in ONNX Runtime.

The whole model is tried first. Where that fails, each operator that fails by itself is set aside and the
graph is cut into segments; a compiled segment that fails all the same, or whose results differ from the
source model's, gives up the operators that are to blame, and the graph is cut again.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from modeldyno.base.errors import CompileError, ConfigError, ParityError
from modeldyno.compiler.artifact.outputs import check_output
from modeldyno.compiler.check.sample_runs import first_feeds
from modeldyno.compiler.fallback.blame import culprits
from modeldyno.compiler.fallback.coverage import check_least, coverage
from modeldyno.compiler.fallback.partition import Part, partition
from modeldyno.compiler.fallback.probe import Probe, short_reason
from modeldyno.compiler.fallback.write import Pieces, write_segments
from modeldyno.compiler.frontends.onnx.part import part_source
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.inner_values import values_of
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.whole import compile_whole
from modeldyno.runtime.records.manifest import Manifest

# A segment that fails although each of its operators compiles alone is searched by halves for the first
# operator that it fails with; after so many searches the whole of it is set aside.
_SEARCHES = 4
_ATTEMPTS = 3  # each on inputs of another kind
Places = tuple[int, ...]
_Built = tuple[Path, Manifest]


def compile_with_fallback(request: CompileRequest, output: Path) -> Manifest:
    """Compile as much of an ONNX model as can be, with the rest in segments for ONNX Runtime.

    Raises:
        ConfigError: the model is no ONNX model, or the target no processor.
        CoverageError: less is compiled than `options.min_compiled`.
        ParityError: the outputs of all segments together differ from the source model's.
        OutputError: the folder can't be written.
    """
    graph = _checked_graph(request)
    check_output(output)
    work = _Work(request, graph)
    began = time.perf_counter()
    first: CompileError | None = None
    if graph.takes_and_gives_numbers():
        try:
            return compile_whole(request, output)
        except CompileError as error:
            first = error
    request.watch.stage("partition")
    if isinstance(first, ParityError):
        work.look_at(first.feeds)
    work.set_aside(first)
    # The least share is asked for before hours of tuning, and again of what then came out.
    check_least(request, coverage(graph, work.parts(), work.shapes))
    for attempt in range(_ATTEMPTS):
        try:
            return _in_segments(work, output, began)
        except ParityError as error:
            # Inputs of a kind that the segments were not checked on: once more, each on these.
            if error.feeds is None or attempt == _ATTEMPTS - 1:
                raise
            work.look_at(error.feeds)
    raise AssertionError("the last attempt raises or returns")


def _in_segments(work: _Work, output: Path, began: float) -> Manifest:
    """Compile the segments and write the artifact of all of them."""
    request, graph = work.request, work.graph
    with tempfile.TemporaryDirectory(prefix="dyno-segments-") as folder:
        parts = work.compiled_parts(Path(folder))
        found = coverage(graph, parts, work.shapes)
        check_least(request, found)
        built = [(part, work.ready.get(part.places)) for part in parts]
        pieces = Pieces(graph, built, work.why, work.shapes, found)
        return write_segments(
            request, pieces, output, partition_s=time.perf_counter() - began - work.useful_s
        )


def _checked_graph(request: CompileRequest) -> OnnxGraph:
    source, target, graph = request.source, request.target, request.graph
    if graph is None:
        raise ConfigError(
            f"{source.name}: `fallback` runs parts of ONNX models",
            field="fallback",
            hint="export this one to ONNX (torch.onnx.export), and compile that",
        )
    if target.kind != "llvm":
        raise ConfigError(
            f"`fallback` is for processors: {target.name} is none",
            field="fallback",
            hint="leave it out, or choose one",
        )
    return graph


@dataclass
class _Work:
    """What is known so far: which nodes are set aside and why, and which segments are compiled."""

    request: CompileRequest
    graph: OnnxGraph
    why: dict[int, str] = field(default_factory=dict)
    ready: dict[Places, _Built] = field(default_factory=dict)
    useful_s: float = 0.0
    searches: int = 0
    feeds: dict[str, Array] | None = None

    def __post_init__(self) -> None:
        self.source = self.request.source
        self.plain = replace(self.request.options, fallback=None, min_compiled=None)
        self.probe = Probe(self.request, self.graph)
        self.before = [self.graph.before(place) for place in range(len(self.graph.nodes))]
        self._values: dict[str, Array] = {}
        self._failed: dict[Places, CompileError] = {}

    def look_at(self, feeds: dict[str, Array] | None) -> None:
        """Check segments on what flows between them on these inputs; ready ones are compiled anew."""
        self.feeds = feeds
        self.ready.clear()
        self._values.clear()

    def set_aside(self, error: CompileError | None) -> None:
        """Set aside the nodes that fail alone, or that read or give what compiled code can't hold."""
        places = range(len(self.graph.nodes))
        self.why = {place: why for place in places if (why := self.graph.why_foreign(place))}
        if not isinstance(error, ParityError):
            self.why |= culprits(self.graph, self.probe, error.stage if error else "import")
        if error is not None and not self.why:
            self._failed[tuple(places)] = error

    def parts(self) -> list[Part]:
        """Cut the graph by what is known now."""
        return partition(self.before, self.why)

    def compiled_parts(self, folder: Path) -> list[Part]:
        """Compile the segments that are to be; set nodes aside until all that are left do."""
        while True:
            parts = self.parts()
            open_ = [part for part in parts if part.compiled and part.places not in self.ready]
            if not open_:
                return parts
            number = sum(part.compiled for part in parts) - len(open_) + 1
            for part in open_:
                label = f"segment {number} of {sum(part.compiled for part in parts)}: "
                label += f"{len(part.places)} operators"
                error = self._failed.pop(part.places, None) or self._try(part.places, folder, label)
                if error is not None:
                    self.request.watch.stage(f"{label} failed: {short_reason(error)}")
                    self._blame(part.places, error, folder)
                    break
                number += 1

    def _try(self, places: Places, folder: Path, label: str) -> CompileError | None:
        """Compile nodes as a segment; give what went wrong."""
        self.request.watch.stage(label)
        output = Path(tempfile.mkdtemp(dir=folder)) / "artifact"
        began = time.perf_counter()
        try:
            part = part_source(self.source, self.graph, places, self._feeds(places))
            made = compile_whole(self._part(part, places), output)
        except CompileError as error:
            shutil.rmtree(output.parent)
            return error
        self.useful_s += time.perf_counter() - began
        self.ready[places] = output, made
        return None

    def _part(self, source: Source, places: Places) -> CompileRequest:
        """Ask for a segment; each is tuned for as long as its share of the work is large."""
        dump_dir, tune_s = self.plain.dump_dir, self.plain.tune_s
        if tune_s is not None:
            every = range(len(self.graph.nodes))
            share = (self.graph.flops(places, self.shapes) or 0) / (self.graph.flops(every, self.shapes) or 1)
            tune_s = max(0.1, tune_s * share)
        dump = dump_dir / f"segment_at_{places[0]}" if dump_dir else None
        options = replace(self.plain, dump_dir=dump, tune_s=tune_s)
        return CompileRequest(source, self.request.target, options, self.request.watch.without_stages())

    def _blame(self, places: Places, error: CompileError, folder: Path) -> None:
        """Set aside what a failed segment fails with: at least one node, so that this comes to an end."""
        if len(places) == 1:
            self.why[places[0]] = short_reason(error)
            return
        found = {place: why for place in places if (why := self._fails_alone(place, error))}
        if found:
            self.why |= found
        elif self.searches < _SEARCHES:
            self.searches += 1
            culprit = self._first_that_fails(places, folder)
            self.why[culprit] = f"in one segment with the operators before it: {short_reason(error)}"
        else:
            self.why |= dict.fromkeys(places, f"in one segment with its neighbours: {short_reason(error)}")

    def _fails_alone(self, place: int, error: CompileError) -> str:
        why = self.probe.why_not_compiled(place)
        if not why and isinstance(error, ParityError):
            why = self.probe.why_not_right(place, self._feeds((place,)) or {})
        return why

    def _first_that_fails(self, places: Places, folder: Path) -> int:
        """Find the last node of the shortest beginning that fails; a beginning is convex, as the whole is."""
        good, bad = 0, len(places)
        while bad - good > 1:
            middle = (good + bad) // 2
            if self._try(places[:middle], folder, f"searching {len(places)} operators") is None:
                good = middle
            else:
                bad = middle
        return places[bad - 1]

    def _feeds(self, places: Places) -> dict[str, Array] | None:
        """Give what a segment reads when the whole model runs on the inputs of the parity check."""
        if not self.plain.verify:
            return None
        inputs, _ = self.graph.boundary(places)
        return self.values(inputs)

    def values(self, names: list[str]) -> dict[str, Array]:
        """Give tensors as the source model computes them from the inputs of the parity check."""
        if not self._values:
            self._values = dict(
                self.feeds if self.feeds is not None else first_feeds(self.source, self.plain.seed)
            )
        missing = [name for name in names if name not in self._values]
        if missing:
            given = {name: self._values[name] for name in self.graph.inputs}
            self._values |= values_of(self.source, self.graph, missing, given)
        return self._values

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes that only a run tells: of the tensors whose shapes are not known without one."""
        unknown = [
            name
            for node in self.graph.nodes
            for name in node.output
            if name and name not in self.graph.shapes
        ]
        if not unknown:
            return {}
        try:
            values = self.values(unknown)
        except Exception:  # random input that the model refuses: what can't be counted stays uncounted
            return {}
        return {name: values[name].shape for name in unknown if hasattr(values[name], "shape")}

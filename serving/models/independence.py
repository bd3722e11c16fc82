"""Whether the rows of a served model are independent: by an artifact's manifest or an ONNX file's graph."""

from __future__ import annotations

import math
from pathlib import Path

from modeldyno.base.errors import first_line
from modeldyno.base.rowflow.records import MOST_NUMBERS, UNPROVED, Verdict
from modeldyno.runtime.records.manifest_file import read_manifest


def verdict_of_artifact(path: Path) -> Verdict:
    """Read what was proved when the artifact was compiled.

    Raises:
        ArtifactError: the artifact is damaged.
    """
    found = read_manifest(path).rows_independent
    word = next((each for each in ("proved", "refuted") if each == found.verdict), "unproved")
    return Verdict(word, found.cause or UNPROVED.cause)  # type: ignore[arg-type]


def verdict_of_onnx(path: Path) -> Verdict:
    """Prove what can be proved by the graph of an ONNX file; one that can't be read proves nothing."""
    import onnx
    from onnx import helper, inliner, numpy_helper
    from onnx.external_data_helper import load_external_data_for_tensor

    from modeldyno.base.rowflow.from_onnx import Reader
    from modeldyno.base.rowflow.walk import judge_joined

    try:
        # Weights in other files say nothing of where rows lie, but shapes and indices do.
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL and math.prod(tensor.dims) <= MOST_NUMBERS:
                load_external_data_for_tensor(tensor, str(path.parent))
                tensor.data_location = onnx.TensorProto.DEFAULT
        if model.functions:
            model = inliner.inline_local_functions(model)
        return judge_joined(Reader(helper.get_attribute_value, numpy_helper.to_array).graph(model))
    except Exception as error:  # what is no model is said when it is loaded
        return Verdict("unproved", f"its graph can't be read: {first_line(error)}")

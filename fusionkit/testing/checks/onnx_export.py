"""ONNX, for components that claim it: exported, loaded by onnxruntime, and run with equal results."""

from __future__ import annotations

import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionkit.testing.checks.behaviour import difference
from fusionkit.testing.checks.onnx_registry import one_registry
from fusionkit.testing.checks.tracing import exported, other_batch, place_of_trace, quiet
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import Probe, one_line, run

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class NotProbedError(Exception):
    """A check cannot be run here: what is missing, and how to get it."""

    def __init__(self, seen: str, fix: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.fix = fix


def onnx(probe: Probe) -> Fault | None:
    """The ONNX file of the module, with a batch of any size, gives the same results in onnxruntime.

    Raises: NotProbedError when a package for it is not installed.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise NotProbedError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
                             f"pip install {' '.join(_PACKAGES)}")
    inputs, keywords = other_batch(probe)
    try:
        found = _through_onnx(probe, [*inputs, *keywords.values()])
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__:  # the first error of the exporter is the innermost cause
            cause = cause.__cause__
        return Fault(f"ONNX: {one_line(cause)}", "avoid operators that ONNX lacks, or do not claim 'onnx'",
                     place_of_trace(error, probe.component))
    apart = difference(found, run(probe.module(), inputs, **keywords), torch.float32)
    return Fault(f"in onnxruntime the result differs by {apart}",
                 "look for an operator that ONNX defines differently, or do not claim 'onnx'") if apart else None


def _through_onnx(probe: Probe, values: list[Tensor]) -> list[Tensor]:
    onnxruntime = import_module("onnxruntime")  # it has no types
    program = exported(probe)
    with quiet(), one_registry(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "component.onnx"
        made: Any = torch.onnx.export(program, dynamo=True, verbose=False)
        made.save(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
        outputs = session.run(None, {name: value.numpy() for name, value in zip(names, values, strict=True)})
    return [torch.from_numpy(output) for output in outputs]


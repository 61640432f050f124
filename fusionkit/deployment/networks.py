"""An exported network, opened: ONNX by onnxruntime, a program of PyTorch by PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fusionkit.components.requirements import pip_install
from fusionkit.deployment.record import Exported
from fusionkit.errors import Diagnostic, GraphError

Array = NDArray[Any]


class OpenNetwork(Protocol):
    """A network that is ready to run."""

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Its outputs by name, each (B, ...)."""


def opened_network(path: Path, record: Exported) -> OpenNetwork:
    """The network in a file of an exported folder, on the CPU.

    Raises: GraphError with `missing-package` without onnxruntime, `unreadable-export` for a file that is no network.
    """
    if record.form == "onnx" and find_spec("onnxruntime") is None:
        raise missing_package("onnxruntime", "it runs networks that were exported as ONNX")
    try:
        return _Onnx(path) if record.form == "onnx" else _Program(path, record)
    except Exception as error:  # both libraries have errors of their own
        raise GraphError(Diagnostic(
            "unreadable-export", f"cannot read the network {str(path)!r}", why=f"{type(error).__name__}: {error}",
            fix="export the run again: fusionkit export RUN -o DIR")) from error


def missing_package(name: str, why: str) -> GraphError:
    """The refusal where a package of the extra `export` is not installed."""
    return GraphError(Diagnostic("missing-package", f"{name} is not installed", why=why,
                                 fix=pip_install("fusionkit[export]")))


class _Onnx:
    """By onnxruntime, with as many threads as PyTorch would take."""

    def __init__(self, path: Path) -> None:
        onnxruntime = import_module("onnxruntime")  # it has no types
        options = onnxruntime.SessionOptions()
        if os.environ.get("OMP_NUM_THREADS", "").isdecimal():
            options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = {given.name for given in self._session.get_inputs()}
        self._outputs = [given.name for given in self._session.get_outputs()]

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        # A mask that no node asks for is not an input of the file.
        wanted = {name: np.ascontiguousarray(array) for name, array in given.items() if name in self._inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, wanted), strict=True))


class _Program:
    """By PyTorch, from the program that `torch.export` made."""

    def __init__(self, path: Path, record: Exported) -> None:
        import torch

        from fusionkit.network.quiet_tracing import quiet

        with quiet():  # older releases warn of their own buffers
            self._module = torch.export.load(path).module()
        self._outputs = output_names(record)

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        import torch

        with torch.inference_mode():
            tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in given.items()}
            return {name: value.numpy() for name, value in zip(self._outputs, self._module(tensors), strict=True)}


VALID, DETAIL, CURVE = ":valid", ":detail:", ":curve"
"""After the name of a head: its mask, a further number by name, its survival curves."""


def output_names(record: Exported) -> list[str]:
    """The outputs of the network in their order: of each head its values, its mask, its details, its curves."""
    names = []
    for head in record.heads:
        names += [head.name, *([head.name + VALID] if head.valid else []),
                  *(f"{head.name}{DETAIL}{key}" for key in head.details),
                  *([head.name + CURVE] if head.curve_times else [])]
    return names

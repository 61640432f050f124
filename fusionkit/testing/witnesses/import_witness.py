"""Run as a program in a separate process: imports modules one by one and records the side effects of each.

    python -m fusionkit.testing.witnesses.import_witness RECORDS MODULE...

RECORDS gets one JSON object per line: {"begins": MODULE} before an import, and its side effects after it.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

# Only environment variables that torch and Python read; other libraries mark there that they are loaded.
_SETTINGS = ("CUDA", "HF_", "MKL", "NCCL", "OMP", "PYTHON", "PYTORCH", "TORCH")


def main(arguments: Sequence[str]) -> None:
    """Imports each module and records it."""
    record, modules = arguments[0], arguments[1:]
    states = _states()
    with Path(record).open("w", encoding="utf-8") as file:
        for module in modules:
            _write(file, {"begins": module})
            _write(file, _witness(module, states))


def _write(file: IO[str], row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()


def _states() -> dict[str, Callable[[], Any]]:
    """Global state of a process, which an import must not change."""
    import numpy as np
    import torch

    import fusionkit.layers.masking
    import fusionkit.layers.norms
    import fusionkit.layers.projection
    import fusionkit.layers.readout  # noqa: F401  # every component may import them, so they do not count

    return {
        "torch's default dtype": torch.get_default_dtype,
        "torch's default device": lambda: str(torch.get_default_device()),
        "the number of threads": torch.get_num_threads,
        "whether gradients are recorded": torch.is_grad_enabled,
        "the precision of matrix products": torch.get_float32_matmul_precision,
        "whether algorithms are deterministic": torch.are_deterministic_algorithms_enabled,
        "the settings of cuDNN": lambda: (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
                                          torch.backends.cudnn.enabled),
        "torch's random numbers": lambda: torch.get_rng_state().numpy().tobytes(),
        "numpy's random numbers": lambda: pickle.dumps(np.random.get_state()),
        "Python's random numbers": random.getstate,
        "which warnings are shown": lambda: [rule for rule in warnings.filters
                                             if rule[1] is None and rule[2] is Warning and rule[3] is None],
        "the working directory": os.getcwd,
        "the environment": lambda: {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)},
        "the running threads": threading.active_count,
    }


def _witness(module: str, states: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    known, before = set(sys.modules), {name: state() for name, state in states.items()}
    error, needs = None, ()
    with _silenced() as printed, warnings.catch_warnings(record=True) as warned:
        started = time.process_time()
        try:
            needs = getattr(getattr(import_module(module), "component", None), "needs", ())
        except (Exception, SystemExit) as raised:
            error = traceback.format_exception_only(raised)[-1].strip()
        seconds = time.process_time() - started
        changed = [name for name, state in states.items() if state() != before[name]]
    return {"module": module, "error": error, "needs": list(needs), "seconds": seconds, "printed": printed(),
            "warned": [f"{note.category.__name__}: {note.message}" for note in warned], "changed": changed,
            "loaded": sorted({name.partition(".")[0] for name in set(sys.modules) - known})}


@contextmanager
def _silenced() -> Iterator[Callable[[], str]]:
    """Captures what is written to both streams, by compiled code too."""
    with tempfile.TemporaryFile() as kept:
        saved = [(stream, os.dup(stream.fileno())) for stream in (sys.stdout, sys.stderr)]
        for stream, _ in saved:
            stream.flush()
            os.dup2(kept.fileno(), stream.fileno())

        def printed() -> str:
            return text

        text = ""
        try:
            yield printed
        finally:
            for stream, descriptor in saved:
                stream.flush()
                os.dup2(descriptor, stream.fileno())
                os.close(descriptor)
            kept.seek(0)
            text = kept.read().decode(errors="replace").strip()


if __name__ == "__main__":
    main(sys.argv[1:])

"""Predictions of an exported network, without PyTorch where it is ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.deployment.exported import OpenedExport, open_exported
from fusionkit.errors import Diagnostic, UserError
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.run_keywords import RunKeywords
from fusionkit.registry.lookup import discover

if TYPE_CHECKING:
    from fusionkit.data.loading import Cohort
    from fusionkit.inference.head_result import HeadResult

_OF_RUNS = {"uncertainty": "--uncertainty", "tta": "--tta", "looped": "--looped", "memory": "--memory",
            "fold": "--fold"}


def open_for_use(folder: str | Path, options: RunKeywords, samples: int | None = None) -> OpenedExport:
    """The exported networks in a folder. Raises: UserError with `not-exported` for what only a run can do."""
    given: Mapping[str, Any] = {**options}
    asked = [flag for name, flag in _OF_RUNS.items() if given[name] is not None and given[name] is not False]
    asked += ["--samples"] * (samples is not None) + ["--device cuda"] * (options["device"] == "cuda")
    if asked:
        raise UserError(Diagnostic("not-exported", f"{asked[0]} is for runs; {str(folder)!r} is an exported network",
                                   why="it holds one pass of the network with all randomness off, on the CPU, in "
                                             "the views that it was exported with",
                                   fix="leave it out, or give the folder of the run"))
    registry = discover(components=options["components"], files=[str(file) for file in options["plugins"]])
    return open_exported(folder, registry)


def predict_exported(opened: OpenedExport, data: str | Path, options: RunKeywords
                     ) -> tuple[Cohort, dict[str, HeadResult], Console]:
    """The cases of a data file and each head's results for them; warnings and progress are shown."""
    console = console_for(options["console"], options["quiet"])
    with console.progress("reading") as update:
        cohort = opened.cohort(opened.describe(data, options["data_roots"]), update)
    for warning in cohort.warnings:
        console.note(warning.render())
    with console.progress("predicting") as update:
        return cohort, opened.predicted(cohort, cohort.rows, update), console

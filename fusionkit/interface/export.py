"""`fusionkit.export`: a trained network as a folder that is used without its run, and without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from os import PathLike
from pathlib import Path
from typing import get_args

import numpy as np

from fusionkit.components.component import Component
from fusionkit.deployment.export import TOLERANCE, Exportable, check_packages, export_networks, measure_parity
from fusionkit.deployment.exported import open_exported
from fusionkit.deployment.record import EXPORTED, Exported, Form, write_record
from fusionkit.errors import Diagnostic, GraphError, RunError
from fusionkit.evaluation.calibration import CALIBRATION
from fusionkit.evaluation.thresholds import THRESHOLD
from fusionkit.inference.ensemble import members_of
from fusionkit.inference.head_result import HeadResult
from fusionkit.inference.predict import predict
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.opened_run import OpenedRun, open_networks
from fusionkit.interface.run_keywords import RunKeywords
from fusionkit.runs.results import method_record
from fusionkit.runs.training_outcomes import keeps
from fusionkit.training.settings import read_settings

PARTS = ("test", "validation", "train")
_MOST_CASES = 1000


@dataclass(frozen=True)
class ExportedFolder:
    """An exported network: its folder and record."""

    folder: Path
    record: Exported

    def lines(self) -> list[str]:
        """What there is to tell, a line each."""
        record, parity = self.record, self.record.parity
        opset = f", operator set {record.opset}" if record.opset else ""
        several = f"{len(record.networks)} networks, whose values are averaged" if len(record.networks) > 1 else \
            "one network"
        lines = [f"{record.name} as {record.form}{opset}: {several}; any number of cases at once"]
        if parity is not None:
            lines += [f"{name}: largest difference from the run {apart:.2g}, over {parity.cases} {parity.part} cases"
                      for name, apart in parity.values.items()]
            lines += [f"{name}: the uncertainty method of the run, which is not exported, differs by up to {apart:.2g}"
                      for name, apart in parity.method.items()]
        return [*lines, *(f"not exported: {text}" for text in record.left_out)]

    def _repr_html_(self) -> str:
        return f"<pre>{escape(chr(10).join(self.lines()))}</pre>"


def export(
    run: str | PathLike[str],
    output: str | Path,
    *,
    format: Form = "onnx",
    fold: int | None = None,
    data_roots: Sequence[str | Path] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    quiet: bool = False,
    console: Console | None = None,
) -> ExportedFolder:
    """Export a run to the folder `output`, as `onnx` or `torch`, and compare it with the run on its own cases.

    Raises: GraphError with `not-exportable`, `missing-package`, `not-empty` or `several-folds`; RunError if the
    exported network does not give what the run gives.
    """
    if format not in get_args(Form):
        raise GraphError(Diagnostic("bad-argument", f"--format cannot be {format!r}",
                                    fix=f"choose one of {', '.join(get_args(Form))}"))
    folder = Path(output)
    check_packages(format)
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / EXPORTED).is_file())):
        raise GraphError(Diagnostic("not-empty", f"{str(folder)!r} is no empty folder",
                                    why="nothing is overwritten but an earlier export",
                                    fix="give another folder, or remove this one"))
    console = console_for(console, quiet)
    options = RunKeywords(uncertainty=None, tta=None, looped=False, memory=None, device="cpu", fold=fold,
                          data_roots=data_roots, plugins=plugins, components=components, quiet=quiet, console=console)
    opened = open_networks(run, options, to_calibrate=True)
    if len(opened.parts) > 1:
        raise GraphError(Diagnostic("several-folds", f"{str(run)!r} holds {len(opened.parts)} folds",
                                    why="each has statistics of its own training cases", fix="export one: --fold 0"))
    first = opened.first
    source, run_results, of_method = _compared(first)
    batch_size = read_settings(first.run.model.plan.graph.training).batch_size
    record = export_networks(source, folder, format, batch_size)
    exported = open_exported(folder, first.registry)
    record = record.model_copy(update={"parity": measure_parity(source, exported, run_results, of_method)})
    write_record(folder, record)
    _check_parity(record, run_results, folder)
    return ExportedFolder(folder, record)


def _compared(opened: OpenedRun) -> tuple[Exportable, Mapping[str, HeadResult], Mapping[str, HeadResult] | None]:
    """What is exported of a run, and its own results for some of its cases: those of the networks, of the method."""
    run, method = opened.run, opened.method
    cohort = opened.cohort(None, require_targets=False)
    place = {name: row for row, name in enumerate(cohort.ids)}
    own = {part: [place[name] for name in run.about.get(part) or () if name in place] for part in PARTS}
    part = next((part for part in PARTS if own[part]), "own")
    cases = opened.dataset(cohort, (own.get(part) or list(cohort.rows))[:_MOST_CASES], None)
    settings = replace(opened.settings(), precision="fp32", device="cpu")
    networks = list(opened.models)
    every = [predict(network, cases, None, settings) for network in networks]
    plain = {name: replace(first, values=np.mean([each[name].values for each in every], axis=0))
             for name, first in every[0].items()}
    random = None if method is None or method.step.use == "uncertainty.none" else predict(
        opened.models, cases, method, settings)
    same = random is None or all(_close(plain[name], random[name]) for name in plain)
    beside = [f"{key}.json" for head in keeps(run.model.plan.heads) for key in head.declared_task.method.keeps]
    left_out = []
    if random is not None and method is not None:
        spread = "its measures of uncertainty" if same else "its samples and measures of uncertainty"
        left_out.append(f"{method.step.use}: {spread}; the exported network is one pass with all randomness off"
                        + (f" of each of {len(networks)} networks" if members_of(method) > 1 else ""))
    for name, fitted in ((CALIBRATION, run.calibration()), (THRESHOLD, run.thresholds())):
        if fitted is None:
            continue
        alike = same if fitted.uncertainty == method_record(method) else (
            fitted.uncertainty is None and members_of(method) == 1)
        if alike and not fitted.tta:
            beside.append(name)
        else:
            left_out.append(f"{name}: it was fitted to other results than those of the exported network; for these: "
                            f"fusionkit calibrate {run.folder} --uncertainty uncertainty.none, and export again")
    return Exportable(run, networks, cases, part, left_out, beside), plain, random


def _close(one: HeadResult, other: HeadResult) -> bool:
    return bool((abs(one.values - other.values)[one.valid] <= TOLERANCE * abs(one.values)[one.valid].clip(1)).all())


def _check_parity(record: Exported, wanted: Mapping[str, HeadResult], folder: Path) -> None:
    """Raises: RunError."""
    assert record.parity is not None, "parity was measured; please report"
    for name, apart in record.parity.values.items():
        largest = float(abs(wanted[name].values[wanted[name].valid]).max(initial=1.0))
        if not apart <= TOLERANCE * largest:
            raise RunError(f"the exported network differs from the run by {apart:.3g} in {name!r}, more than "
                           f"{TOLERANCE * largest:.1g}; the folder {str(folder)!r} must not be used; please report "
                           "which components the graph has")

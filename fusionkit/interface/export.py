"""`fusionkit.export`: a trained network as a folder that is used without its run, and without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np

from fusionkit.components.component import Component
from fusionkit.data.loading import Cohort
from fusionkit.deployment.export import (
    TOLERANCE,
    Exportable,
    check_packages,
    export_folds,
    export_networks,
    measure_parity,
    replace_earlier,
)
from fusionkit.deployment.exported import open_exported
from fusionkit.deployment.record import EXPORTED, Exported, Form, write_record
from fusionkit.errors import Diagnostic, GraphError, RunError
from fusionkit.evaluation.calibration import CALIBRATION
from fusionkit.evaluation.thresholds import THRESHOLD
from fusionkit.inference.ensemble import members_of
from fusionkit.inference.head_result import HeadResult
from fusionkit.inference.predict import predict
from fusionkit.inference.views import named_views
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.opened_run import OpenedFolder, OpenedRun, open_networks
from fusionkit.interface.run_keywords import RunKeywords
from fusionkit.runs.fold_means import mean_of
from fusionkit.runs.folder import Run
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
        several = (f"{len(record.folds)} folds, whose results are averaged" if record.folds else "one network"
                   if len(record.networks) == 1 else f"{len(record.networks)} networks, whose values are averaged")
        lines = [f"{record.name} as {record.form}{opset}: {several}; any number of cases at once"]
        lines += [f"each case is seen in its views {', '.join(record.tta)} too, which PyTorch makes outside of the "
                  "network: it is imported for them"] if record.tta else []
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
    tta: str | None = None,
    data_roots: Sequence[str | Path] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    quiet: bool = False,
    console: Console | None = None,
) -> ExportedFolder:
    """Export a run to the folder `output`, as `onnx` or `torch`, and compare it with the run on its own cases.

    Of a cross-validation all folds are exported, whose results are averaged, or the one that `fold` names. `tta` are
    the views in which each case is seen, see `fusionkit predict --tta`.
    Raises: GraphError with `not-exportable`, `missing-package` or `not-empty`; UserError with `no-views`; RunError if
    the exported network does not give what the run gives.
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
    options = RunKeywords(uncertainty=None, tta=tta, looped=False, memory=None, device="cpu", fold=fold,
                          data_roots=data_roots, plugins=plugins, components=components, quiet=quiet, console=console)
    opened = open_networks(run, options, to_calibrate=True)
    cohort = opened.first.cohort(None, require_targets=False)
    part, rows = _own_rows(opened.first.run, cohort)
    said = [_said(each, cohort, rows) for each in opened.parts]
    beside, left_out = _that_goes_along(opened, [each.same for each in said], named_views(tta))
    batch_size = read_settings(opened.first.run.model.plan.graph.training).batch_size
    plain, random = mean_of([each.plain for each in said]), mean_of([each.random or each.plain for each in said])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=folder.parent) as place:
        aside = Path(place)
        if len(opened.parts) == 1:
            source = _exportable(opened.first, cohort, rows, left_out=left_out, tta=named_views(tta), beside=beside)
            record = export_networks(source, aside, format, batch_size)
        else:
            sources = [_exportable(each, cohort, rows, left_out=left_out, tta=named_views(tta))
                       for each in opened.parts]
            record = export_folds(sources, aside, format, batch_size, (opened.folder, beside))
        found = open_exported(aside, opened.first.registry).predicted(cohort, rows)
        record = record.model_copy(update={"parity": measure_parity(
            part, found, plain, random if any(each.random for each in said) else None)})
        _check_parity(record, plain)
        write_record(aside, record)
        replace_earlier(folder, aside)
    return ExportedFolder(folder, record)


@dataclass(frozen=True)
class _Said:
    """What a run says of some cases: its networks in one pass, and its method, None without one."""

    plain: Mapping[str, HeadResult]
    random: Mapping[str, HeadResult] | None

    @property
    def same(self) -> bool:
        """Whether the method gives what the networks give."""
        return self.random is None or all(_close(self.plain[name], self.random[name]) for name in self.plain)


def _own_rows(run: Run, cohort: Cohort) -> tuple[str, list[int]]:
    """Some cases of a run, and the part of the division that they are of."""
    place = {name: row for row, name in enumerate(cohort.ids)}
    own = {part: [place[name] for name in run.about.get(part) or () if name in place] for part in PARTS}
    part = next((part for part in PARTS if own[part]), "own")
    return part, (own.get(part) or list(cohort.rows))[:_MOST_CASES]


def _said(opened: OpenedRun, cohort: Cohort, rows: Sequence[int]) -> _Said:
    method = opened.method
    cases = opened.dataset(cohort, rows, None)
    settings = replace(opened.settings(), precision="fp32", device="cpu")
    every = [predict(network, cases, None, settings) for network in opened.models]
    plain = {name: replace(first, values=np.mean([each[name].values for each in every], axis=0))
             for name, first in every[0].items()}
    return _Said(plain, None if method is None or method.step.use == "uncertainty.none" else predict(
        opened.models, cases, method, settings))


def _exportable(opened: OpenedRun, cohort: Cohort, rows: Sequence[int], *, left_out: Sequence[str], tta: Sequence[str],
                beside: Sequence[str] = ()) -> Exportable:
    keep = [f"{key}.json" for head in keeps(opened.run.model.plan.heads) for key in head.declared_task.method.keeps]
    return Exportable(opened.run, list(opened.models), opened.dataset(cohort, rows, None), left_out,
                      (*keep, *beside), tta)


def _that_goes_along(opened: OpenedFolder, same: Sequence[bool], tta: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files with calibration and thresholds that hold for the exported network, and what is left out."""
    first = opened.first
    method, left_out, beside = first.method, list[str](), list[str]()
    if method is not None and method.step.use != "uncertainty.none":
        spread = "its measures of uncertainty" if all(same) else "its samples and measures of uncertainty"
        left_out.append(f"{method.step.use}: {spread}; the exported network is one pass with all randomness off"
                        + (f" of each of {len(first.models)} networks" if members_of(method) > 1 else ""))
    folds = len(opened.parts) > 1
    if folds and any(part.run.thresholds() for part in opened.parts):
        left_out.append(f"{THRESHOLD} of the folds: each is for the test cases of its fold")
    fitted = {CALIBRATION: first.run.calibration(opened.folder), THRESHOLD: None if folds else first.run.thresholds()}
    for name, found in fitted.items():
        if found is None:
            continue
        alike = all(same) if found.uncertainty == method_record(method) else (
            found.uncertainty is None and members_of(method) == 1)
        if alike and found.tta == tuple(tta):
            beside.append(name)
        else:
            views = f" --tta {','.join(tta)}" if tta else ""
            left_out.append(f"{name}: it was fitted to other results than those of the exported network; for these: "
                            f"fusionkit calibrate {opened.folder} --uncertainty uncertainty.none{views}, and export "
                            "again")
    return beside, left_out


def _close(one: HeadResult, other: HeadResult) -> bool:
    return bool((abs(one.values - other.values)[one.valid] <= TOLERANCE * abs(one.values)[one.valid].clip(1)).all())


def _check_parity(record: Exported, wanted: Mapping[str, HeadResult]) -> None:
    """Raises: RunError."""
    assert record.parity is not None, "parity was measured; please report"
    for name, apart in record.parity.values.items():
        largest = float(abs(wanted[name].values[wanted[name].valid]).max(initial=1.0))
        if not apart <= TOLERANCE * largest:
            raise RunError(f"the exported network differs from the run by {apart:.3g} in {name!r}, more than "
                           f"{TOLERANCE * largest:.1g}; nothing was written; please report which components the graph "
                           "has")

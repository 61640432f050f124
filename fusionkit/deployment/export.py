"""From a run to an exported folder: networks, data beside them, and how close they are to the run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionkit import __version__
from fusionkit.data.loading import CaseDataset
from fusionkit.deployment.batches import MASK, case_arrays, stacked
from fusionkit.deployment.exported import DATA, PREPROCESSING
from fusionkit.deployment.networks import missing_package, output_names
from fusionkit.deployment.record import (
    EXPORTED,
    Exported,
    Form,
    Parity,
    SeenInTraining,
    digests_of,
    read_record,
    write_record,
)
from fusionkit.deployment.tracing import DecodedNetwork, Program, heads_of, inputs_of, not_exportable, traced
from fusionkit.files import replacing
from fusionkit.inference.head_result import HeadResult
from fusionkit.network.model import FusionModel, asked_cells
from fusionkit.network.quiet_tracing import quiet
from fusionkit.runs.folder import Run, needs_of

TOLERANCE = 1e-5
"""The largest difference of probabilities, and of other values relative to their size, between export and run."""
_CASES = 3  # to trace with: a number that no layer of a network has as its size by habit
_NEEDS = {"onnx": "it writes ONNX", "onnxscript": "PyTorch writes ONNX by it", "onnxruntime": "it runs ONNX"}
_ENDING = {"onnx": "onnx", "torch": "pt2"}


@dataclass(frozen=True)
class Exportable:
    """What is exported: networks of one graph, in evaluation mode, and some cases of their run in the form they read.

    `left_out` says what the export lacks, `tta` in which views a case is seen. `beside` are files of the run that go
    with it.
    """

    run: Run
    networks: Sequence[FusionModel]
    cases: CaseDataset
    left_out: Sequence[str]
    beside: Sequence[str]
    tta: Sequence[str] = ()


def check_packages(form: Form) -> None:
    """Refuse ONNX where a package for it is missing.

    Raises: GraphError with `missing-package`.
    """
    for name, why in _NEEDS.items() if form == "onnx" else ():
        if find_spec(name) is None:
            raise missing_package(name, why)


def export_networks(source: Exportable, folder: Path, form: Form, batch_size: int) -> Exported:
    """Write the folder, without the record of its parity.

    Raises: GraphError with `not-exportable` or `missing-package`.
    """
    run, model = source.run, source.networks[0]
    inputs = [item.model_copy(update={"joined": tuple(sorted(need.joined))})
              for item, need in zip(inputs_of(model, asked_cells(model.plan)), needs_of(model.plan)[1].values(),
                                    strict=True)]
    networks = [DecodedNetwork(network, inputs) for network in source.networks]
    given = _traced_with(source.cases, inputs)
    heads = heads_of(networks, given)
    programs = [traced(network, given) for network in networks]
    made: list[Any] = [_converted(program, model) if form == "onnx" else program for program in programs]
    names = tuple(f"network{f'-{place}' if place else ''}.{_ENDING[form]}" for place in range(len(made)))
    beside = tuple(name for name in (DATA, PREPROCESSING, *source.beside) if (run.folder / name).is_file())
    record = Exported(
        name=model.plan.name, form=form, fusionkit=__version__, torch=torch.__version__,
        opset=made[0].model.opset_imports[""] if form == "onnx" else None, networks=names, batch_size=batch_size,
        inputs=tuple(inputs), heads=tuple(heads), left_out=tuple(source.left_out), tta=tuple(source.tta),
        beside=beside,
        seen=SeenInTraining(trained=digests_of(run.about.get("train") or ()),
                            watched=digests_of(run.about.get("validation") or ())))
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in zip(names, made, strict=True):
        with replacing(folder / name) as aside:
            _save(network, aside, record)
    for name in beside:
        shutil.copyfile(run.folder / name, folder / name)
    write_record(folder, record)
    return record


def export_folds(sources: Sequence[Exportable], folder: Path, form: Form, batch_size: int,
                 of_all: tuple[Path, Sequence[str]]) -> Exported:
    """Write a folder for each fold and one record of all. `of_all` is the folder of the folds, and the files of it that
    go with them.

    Raises: what `export_networks` raises.
    """
    names = tuple(f"fold-{place}" for place in range(len(sources)))
    first, *others = [export_networks(source, folder / name, form, batch_size)
                      for source, name in zip(sources, names, strict=True)]
    run, beside = of_all
    for name in beside:
        shutil.copyfile(run / name, folder / name)
    trained = {digest for part in (first, *others) for digest in part.seen.trained}
    watched = {digest for part in (first, *others) for digest in part.seen.watched} - trained
    record = first.model_copy(update={
        "networks": (), "folds": names, "beside": tuple(beside),
        "seen": SeenInTraining(trained=tuple(sorted(trained)), watched=tuple(sorted(watched)))})
    write_record(folder, record)
    return record


def _traced_with(cases: CaseDataset, inputs: Sequence[Any]) -> dict[str, Tensor]:
    """Zeros of the sizes of some cases by name, all there: what a program is traced with goes into its file."""
    arrays = stacked([case_arrays(cases, place % len(cases)) for place in range(_CASES)], inputs)
    return {name: torch.from_numpy(np.full(array.shape, name.endswith(MASK), dtype=array.dtype))
            for name, array in arrays.items()}


def _converted(program: Program, model: FusionModel) -> Any:
    try:
        with quiet():
            return torch.onnx.export(program, dynamo=True, verbose=False)
    except Exception as error:  # the exporter has errors of its own
        raise not_exportable(model, error) from error


def _save(network: Any, path: Path, record: Exported) -> None:
    if record.form == "torch":
        network.example_inputs = None
        for node in network.graph.nodes:
            node.meta.pop("stack_trace", None)  # lines of source and paths of this machine
        buffer = BytesIO()  # a file must have a certain ending
        torch.export.save(network, buffer)
        path.write_bytes(buffer.getvalue())
        return
    graph = network.model.graph
    names = [each for item in record.inputs for each in (item.name, *([item.name + MASK] if item.mask else []))]
    for value, name in zip([*graph.inputs, *graph.outputs], [*names, *output_names(record)], strict=True):
        value.name = name
    for node in graph.all_nodes():
        node.metadata_props.clear()  # lines of source and paths of this machine
        node.doc_string = None
    network.save(path, external_data=False)


def replace_earlier(folder: Path, made: Path) -> None:
    """Move the files of an export to its folder. Those of an earlier one there are removed first, so that none of them
    is taken for one of this; other files are kept.

    Raises: GraphError with `unreadable-export`.
    """
    _remove_earlier(folder)
    for path in sorted(made.rglob("*")):
        there = folder / path.relative_to(made)
        if path.is_file():
            there.parent.mkdir(parents=True, exist_ok=True)
            path.replace(there)


def _remove_earlier(folder: Path) -> None:
    if not (folder / EXPORTED).is_file():
        return
    record = read_record(folder)
    for name in record.folds:
        _remove_earlier(folder / name)
    for name in (*record.networks, *record.beside, EXPORTED):
        (folder / name).unlink(missing_ok=True)


def measure_parity(part: str, found: Mapping[str, HeadResult], wanted: Mapping[str, HeadResult],
                   method: Mapping[str, HeadResult] | None) -> Parity:
    """How far the results of an exported network are from those of its run, and of the run's uncertainty method."""
    count = len(next(iter(found.values())).values)
    return Parity(part=part, cases=count, values=_apart(found, wanted),
                  method={} if method is None else _apart(found, method))


def _apart(found: Mapping[str, HeadResult], wanted: Mapping[str, HeadResult]) -> dict[str, float]:
    return {name: float(np.max(np.abs(result.values - wanted[name].values)[result.valid], initial=0.0))
            for name, result in found.items()}

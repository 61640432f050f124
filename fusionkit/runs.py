"""A graph and its data brought together, and the folder of a run opened again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.calibration import Calibration, read_calibration
from fusionkit.checkpoint import load, load_planned
from fusionkit.contract import Head
from fusionkit.data.cases import Cohort, HeadTarget, InputNeed, load_cohort
from fusionkit.data.description import DataDescription, describe
from fusionkit.data.prepare import Preprocessing
from fusionkit.ensemble import MEMBERS, member_folder
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.infer import infer
from fusionkit.measure import measure, witness
from fusionkit.model import FusionModel
from fusionkit.network import Source, open_graph
from fusionkit.plans import Plan
from fusionkit.registry import Registry, Resolved, discover, resolve_tree

RUN, DATA, PREPROCESSING = "run.json", "data.yaml", "preprocessing.json"
CACHE, CACHE_VARIABLE = ".fusionkit-cache", "FUSIONKIT_CACHE"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Setup:
    """A network and the cases it will meet, both checked against each other."""

    plan: Plan
    cohort: Cohort


def cache_for(data: str | Path) -> Path | None:
    """Where prepared files are kept: beside the data, so that runs share them, or where FUSIONKIT_CACHE says.

    None where that folder cannot be written: files are then read anew each time.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    folder = Path(data).resolve().parent
    return folder / CACHE if os.access(folder, os.W_OK) else None


def needs(resolved: Resolved) -> tuple[dict[str, HeadTarget], dict[str, InputNeed]]:
    """What a network asks of the data: its heads' targets and its inputs' sizes."""
    heads = {}
    for node in resolved.graph.nodes:
        if node.is_head:
            use = resolved.uses[node.name][-1]
            assert isinstance(use.component, Head)
            names = tuple(str(name) for name in getattr(use.config, use.component.names))
            heads[node.name] = HeadTarget(use.component.task, names, node.span, len(names))
    inputs = {item.name: InputNeed(item.sizes, item.optional, item.span) for item in resolved.graph.inputs}
    return heads, inputs


def cohort_for(
    source: Source,
    data: str | Path,
    sets: Sequence[str] = (),
    registry: Registry | None = None,
    *,
    progress: Progress | None = None,
) -> Cohort:
    """The cohort of a data description, checked against what a graph asks of it.

    Raises: GraphError or DataError with everything that is wrong.
    """
    registry = registry or discover()
    heads, inputs = needs(resolve_tree(open_graph(source, sets, registry), registry))
    return load_cohort(describe(data), heads, inputs, progress=progress, cache=cache_for(data))


def set_up(
    source: Source,
    data: str | Path,
    sets: Sequence[str] = (),
    registry: Registry | None = None,
    *,
    progress: Progress | None = None,
) -> Setup:
    """A measured plan whose sizes are those of the data, and the cohort.

    Raises: GraphError or DataError with everything that is wrong.
    """
    registry = registry or discover()
    resolved = resolve_tree(open_graph(source, sets, registry), registry)
    heads, inputs = needs(resolved)
    cohort = load_cohort(describe(data), heads, inputs, progress=progress, cache=cache_for(data))
    return Setup(measure(infer(resolved, witness, cohort.sizes)), cohort)


@dataclass(frozen=True)
class Run:
    """A finished run: its network, the statistics of its training cases, and what is written about it.

    `model` is the first network of a run that trained several.
    """

    folder: Path
    model: FusionModel
    preprocessing: Preprocessing
    about: Mapping[str, Any]

    @property
    def members(self) -> int:
        """How many networks the run trained; a run of an earlier version does not say, and has one."""
        members = self.about.get(MEMBERS)
        return len(members) if isinstance(members, list) else 1

    def networks(self, count: int) -> list[FusionModel]:
        """The first networks of the run, in evaluation mode; all but the first are loaded now.

        Raises: GraphError when one of them is not there or does not fit.
        """
        return [self.model, *(load_planned(self.model.plan, member_folder(self.folder, member))
                              for member in range(1, min(count, self.members)))]

    def calibration(self) -> Calibration | None:
        """What was fitted on held-out cases of the run, None where nothing was.

        Raises: UserError with `unreadable-calibration`.
        """
        heads = {head.name: (head.task, head.names) for head in self.model.plan.heads}
        return read_calibration(self.folder, heads)

    @property
    def data(self) -> Path:
        """The data description that the run was trained on."""
        return Path(self.about["data"])


def open_run(folder: str | Path, registry: Registry | None = None) -> Run:
    """The run in a folder.

    Raises: GraphError with `no-run` when it is not one or did not finish, and what `load` raises.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / RUN).read_text(encoding="utf-8"))
        preprocessing = Preprocessing.from_json((folder / PREPROCESSING).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        folds = sorted(path.name for path in folder.glob("fold-*"))
        fix = (f"give one of its folds: {', '.join(str(folder / name) for name in folds)}" if folds
               else "give the folder of a run made by `fusionkit train`")
        raise GraphError(Diagnostic("no-run", f"{str(folder)!r} holds no finished run",
                                    why=f"{type(error).__name__}: {error}", fix=fix)) from None
    return Run(folder, load(folder, registry), preprocessing, about)


def cohort_of(
    run: Run, data: str | Path | None = None, *, require_targets: bool, progress: Progress | None = None
) -> Cohort:
    """Cases for a finished run: its own data, or other data that it is to be used on.

    Raises: DataError with everything that is wrong.
    """
    plan = run.model.plan
    heads = {head.name: HeadTarget(head.task, head.names, None, len(head.names)) for head in plan.heads}
    inputs = {value.name: InputNeed(value.shape.sizes, value.present is not None) for value in plan.inputs}
    path = data or run.data
    description: DataDescription = describe(path)
    return load_cohort(description, heads, inputs, require_targets, progress=progress,
                       preprocessing=run.preprocessing, cache=cache_for(path))

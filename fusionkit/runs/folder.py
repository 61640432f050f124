"""The folder of a run: the names of its files, and how it is reopened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fusionkit.data.description import DataDescription, describe
from fusionkit.data.loading import Cohort, HeadTarget, InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.evaluation.calibration import Calibration, read_calibration
from fusionkit.evaluation.thresholds import Thresholds, read_thresholds
from fusionkit.files import read_json
from fusionkit.inference.ensemble import MEMBERS, Committee, member_folder
from fusionkit.network.folder import WEIGHTS, load, load_planned
from fusionkit.network.model import FusionModel, asked_cells
from fusionkit.network.settled import settling
from fusionkit.planning.joined_inputs import joined_inputs
from fusionkit.planning.plan import Plan
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.priors import PriorShift, correct_priors, recorded_priors
from fusionkit.runs.setup import cache_for
from fusionkit.runs.training_outcomes import read_training_outcomes

ROOTS = "data_roots"
RUN, DATA, PREPROCESSING = "run.json", "data.yaml", "preprocessing.json"
SETTLED = "settled"
"""The key of `run.json` with the heads that were settled on the training cases, where there are such heads."""
COUNTS = "input_counts"
"""The key of `run.json` with what was read of tables of events and of texts, and how much was left out, by reason."""
HELD_OUT = "held_out"
"""The key of `run.json` with the ids that a network held out of its training."""


@dataclass(frozen=True)
class Run:
    """A finished run: its network, the statistics of its training cases, and its metadata.

    `model` is the first network if the run trained several. `registry` has the readers of its data.
    """

    folder: Path
    model: FusionModel
    preprocessing: Preprocessing
    about: Mapping[str, Any]
    registry: Registry | None = None

    @cached_property
    def kept(self) -> dict[str, Mapping[str, Any]]:
        """What it keeps of its training cases, by head and name.

        Raises: DataError with `bad-record`.
        """
        return read_training_outcomes(self.folder, self.model.plan.heads)

    @property
    def members(self) -> int:
        """How many networks the run trained; runs of earlier versions do not record it, and have one."""
        members = self.about.get(MEMBERS)
        return len(members) if isinstance(members, list) else 1

    @property
    def held_out(self) -> list[frozenset[str]]:
        """The ids that each network held out for itself; empty where the networks had the same training cases."""
        members = self.about.get(MEMBERS)
        found = [frozenset(about.get(HELD_OUT) or ()) for about in members] if isinstance(members, list) else []
        return found if all(found) else []

    def networks(self, count: int) -> Sequence[FusionModel]:
        """The first networks of the run, in evaluation mode; loads all but the first.

        Networks that each held out different cases are all returned when one is requested, as a committee.
        Raises: GraphError when one of them is not there or does not fit.
        """
        every = self.members if self.held_out and count == 1 else min(count, self.members)
        found = [self.model, *(load_planned(self.model.plan, member_folder(self.folder, member))
                               for member in range(1, every))]
        correct_priors(found, recorded_priors(self.about, self.model.plan))
        return Committee(found) if self.held_out else found

    def calibration(self, folder: Path | None = None) -> Calibration | None:
        """The calibration fitted on held-out cases of the run, None without one; `folder` is that of all its folds.

        Raises: UserError with `unreadable-calibration`.
        """
        heads = {head.name: (head.declared_task, head.names) for head in self.model.plan.heads}
        return read_calibration(folder or self.folder, heads)

    def thresholds(self) -> Thresholds | None:
        """The thresholds chosen on held-out cases of the run, None without any.

        Raises: UserError with `unreadable-threshold`.
        """
        return read_thresholds(self.folder, {head.name: (head.task, head.names) for head in self.model.plan.heads})

    @property
    def data(self) -> Path:
        """The data description that the run was trained on."""
        return Path(self.about["data"])


def open_run(folder: str | Path, registry: Registry | None = None) -> Run:
    """The run in a folder.

    Raises: GraphError with `no-run` if it is not a run or did not finish, with `not-settled` if a head of it would have
    to be, and what `load` raises.
    """
    folder = Path(folder)
    try:
        about = read_json(folder / RUN)
        _check(about)
        preprocessing = Preprocessing.read(folder / PREPROCESSING)
    except (OSError, ValueError) as error:
        raise GraphError(Diagnostic("no-run", f"{str(folder)!r} contains no finished run",
                                    why=_reason(error),
                                    fix="give the folder of a run made by `fusionkit train`")) from None
    if about.get("stage"):
        raise GraphError(Diagnostic(
            "run-of-stage", f"{str(folder)!r} holds the stage {about['stage']!r}, which predicts nothing",
            why="it was trained without targets", fix="train on from its weights: fusionkit train ... --set "
            f"nodes.NODE.weights={folder / WEIGHTS}#NODE"))
    model = load(folder, registry)
    missing = [name for name in settling(model) if name not in about.get(SETTLED, ())]
    if missing:
        raise GraphError(Diagnostic(
            "not-settled", f"the head {missing[0]!r} of {str(folder)!r} has not been settled",
            why="after training it fits what it predicts with to the training cases, and the run does not say that it "
                "did", fix="train again, with --resume if the run was interrupted"))
    correct_priors([model], recorded_priors(about, model.plan))
    return Run(folder, model, preprocessing, about, registry)


class _Member(BaseModel):
    """One network of a run, as far as its use depends on it."""

    held_out: list[str] | None = None


class _About(BaseModel):
    """What `run.json` says, as far as the use of a run depends on it."""

    model_config = ConfigDict(strict=True)

    data: str = Field(pattern="^[^\\x00]+$")
    train: list[str]
    validation: list[str]
    test: list[str]
    members: list[_Member] | None = Field(None, min_length=1)
    epochs: int | None = None
    best_epoch: int | None = None
    settled: list[str] = []
    priors: dict[str, PriorShift] = {}


def _check(about: Any) -> None:
    """Raises: ValueError where `run.json` is not what a training writes."""
    _About.model_validate(about)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{RUN}, {'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}"
    return f"{type(error).__name__}: {error}"


def needs_of(plan: Plan) -> tuple[dict[str, HeadTarget], dict[str, InputNeed]]:
    """What a finished network requires of other data: targets that may be unknown, and inputs of its sizes."""
    heads = {head.name: HeadTarget(head.task, head.names, None, len(head.names), True, head.declared_task)
             for head in plan.heads}
    asked = asked_cells(plan)
    joined = joined_inputs(plan.graph, {node.name: node.lanes[0].calls[0].component for node in plan.nodes})
    return heads, {value.name: InputNeed(value.shape.written, item.optional, None, item.masked, item.most,
                                         value.name in asked, item.layout, joined.get(value.name, frozenset()))
                   for value, item in zip(plan.inputs, plan.graph.inputs, strict=True)}


def cohort_of(
    run: Run, data: str | Path | None = None, *, require_targets: bool, progress: Progress | None = None,
    data_roots: Sequence[str | Path] = (),
) -> Cohort:
    """Cases for a finished run: its own data, or other data to use it on.

    `data_roots` are folders that may be read; for its own data those that it was trained with as well.

    Raises: DataError with everything that is wrong.
    """
    heads, inputs = needs_of(run.model.plan)
    path = data or run.data
    own = run.about.get(ROOTS) or () if Path(path).resolve() == run.data.resolve() else ()
    description: DataDescription = describe(path, roots=[*data_roots, *own], registry=run.registry)
    return load_cohort(description, heads, inputs, require_targets, progress=progress,
                       preprocessing=run.preprocessing, cache=cache_for(path))

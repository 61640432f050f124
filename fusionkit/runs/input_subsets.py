"""How good a network is without some of its inputs: the metrics of every input subset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, combinations
from typing import Any

from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.data.dataset import CaseDataset
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.evaluation.calibration import Calibration
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.missing_inputs import Selection
from fusionkit.evaluation.thresholds import Thresholds
from fusionkit.inference.ensemble import Committee
from fusionkit.inference.predict import HeadResult, Settings, predict
from fusionkit.inference.sampler import Sampler
from fusionkit.network.model import FusionModel
from fusionkit.network.optional_inputs import all_optional
from fusionkit.planning.resolve import Use
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.decisions import decided
from fusionkit.runs.results import calibrated, joined, reports
from fusionkit.runs.training_outcomes import with_training_outcomes

MOST_INPUTS = 6
"""With more inputs, there are too many subsets to run and to read."""


class InputSubset(Dataset[Case]):
    """The cases of a dataset that have all inputs of a subset, without the other inputs, which are not read."""

    def __init__(self, cases: Dataset[Case], places: Sequence[int], keep: Sequence[str]) -> None:
        self.cases, self.places, self.keep = cases, places, frozenset(keep)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> Case:
        case = self.cases[self.places[place]]
        return {**case, "present": {name: there and name in self.keep for name, there in case["present"].items()}}


def selections(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every non-empty subset of the inputs, the largest first."""
    for size in range(len(names), 0, -1):
        yield from combinations(names, size)


Combine = Callable[[Sequence[Mapping[str, HeadResult]]], Mapping[str, HeadResult]]
"""Makes one result of those that several networks have for the same cases."""


@dataclass(frozen=True)
class Predicted:
    """Cases, and the networks from `optional_networks` that predict them; `calibration` is applied to the results,
    and they are decided by the `thresholds` of the run.

    `kept` is what the run keeps of its training cases.
    """

    models: Sequence[FusionModel]
    dataset: CaseDataset
    method: Use | None
    settings: Settings
    calibration: Calibration | None
    samplers: dict[FusionModel, Sampler] = field(default_factory=dict, compare=False)
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, compare=False)
    thresholds: Thresholds | None = None

    def results(self, places: Sequence[int], keep: Sequence[str]) -> Mapping[str, HeadResult]:
        """Each head's results for the cases at some places, from some of the inputs."""
        found = predict(self.models, InputSubset(self.dataset, places, keep), self.method, self.settings,
                        kept=self.samplers)
        return decided(calibrated(with_training_outcomes(found, self.kept), self.calibration), self.thresholds)


def optional_networks(models: Sequence[FusionModel], registry: Registry) -> Sequence[FusionModel]:
    """The networks with every input made optional; of a committee, a committee.

    Raises: GraphError with `too-many-inputs`, or with the error of a component that requires an input.
    """
    plan = models[0].plan
    if len(plan.inputs) > MOST_INPUTS:
        raise GraphError(Diagnostic(
            "too-many-inputs", f"{plan.name!r} has {len(plan.inputs)} inputs, which have {2 ** len(plan.inputs) - 1} "
            "subsets", why=f"each takes a pass over all cases; up to {MOST_INPUTS} inputs are supported",
            fix="remove inputs in the data instead: an empty cell is a missing input"))
    made = [all_optional(model, registry) for model in models]
    return Committee(made) if isinstance(models, Committee) else made


def evaluate_selections(
    parts: Sequence[Predicted], *, together: Combine | None = None, patients: Sequence[str] | None,
    progress: Progress | None = None, metrics: Sequence[ChosenMetric] | None = None,
) -> list[Selection]:
    """The metrics for every input subset, over the cases that have all of its inputs.

    `parts` hold different cases, one part after the other; or, if `together` combines their results, all the same ones.
    `patients` names the patient of each case, for the intervals.
    """
    names = [value.name for value in parts[0].models[0].plan.inputs]
    there = [{name: part.dataset.present(name) for name in names} for part in parts]
    starts = [0, *accumulate(len(part.dataset) for part in parts)]
    found, every = [], list(selections(names))
    for done, keep in enumerate(every):
        places = [[place for place in range(len(part.dataset)) if all(flags[name][place] for name in keep)]
                  for part, flags in zip(parts, there, strict=True)]
        made = [part.results(mine, keep) for part, mine in zip(parts, places, strict=True) if mine]
        results: Mapping[str, HeadResult] = {}
        if made:
            results = (together or joined)(made) if len(made) > 1 else made[0]
        cases = places[0] if together else [start + place for start, mine in zip(starts, places, strict=False)
                                            for place in mine]
        owners = None if patients is None else [patients[case] for case in cases]
        found.append(Selection(keep, len(cases), tuple(reports(results, owners, metrics))))
        if progress:
            progress(done + 1, len(every))
    return found

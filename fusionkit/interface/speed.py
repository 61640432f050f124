"""Which of reading, changing and computing a training waits for: measured on some cases of a data file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusionkit.data.batch import Case, collate
from fusionkit.data.dataset import CaseDataset, FileInput, Memory
from fusionkit.interface.check_data import check_data
from fusionkit.interface.console import Console, console_for
from fusionkit.network.build import build_plan
from fusionkit.planning.open_graph import Source
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import discover
from fusionkit.runs.setup import cache_for, set_up
from fusionkit.training.batch_changes import augmented_for
from fusionkit.training.batch_order import smallest_share
from fusionkit.training.estimate import step_seconds
from fusionkit.training.reading_ahead import reading_ahead
from fusionkit.training.settings import TrainingSettings, read_settings

CASES = 20
_ADVICE = {
    "reading": "more --workers read ahead; where memory has room, later epochs need not read at all",
    "changing": "more --workers change cases ahead, and '--augment-on device' does so on a GPU",
    "computing": "more --workers would gain nothing; '--precision bf16' or a smaller network might",
}


@dataclass(frozen=True)
class Speed:
    """Seconds for each case, of `cases` that were measured: of its files as they are, prepared, of its random changes,
    and of a step; None for what there is none of. `workers` read ahead.
    """

    cases: int
    files: float | None
    prepared: float | None
    changing: float | None
    computing: float | None
    workers: int

    @property
    def parts(self) -> dict[str, float]:
        """What a training does with each case in every epoch but the first, in seconds."""
        found = {"reading": self.prepared, "changing": self.changing, "computing": self.computing}
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    @property
    def slowest(self) -> str:
        """The part that takes longest, empty if there is none."""
        return max(self.parts, key=lambda name: self.parts[name], default="")

    def lines(self) -> list[tuple[str, str]]:
        """What was measured, as text."""
        files = "" if self.files is None else f", {_ms(self.files)} from its files in the first epoch"
        said = {"reading": f"{_ms(self.prepared or 0)} a case{files}", "changing": f"{_ms(self.changing or 0)} a case",
                "computing": f"{_ms(self.computing or 0)} a case, forward and backward"}
        lines = [(name, said[name]) for name in self.parts]
        return lines + ([("slowest", f"{self.slowest}: {_ADVICE[self.slowest]}")] if len(lines) > 1 else [])


def measure_speed(
    data: str | Path,
    graph: Source | None = None,
    *,
    sets: Sequence[str] = (),
    data_roots: Sequence[str | Path] = (),
    plugins: Sequence[str | Path] = (),
    quiet: bool = False,
    console: Console | None = None,
) -> Speed:
    """Read, change and compute some cases of a data file one after the other; without a graph nothing is computed.

    Raises: GraphError or DataError with everything that is wrong.
    """
    registry = discover(files=[str(file) for file in plugins])
    plan: Plan | None = None
    with console_for(console, quiet).progress("reading") as update:
        if graph is None:
            cohort = check_data(data, sets=sets, data_roots=data_roots, registry=registry, progress=update).cohort
        else:
            setup = set_up(graph, data, sets, registry, progress=update, data_roots=data_roots)
            plan, cohort = setup.plan, setup.cohort
    settings = read_settings(None if plan is None else plan.graph.training)
    rows = cohort.split_rows("train") or cohort.rows
    chosen = [rows[int(place)] for place in np.linspace(0, len(rows) - 1, min(CASES, len(rows)))]
    every = cohort.dataset(rows, cohort.fit(rows), cache_for(data))
    ahead = reading_ahead(settings, every)
    reads = any(isinstance(source, FileInput) for source in every.inputs.values())
    prepared, raw = (_kept_nowhere(every, chosen, cache) for cache in (every.cache, None))
    cases = [prepared[place] for place in range(len(prepared))]  # also prepares what the check did not
    return Speed(
        len(chosen), _of_each(lambda place: raw[place], len(chosen)) if reads else None,
        _of_each(lambda place: prepared[place], len(chosen)), _changing(every, cases, settings),
        None if plan is None else _computing(plan, prepared, settings), ahead.workers)


def _kept_nowhere(dataset: CaseDataset, rows: Sequence[int], cache: Path | None) -> CaseDataset:
    """Some cases of a dataset, of which memory keeps none."""
    made = dataset.some([dataset.rows.index(row) for row in rows])
    made.memory, made.cache = Memory(0), cache
    return made


def _of_each(act: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    for place in range(count):
        act(place)
    return (time.perf_counter() - start) / count


def _changing(dataset: CaseDataset, cases: Sequence[Case], settings: TrainingSettings) -> float | None:
    """Seconds for the random changes of a case on the CPU, the mean of its draws in three epochs."""
    if dataset.augmentation is None:
        return None
    changed = augmented_for(dataset, settings.seed)
    batches = [collate([case]) for case in cases]
    epochs = 3
    return _of_each(lambda place: [changed(batches[place], epoch) for epoch in range(epochs)], len(cases)) / epochs


def _computing(plan: Plan, dataset: CaseDataset, settings: TrainingSettings) -> float | None:
    """Seconds for a case of a step; None if the cases are too few for one."""
    model = build_plan(plan, settings.seed)
    share = min(settings.batch_size, len(dataset))
    if share < smallest_share(model.train()):
        return None
    return step_seconds(model, collate([dataset[place] for place in range(share)]), settings) / share


def _ms(seconds: float) -> str:
    digits = 1 if seconds >= 1e-3 else 3
    return f"{seconds * 1e3:.{digits}f} ms"

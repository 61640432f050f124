"""One training from files to figures: split, fit, save, calibrate, predict the test cases, measure; fold by fold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fusionkit.data.loading import CaseDataset
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.errors import DataError, Diagnostic, GraphError, UserError
from fusionkit.evaluation.calibration import CALIBRATION, Calibration, Choices, read_calibration, write_calibration
from fusionkit.evaluation.report import HeadReport
from fusionkit.files import write_json, write_text
from fusionkit.inference.ensemble import MEMBERS, member_folder, members_of
from fusionkit.inference.predict import HeadResult, Settings, predict
from fusionkit.network.build import build_plan
from fusionkit.network.folder import GRAPH, WEIGHTS, save_network
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import save_weights
from fusionkit.planning.write_graph import written
from fusionkit.runs.folder import DATA, PREPROCESSING, RUN, open_run
from fusionkit.runs.results import calibrate, calibrated, joined, told, write_results
from fusionkit.runs.setup import Setup, cache_for
from fusionkit.syntax.writer import write
from fusionkit.training.checkpoint import LAST
from fusionkit.training.estimate import estimate, timed
from fusionkit.training.loop import fit
from fusionkit.training.placeholder_advice import untrained
from fusionkit.training.result import FitResult
from fusionkit.training.settings import TrainingSettings

HELD_OUT = 0.15
"""The share of training cases held out for early stopping where the split names no validation cases."""


class Reporter(Protocol):
    """Who is told how the work goes; the command line's console is one."""

    def line(self, text: str = "") -> None:
        """One line for people."""

    def progress(self, label: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """A bar that is told `(done, total)`."""


@dataclass(frozen=True)
class Parts:
    """Rows of a cohort: to learn from, to watch, to test on."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Trained:
    """A finished training: what each head says of the test cases, and how good that is."""

    folder: Path
    rows: tuple[int, ...]
    results: dict[str, HeadResult]
    reports: list[HeadReport]


@dataclass(frozen=True)
class Given:
    """What one training uses of what others have computed.

    `cases(part, dataset)` gives the dataset to use for a part of the cases (train, validation, test), and `build(seed)`
    the network to begin with.
    """

    cases: Callable[[str, CaseDataset], CaseDataset]
    build: Callable[[int], FusionModel]


def is_main() -> bool:
    """Whether this process is the one that writes, among those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def parts_of(setup: Setup, settings: TrainingSettings, fold: int | None) -> Parts:
    """Which cases are for what. Early stopping takes its own from the training cases where none are named."""
    cohort = setup.cohort
    if fold is not None:
        train, test = cohort.fold(fold)
        validation: tuple[int, ...] = ()
    elif cohort.split_kind == "none":
        train, validation, test = cohort.rows, (), ()
    else:
        train, validation, test = (cohort.split_rows("train"), cohort.split_rows("validation"),
                                   cohort.split_rows("test"))
    if settings.patience and not validation:
        train, validation = cohort.hold_out(train, HELD_OUT, settings.seed)
    return Parts(train, validation, test)


def train(
    setup: Setup, settings: TrainingSettings, folder: Path, *, data: Path, resume: bool, reporter: Reporter,
    plots: bool = True, given: Mapping[int | None, Given] | None = None,
) -> Trained:
    """Train a network, on every fold where the split has folds and none is chosen.

    With folds each has a folder of its own, and the run's figures are over all cases, each predicted by the
    network that did not see it. Without `plots` no picture is drawn. `given` is what is known for a fold, or for None
    without folds; what training needs is then not estimated.
    Raises: DataError with `no-fold`; RunError when training fails.
    """
    folds, given = setup.cohort.fold_count, given or {}
    if settings.fold is not None and settings.fold >= folds:
        why = f"the split has {folds} folds, counted from 0" if folds else "the split is not made of folds"
        place = setup.cohort.description.span("split")
        raise DataError(Diagnostic("no-fold", f"there is no fold {settings.fold}", place, why,
                                   "leave --fold out, or name one that is there"))
    if not folds or settings.fold is not None:
        return _train_one(setup, settings, folder, settings.fold, data, resume, reporter, plots,
                          given.get(settings.fold))
    done = []
    for fold in range(folds):
        reporter.line(f"fold {fold + 1} of {folds}")
        # The plots of all folds together say more than those of each, and each would take seconds to draw.
        done.append(_train_one(setup, settings, folder / f"fold-{fold}", fold, data, resume, reporter, False,
                               given.get(fold)))
    rows = tuple(row for part in done for row in part.rows)
    results = joined([part.results for part in done])
    number = {"fold": [str(fold) for fold, part in enumerate(done) for _ in part.rows]}
    reports = _written(folder, setup, rows, results, {"folds": folds}, number, plots)
    return Trained(folder, rows, results, reports)


def advice_for(setup: Setup, settings: TrainingSettings) -> list[Diagnostic]:
    """What the network and the training cases say of each other that is no fault: stand-ins that will not learn."""
    if settings.modality_dropout:
        return []
    rows = list(setup.cohort.split_rows("train") or setup.cohort.rows)
    return untrained(setup.plan, lambda name: not setup.cohort.present(name)[rows].all())


def claim(folder: Path, resume: bool) -> None:
    """Refuse a folder that holds something already, unless a run in it is to go on.

    Raises: DataError with `folder-not-empty`.
    """
    if not resume and is_main() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(Diagnostic("folder-not-empty", f"{str(folder)!r} is there already and is not an empty folder",
                                   fix="give another -o, or go on with an interrupted run: --resume"))


def _train_one(
    setup: Setup, settings: TrainingSettings, folder: Path, fold: int | None, data: Path, resume: bool,
    reporter: Reporter, plots: bool, given: Given | None = None,
) -> Trained:
    parts = parts_of(setup, settings, fold)
    cohort, cache = setup.cohort, cache_for(data)
    preprocessing = cohort.fit(parts.train)

    def cases(part: str) -> CaseDataset:
        read = cohort.dataset(getattr(parts, part), preprocessing, cache)
        return given.cases(part, read) if given else read

    watched = cases("validation") if parts.validation else None
    models = _finished(folder, setup) if resume else None
    if models is None:
        before = _write_setup(folder, setup, settings, preprocessing)
        try:
            fitted = _fitted(setup, settings, folder, cases("train"), watched, resume, reporter,
                             given.build if given else None, aloud=not fold and given is None)
        except UserError:
            _unwrite(folder, before)
            raise
        _finish(folder, fitted, parts, setup, settings, data)
        models = [result.model for result in fitted]
    if not is_main():
        return Trained(folder, (), {}, [])
    running = Settings(settings.batch_size, settings.device, settings.precision, settings.seed, settings.workers)
    calibration = _calibrated(folder, models, watched, setup, running, reporter)
    if not parts.test:
        return Trained(folder, (), {}, [])
    with reporter.progress("predicting") as update:
        results = calibrated(predict(models, cases("test"), setup.plan.uncertainty, running, update), calibration)
    reports = _written(folder, setup, parts.test, results, {"fold": fold}, plots=plots)
    return Trained(folder, parts.test, results, reports)


def _finished(folder: Path, setup: Setup) -> list[FusionModel] | None:
    """The networks of a run that is finished; None where there is more to train.

    Raises: GraphError with `resume-differs` when it lacks networks and is of another graph than those would be.
    """
    if not (folder / RUN).is_file():
        return None
    run, wanted = open_run(folder), members_of(setup.plan.uncertainty)
    if run.members >= wanted:
        return run.networks(wanted)
    before, now = ({key: value for key, value in written(plan).items() if key not in ("uncertainty", "training")}
                   for plan in (run.model.plan, setup.plan))
    if before != now:
        raise GraphError(Diagnostic("resume-differs", f"the run in {str(folder)!r} cannot be given more networks: its "
                                    "graph is another one", fix="use the graph that it began with"))
    return None


def _fitted(
    setup: Setup, settings: TrainingSettings, folder: Path, learned: CaseDataset, watched: CaseDataset | None,
    resume: bool, reporter: Reporter, build: Callable[[int], FusionModel] | None, aloud: bool,
) -> list[FitResult]:
    """The trained networks, one after the other; what they will need is said first when it is to be said `aloud`."""
    count, results = members_of(setup.plan.uncertainty), []
    for member in range(count):
        own = settings.model_copy(update={"seed": settings.seed + member})
        model = build(own.seed) if build else build_plan(setup.plan, own.seed)
        if aloud and not member:
            for line in timed(estimate(setup.plan, own, len(learned)), model, learned, own).lines():
                reporter.line(line)
            if count > 1:
                reporter.line(f"{count} networks, one after the other, each as above")
        with reporter.progress(f"training {member + 1} of {count}" if count > 1 else "training") as update:
            results.append(fit(model, learned, watched, own, member_folder(folder, member), resume=resume,
                               progress=partial(_told, update, own.epochs)))
    return results


def _told(update: Callable[[int, int], None], epochs: int, epoch: int, step: int, steps: int, loss: float) -> None:
    update((epoch - 1) * steps + step, epochs * steps)


def _calibrated(
    folder: Path, models: Sequence[FusionModel], watched: CaseDataset | None, setup: Setup, running: Settings,
    reporter: Reporter,
) -> Calibration | None:
    """The calibration of a run: the one that it has, else one fitted on its validation cases, None without any."""
    method = setup.plan.uncertainty
    kept = read_calibration(folder, {head.name: (head.task, head.names) for head in setup.plan.heads})
    if kept is not None:
        return kept if kept.uncertainty == told(method) else None
    if watched is None:
        return None
    with reporter.progress("calibrating") as update:
        results = predict(models, watched, method, running, update)
    made = calibrate(results, Choices(), "validation", method)
    for name, head in made.heads.items():
        for note in head.notes:
            reporter.line(f"calibration of {name}: {note}")
    write_calibration(folder, made)
    return made


def _write_setup(folder: Path, setup: Setup, settings: TrainingSettings, preprocessing: Preprocessing
                 ) -> dict[str, str]:
    """What repeats the run: graph and data as resolved, every default written out. Gives what stood there before."""
    if not is_main():
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    before = {name: (folder / name).read_text(encoding="utf-8") for name in (GRAPH, DATA, PREPROCESSING)
              if (folder / name).is_file()}
    graph = {**written(setup.plan), "training": settings.model_dump(mode="json", exclude_none=True)}
    write_text(folder / GRAPH, write(graph))
    write_text(folder / DATA, write(setup.cohort.description.to_plain()))
    write_text(folder / PREPROCESSING, preprocessing.to_json() + "\n")
    return before


def _unwrite(folder: Path, before: Mapping[str, str]) -> None:
    """Take back what `_write_setup` wrote for a run that was refused: as before, or nothing before its first step."""
    for name, text in before.items():
        write_text(folder / name, text)
    if is_main() and not before and not (folder / LAST).exists():
        for name in (GRAPH, DATA, PREPROCESSING):
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _finish(
    folder: Path, fitted: Sequence[FitResult], parts: Parts, setup: Setup, settings: TrainingSettings, data: Path
) -> None:
    """Write the networks, and last of all the file that makes the folder a finished run."""
    if not is_main():
        return
    graph = (folder / GRAPH).read_text(encoding="utf-8")
    save_network(fitted[0].model, folder)
    write_text(folder / GRAPH, graph)
    for member, result in enumerate(fitted[1:], start=1):
        save_weights(result.model, member_folder(folder, member) / WEIGHTS)
    (folder / CALIBRATION).unlink(missing_ok=True)  # it was fitted to other networks
    ids = setup.cohort.ids
    named: dict[str, Sequence[str]] = {part: [ids[row] for row in getattr(parts, part)]
                                       for part in ("train", "validation", "test")}
    members = [{"seed": settings.seed + member, "best_epoch": result.best_epoch, "epochs": result.epochs}
               for member, result in enumerate(fitted)]
    write_json(folder / RUN, {"fusionkit-run": 1, "data": str(data.resolve()), "best_epoch": fitted[0].best_epoch,
                              "epochs": fitted[0].epochs, MEMBERS: members, **named})


def _written(
    folder: Path, setup: Setup, rows: Sequence[int], results: dict[str, HeadResult], about: dict[str, Any],
    extra: Mapping[str, Sequence[str]] | None = None, plots: bool = True,
) -> list[HeadReport]:
    if not is_main():
        return []
    told = {"network": setup.plan.name, **about}
    return write_results(folder, results, setup.cohort, rows, about=told, extra=extra, plots=plots)



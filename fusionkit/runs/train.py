"""One training from files to metrics: split, fit, save, calibrate, predict the test cases, measure; fold by fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fusionkit.errors import DataError, Diagnostic, UserError
from fusionkit.evaluation.calibration import CALIBRATION, Calibration, Choices, read_calibration, write_calibration
from fusionkit.evaluation.chosen_metrics import default_metrics, installed_metrics
from fusionkit.evaluation.report import HeadReport
from fusionkit.evaluation.sites import LeftOutSites
from fusionkit.evaluation.thresholds import THRESHOLD
from fusionkit.files import replacing, write_json, write_text
from fusionkit.inference.ensemble import MEMBERS, Committee, member_folder, members_of
from fusionkit.inference.predict import HeadResult, predict
from fusionkit.inference.sampler import Sampler
from fusionkit.network.build import build_plan
from fusionkit.network.folder import GRAPH, WEIGHTS, save_network
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import save_weights
from fusionkit.planning.weights_used import weights_used
from fusionkit.planning.write_graph import written
from fusionkit.runs.cases_record import CASES, PARTS, record_of
from fusionkit.runs.cohort_record import COHORT, fold_parts, write_cohort
from fusionkit.runs.folder import COUNTS, DATA, HELD_OUT, PREPROCESSING, ROOTS, RUN, SETTLED, open_run
from fusionkit.runs.hold_out import HELD_OUT_FOLDS, held_out_before, predict_held_out
from fusionkit.runs.job import Job, JobCases, Parts, Precomputed, Reporter, is_main, parts_of
from fusionkit.runs.left_out_sites import fold_columns, judge_sites
from fusionkit.runs.lock import holds_other_files, locked
from fusionkit.runs.priors import PriorShift, as_record, correct_priors, prior_shifts, told
from fusionkit.runs.results import calibrate, calibrated, joined, method_record, write_results
from fusionkit.runs.resumption import check_graph, check_settings, fitted_as_before, is_trained, placed, record_for
from fusionkit.runs.setup import Setup
from fusionkit.runs.stage import seen_in_stages
from fusionkit.runs.training_outcomes import (
    forget_training_outcomes,
    has_training_outcomes,
    keeps,
    read_training_outcomes,
    with_training_outcomes,
    write_training_outcomes,
)
from fusionkit.syntax.writer import write
from fusionkit.training.checkpoint import LAST
from fusionkit.training.estimate import estimate, longest_of, timed
from fusionkit.training.loop import fit
from fusionkit.training.reading_ahead import reading_ahead
from fusionkit.training.result import FitResult, over_epochs
from fusionkit.training.settings import FOLDS, TrainingSettings
from fusionkit.training.unfreezing import never_learning

_OF_THE_SETUP = (GRAPH, DATA, PREPROCESSING, CASES, COHORT)


@dataclass(frozen=True)
class Trained:
    """A finished training: each head's results for the test cases, and their metrics, also by site left out."""

    folder: Path
    rows: tuple[int, ...]
    results: dict[str, HeadResult]
    reports: list[HeadReport]
    sites: Sequence[LeftOutSites] = ()


def train(
    setup: Setup, settings: TrainingSettings, folder: Path, *, data: Path, resume: bool, reporter: Reporter,
    plots: bool = True, given: Mapping[int | None, Precomputed] | None = None,
) -> Trained:
    """Train a network, on every fold where the split has folds and none is chosen.

    With folds, each has a folder of its own, and the run's metrics are over all cases, each predicted by the network
    that did not see it. Without `plots` no picture is drawn. `given` maps a fold, or None without folds, to what was
    computed in advance; memory and time are then not estimated.
    Raises: DataError with `no-fold`; RunError when training fails.
    """
    folds, given, fold = setup.cohort.fold_count, given or {}, settings.fold
    if fold is not None and fold >= folds:
        why = f"the split has {folds} folds, counted from 0" if folds else "the split is not made of folds"
        place = setup.cohort.description.span("split")
        raise DataError(Diagnostic("no-fold", f"there is no fold {fold}", place, why,
                                   "leave --fold out, or give an existing one"))
    if resume:
        setup, settings, folder = placed(setup, settings, folder)
    job = Job(setup, settings, folder, data, reporter, resume, plots, fold, given.get(fold))
    if not folds or fold is not None:
        return _train_one(job)
    begins = is_main() and not (folder / CASES).exists()
    if begins:
        record_of(setup.cohort, {}).write(folder)
    counts = begins and not (folder / COHORT).exists()
    if counts:
        write_cohort(folder, setup.cohort, fold_parts(setup.cohort))
    done: list[Trained] = []
    for fold in range(folds):
        reporter.line(f"fold {fold + 1} of {folds}{setup.cohort.left_out(fold)}")
        # Plots of all folds together are more informative than those of each, which would take seconds to draw.
        try:
            done.append(_train_one(replace(job, folder=folder / f"fold-{fold}", fold=fold, folds=folds, plots=False,
                                           given=given.get(fold))))
        except UserError:
            if begins and not done:
                (folder / CASES).unlink()
                if counts:
                    (folder / COHORT).unlink()
                _remove_empty(folder)
            raise
    if settings.stage:
        return Trained(folder, (), {}, [])
    rows = tuple(row for part in done for row in part.rows)
    results = joined([part.results for part in done])
    folds_of = [str(fold) for fold, part in enumerate(done) for _ in part.rows]
    return _evaluated(job, rows, results, about={"folds": folds}, folds=folds_of)


def train_networks(setup: Setup, settings: TrainingSettings, folder: Path, fold: int | None, *, data: Path,
                   reporter: Reporter, given: Precomputed | None = None) -> None:
    """Train and save the networks of one split of a run, and nothing else: `train` with `resume` completes it."""
    setup, settings, folder = placed(setup, settings, folder)
    of_folds = bool(setup.cohort.fold_count) and settings.fold is None
    _networks(_split(Job(setup, settings, folder / f"fold-{fold}" if of_folds else folder, data, reporter, True, False,
                         fold, given, setup.cohort.fold_count if of_folds else 1)))


@contextmanager
def claimed(folder: Path, resume: bool) -> Iterator[None]:
    """Have a folder for this process alone; one that is not empty is refused, unless a run in it is to be resumed.

    Raises: DataError with `folder-not-empty` or `folder-in-use`.
    """
    if not is_main():
        yield
        return
    _refuse_other_files(folder, resume)
    with locked(folder):
        _refuse_other_files(folder, resume)  # which another process may have written meanwhile
        yield


def _refuse_other_files(folder: Path, resume: bool) -> None:
    if folder.exists() and (not folder.is_dir() or (not resume and holds_other_files(folder))):
        raise DataError(Diagnostic("folder-not-empty", f"{str(folder)!r} already exists and is not an empty folder",
                                   fix="give another -o, or continue an interrupted run: --resume"))


def _train_one(job: Job) -> Trained:
    """The steps of a training, in order; a process that does not write stops after the networks."""
    cases = _split(job)
    _warn_of_stages(cases)
    models = _networks(cases)
    if not is_main() or job.settings.stage:
        return Trained(job.folder, (), {}, [])
    samplers: dict[FusionModel, Sampler] = {}
    calibration, kept = _calibration(cases, models, samplers), _kept(cases, models, samplers)
    if not cases.parts.test:
        return Trained(job.folder, (), {}, [])
    results = calibrated(with_training_outcomes(_predicted(cases, models, samplers), kept), calibration)
    return _evaluated(job, cases.parts.test, results, about={"fold": job.fold})


def _warn_of_stages(cases: JobCases) -> None:
    """Say whether weights that nodes start from come from stages that have seen cases of later parts."""
    job, ids = cases.job, cases.job.setup.cohort.ids
    later = {part: [ids[row] for row in getattr(cases.parts, part)] for part in ("validation", "test")}
    for warning in seen_in_stages(job.setup.plan, job.fold, later):
        job.report_once(warning.render())


def _split(job: Job) -> JobCases:
    """The use of the cases, and their preprocessing: the original ones if a run is resumed."""
    setup, folder = job.setup, job.folder
    parts = parts_of(setup, job.settings, job.fold)
    if job.settings.stage:
        parts = Parts(parts.train, (), ())
    if not job.resume:
        return JobCases(job, parts, setup.cohort.fit(parts.train))
    check_graph(setup.plan, folder)
    before = record_for(setup, asdict(parts), folder, job.settings.fold)
    recorded = None
    if before is not None:
        parts = Parts(*(before.rows(part, setup.cohort.ids) for part in PARTS))
        recorded = held_out_before(before.parts["train"], before.held_out)
    return JobCases(job, parts, fitted_as_before(setup.cohort.fit(parts.train), folder), recorded)


def _networks(cases: JobCases) -> Sequence[FusionModel]:
    """The networks of a run: those of a finished run if it is resumed, else trained now and saved."""
    job = cases.job
    finished = _finished(cases) if job.resume else None
    if finished is not None:
        return finished
    before = _write_setup(cases)
    try:
        fitted = _fitted(cases)
    except UserError:
        _unwrite(job.folder, before)
        raise
    networks = [result.model for result in fitted]
    shifts = prior_shifts(job.setup.plan, job.setup.cohort, cases.parts.train, job.settings)
    correct_priors(networks, shifts)
    for line in told(job.setup.plan, shifts):
        job.report_once(line)
    _finish(cases, fitted, shifts)
    return Committee(networks) if cases.held_out.folds else networks


def _finished(cases: JobCases) -> Sequence[FusionModel] | None:
    """The networks of a finished run; None if there is more to train.

    Raises: UserError with `resume-differs` when its settings are other ones than are asked for.
    """
    job, folder, settings = cases.job, cases.job.folder, cases.job.settings
    if not (folder / RUN).is_file():
        return None
    run, count = None if settings.stage else open_run(folder), cases.networks
    check_settings(settings, folder)
    every = [settings.for_network(member, len(cases.held_out.learned(cases.training, member)))
             for member in range(count)]
    if (run is not None and run.members < count) or not is_trained(every, folder):
        return None
    epochs = every[0].epochs if run is None else run.about["epochs"]
    job.reporter.line(f"the run in {folder} is finished, nothing to do: it has its {epochs} epochs; a "
                      "larger --epochs continues it")
    return [] if run is None else run.networks(members_of(job.setup.plan.uncertainty))


def _fitted(cases: JobCases) -> list[FitResult]:
    """Train the networks one after the other; memory and time are estimated before the first, once for all folds."""
    job, count, results = cases.job, cases.networks, []
    setup, settings, given = job.setup, job.settings, job.given
    for member in range(count):
        learned = cases.held_out.learned(cases.training, member)
        own = settings.for_network(member, len(learned))
        model = build_plan(setup.plan, own.seed, given.modules if given else None, job.fold)
        if not member and not job.fold and given is None:
            needed = timed(estimate(setup.plan, own, len(learned), longest_of(learned)), model, learned, own)
            for line in [*needed.lines(), needed.total(job.folds, count)]:
                if line:
                    job.reporter.line(line)
            if learned.augmentation is not None:
                unplaced = job.setup.cohort.inputs_without_extent(cases.parts.train)
                for line in learned.augmentation.told(learned.inputs, unplaced, learned.alike):
                    job.reporter.line(line)
            ahead = reading_ahead(own, learned)
            if own.workers == "auto" and ahead.workers:
                job.reporter.line(f"{ahead.workers} processes read cases ahead")
            if ahead.warning is not None:
                job.report_once(ahead.warning.render())
        for warning in never_learning(setup.plan, own.epochs):
            job.report_once(warning.render())
        with job.reporter.progress(f"training {member + 1} of {count}" if count > 1 else "training") as update:
            results.append(fit(model, learned, cases.watched(member), own, member_folder(job.folder, member),
                               resume=job.resume, progress=over_epochs(update, own.epochs)))
    return results


def _calibration(cases: JobCases, models: Sequence[FusionModel], samplers: dict[FusionModel, Sampler]
                 ) -> Calibration | None:
    """The calibration of a run: its own, else one fitted on its validation cases, None without any."""
    job, plan = cases.job, cases.job.setup.plan
    kept = read_calibration(job.folder, {head.name: (head.declared_task, head.names) for head in plan.heads})
    if kept is not None:
        return kept if kept.uncertainty == method_record(plan.uncertainty) else None
    if cases.validation is None and not cases.held_out.folds:
        return None
    with job.reporter.progress("calibrating") as update:
        if cases.validation is None:
            own = [cases.training.some(cases.held_out.places(member)) for member in range(min(len(models), FOLDS))]
            rows = [row for part in own for row in part.rows]
            results = predict_held_out(models[:FOLDS], own, plan.uncertainty, job.inference, update,
                                       kept=samplers)
        else:
            rows = list(cases.validation.rows)
            results = predict(models, cases.validation, plan.uncertainty, job.inference, update, kept=samplers)
    made = calibrate(results, Choices(), HELD_OUT_FOLDS if cases.held_out.folds else "validation", plan.uncertainty,
                     patients=job.setup.cohort.named_patients(rows))
    for name, head in made.heads.items():
        for note in head.notes:
            job.report_once(f"calibration of {name}: {note}")
    write_calibration(job.folder, made)
    return made


def _kept(cases: JobCases, models: Sequence[FusionModel], samplers: dict[FusionModel, Sampler]
          ) -> dict[str, Mapping[str, Any]]:
    """What the run keeps of its training cases for evaluations, where the task of a head asks for it."""
    job, heads = cases.job, cases.job.setup.plan.heads
    if keeps(heads) and not has_training_outcomes(job.folder, heads):
        cohort = job.setup.cohort
        results = predict(models, cases.training, job.setup.plan.uncertainty, job.inference, kept=samplers)
        named = cohort.description.patient is not None
        write_training_outcomes(job.folder, results, [cohort.patients[row] for row in cases.parts.train] if named
                                else None)
    return read_training_outcomes(job.folder, heads)


def _predicted(cases: JobCases, models: Sequence[FusionModel], samplers: dict[FusionModel, Sampler]
               ) -> dict[str, HeadResult]:
    """The networks' results for the test cases."""
    job = cases.job
    with job.reporter.progress("predicting") as update:
        return predict(models, cases.dataset("test"), job.setup.plan.uncertainty, job.inference, update, kept=samplers)


def _write_setup(cases: JobCases) -> dict[str, bytes]:
    """Write what reproduces the run: resolved graph and data, with every default. Returns the former contents."""
    job, folder = cases.job, cases.job.folder
    if not is_main():
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    before = {name: (folder / name).read_bytes() for name in _OF_THE_SETUP if (folder / name).is_file()}
    graph = {**written(job.setup.plan), "training": job.settings.model_dump(mode="json", exclude_none=True)}
    write_text(folder / GRAPH, write(graph))
    write_text(folder / DATA, write(job.setup.cohort.description.to_plain()))
    write_text(folder / PREPROCESSING, cases.preprocessing.to_json() + "\n")
    if CASES not in before:
        parts = asdict(cases.parts)
        record_of(job.setup.cohort, parts, fold=job.settings.fold, held_out=cases.held_out.of_networks).write(folder)
        write_cohort(folder, job.setup.cohort, parts)
    return before


def _unwrite(folder: Path, before: Mapping[str, bytes]) -> None:
    """Undo `_write_setup` for a run that was refused: restore the former files, or remove those of a new run."""
    for name, content in before.items():
        with replacing(folder / name) as aside:
            aside.write_bytes(content)
    if is_main() and not before and not (folder / LAST).exists():
        for name in _OF_THE_SETUP:
            (folder / name).unlink(missing_ok=True)
        _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _finish(cases: JobCases, fitted: Sequence[FitResult], shifts: Mapping[str, PriorShift]) -> None:
    """Write the networks, and last the file that marks the folder as a finished run."""
    if not is_main():
        return
    job, folder = cases.job, cases.job.folder
    graph = (folder / GRAPH).read_text(encoding="utf-8")
    save_network(fitted[0].model, folder)
    write_text(folder / GRAPH, graph)
    for member, result in enumerate(fitted[1:], start=1):
        save_weights(result.model, member_folder(folder, member) / WEIGHTS)
    for fitted_to_others in (CALIBRATION, THRESHOLD):
        (folder / fitted_to_others).unlink(missing_ok=True)
    forget_training_outcomes(folder, job.setup.plan.heads)
    ids = job.setup.cohort.ids
    named: dict[str, Sequence[str]] = {part: [ids[row] for row in getattr(cases.parts, part)]
                                       for part in ("train", "validation", "test")}
    members: list[dict[str, Any]] = [
        {"seed": job.settings.seed + member, "best_epoch": result.best_epoch, "epochs": result.epochs,
         "steps": result.epochs * job.settings.epoch_steps(result.state.cases)}
        for member, result in enumerate(fitted)]
    if cases.held_out.folds:
        for member, about in enumerate(members):
            about[HELD_OUT] = [named["train"][place] for place in cases.held_out.places(member)]
    roots = [str(root.resolve()) for root in job.setup.cohort.description.roots]
    started = [used.as_json() for used in weights_used(job.setup.plan)]
    counts = {name: dict(found.counts) for name, found in job.setup.cohort.gathered.items() if found.counts}
    stage = {"stage": job.settings.stage} if job.settings.stage else {}
    write_json(folder / RUN, {"fusionkit-run": 1, **stage, "data": str(job.data.resolve()),
                              **({ROOTS: roots} if roots else {}),
                              **({"weights": started} if started else {}),
                              **({COUNTS: counts} if counts else {}),
                              "best_epoch": fitted[0].best_epoch,
                              "epochs": fitted[0].epochs, MEMBERS: members,
                              **({SETTLED: list(fitted[0].settled)} if fitted[0].settled else {}),
                              **as_record(shifts), **named})


def _evaluated(
    job: Job, rows: Sequence[int], results: dict[str, HeadResult], *, about: dict[str, Any], folds: Sequence[str] = (),
) -> Trained:
    """Predictions, metrics and plots of the test cases, written to the job's folder; `folds` are those of the cases."""
    if not is_main():
        return Trained(job.folder, tuple(rows), results, [])
    cohort, registry = job.setup.cohort, job.setup.registry
    metrics = default_metrics() if registry is None else installed_metrics(registry)
    extra = fold_columns(job.folder, folds) if folds else None
    reports = write_results(job.folder, results, cohort, rows, about={"network": job.setup.plan.name, **about},
                            extra=extra, plots=job.plots, metrics=metrics)
    sites = judge_sites(job.folder, results, folds, cohort.named_patients(rows), reports, metrics=metrics,
                        output=job.folder)
    return Trained(job.folder, tuple(rows), results, reports, sites)

"""The networks of a run and how to run them: by which uncertainty method, on which device, how samples are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import get_args

from fusionkit.components.component import Component
from fusionkit.data.laterality import check_mirrored_view
from fusionkit.data.loading import CaseDataset, Cohort
from fusionkit.errors import Diagnostic, GraphError, Span, UserError
from fusionkit.evaluation.calibration import Calibration
from fusionkit.evaluation.thresholds import Thresholds
from fusionkit.graph.nodes import Step
from fusionkit.inference.ensemble import MEMBERS, members_of
from fusionkit.inference.head_result import HeadResult
from fusionkit.inference.predict import Settings, predict
from fusionkit.inference.views import MIRRORING, named_views
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.run_keywords import Device as Device
from fusionkit.interface.run_keywords import RunKeywords as RunKeywords
from fusionkit.interface.run_keywords import run_keywords as run_keywords
from fusionkit.network.model import FusionModel
from fusionkit.planning.resolve import Use
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.decisions import decided
from fusionkit.runs.fold_means import mean_of
from fusionkit.runs.fold_networks import open_runs
from fusionkit.runs.folder import Run, cohort_of
from fusionkit.runs.hold_out import predict_held_out
from fusionkit.runs.results import calibrated, joined, method_record
from fusionkit.runs.setup import cache_for
from fusionkit.runs.training_outcomes import with_training_outcomes
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Leaf
from fusionkit.syntax.tree import Mapping as MappingNode
from fusionkit.training.settings import read_settings

MOST_MEMORY = 1 << 24


@dataclass(frozen=True)
class OpenedRun:
    """A run with the requested number of its networks, and how to run them."""

    run: Run
    method: Use | None
    models: Sequence[FusionModel]
    calibration: Calibration | None
    options: RunKeywords
    registry: Registry
    console: Console
    thresholds: Thresholds | None = None

    def cohort(self, data: str | Path | None, *, require_targets: bool) -> Cohort:
        """Cases for the run; its own without `data`. What other cases are warned of is shown.

        Raises: DataError with everything that is wrong, `flip-laterality` if what is said of a case has a side and a
        view mirrors it.
        """
        with self.console.progress("reading") as update:
            cohort = cohort_of(self.run, data, require_targets=require_targets, progress=update,
                               data_roots=self.options["data_roots"])
        for warning in cohort.warnings if data is not None else ():
            self.console.note(warning.render())
        if MIRRORING in named_views(self.options["tta"]):
            check_mirrored_view(cohort.description, cohort.layouts, cohort.heads)
        return cohort

    def dataset(self, cohort: Cohort, rows: Sequence[int], data: str | Path | None) -> CaseDataset:
        """Some cases in the form that the networks read; `data` is where the cohort is from."""
        return cohort.dataset(rows, self.run.preprocessing, cache_for(data or self.run.data))

    def settings(self) -> Settings:
        """How to run the networks: with batch size, precision and seed of the training, to reproduce its results.

        Raises: GraphError when an option is out of range.
        """
        memory, device = self.options["memory"], self.options["device"]
        if memory is not None and not 0 <= memory <= MOST_MEMORY:
            raise GraphError(Diagnostic("bad-argument", f"--memory cannot be {memory}", why="it is in megabytes, at "
                                        f"most {MOST_MEMORY:,}", fix="with 0, samples are drawn one at a time"))
        check_device(device)
        trained = read_settings(self.run.model.plan.graph.training)
        made = Settings(trained.batch_size, device, trained.precision, trained.seed, looped=self.options["looped"],
                        views=named_views(self.options["tta"]))
        return made if memory is None else replace(made, memory=memory * 2**20)

    def predicted(self, dataset: CaseDataset) -> dict[str, HeadResult]:
        """Each head's results for the cases."""
        with self.console.progress("predicting") as update:
            found = predict(self.models, dataset, self.method, self.settings(), update)
        return with_training_outcomes(found, self.run.kept)

    def results(self, dataset: CaseDataset) -> dict[str, HeadResult]:
        """The same, calibrated if the run has a calibration, and decided by its thresholds if it has some."""
        return decided(calibrated(self.predicted(dataset), self.calibration), self.thresholds)

    def held_out(self, parts: Sequence[CaseDataset]) -> dict[str, HeadResult]:
        """Results of each head for held-out training cases, each from the network that held it out."""
        with self.console.progress("predicting") as update:
            return predict_held_out(self.models[:len(parts)], parts, self.method, self.settings(), update)


@dataclass(frozen=True)
class OwnResults:
    """Results of a run for its own cases, each from a network that was not trained on it; `fold` has that of each."""

    rows: tuple[int, ...]
    results: dict[str, HeadResult]
    fold: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenedFolder:
    """What a folder holds: one run, or one for each fold. Networks of several folds predict new cases together.

    `calibration` is that of the folder itself, where it holds folds.
    """

    folder: Path
    parts: tuple[OpenedRun, ...]
    calibration: Calibration | None

    @property
    def first(self) -> OpenedRun:
        """The run, or that of the first fold."""
        return self.parts[0]

    @property
    def runs(self) -> list[Run]:
        """The run, or those of the folds."""
        return [part.run for part in self.parts]

    def is_own(self, data: str | Path | None) -> bool:
        """Whether a data description is the one that the run was trained on; true if there is none."""
        return data is None or Path(data).resolve() == self.first.run.data.resolve()

    def own_rows(self, cohort: Cohort, part: str) -> list[list[int]]:
        """The rows of the part `test` or `validation` of the run, or of each fold."""
        place = {name: row for row, name in enumerate(cohort.ids)}
        return [[place[name] for name in opened.run.about.get(part) or () if name in place] for opened in self.parts]

    def own(self, cohort: Cohort, part: str, *, calibrate: bool = True) -> OwnResults:
        """Of the cases of the part `test` or `validation`; with folds each by the network of its fold.

        With `calibrate` each network's results are those of its calibration.
        """
        rows, results, folds = [], [], []
        for number, (opened, own) in enumerate(zip(self.parts, self.own_rows(cohort, part), strict=True)):
            if own:
                dataset = opened.dataset(cohort, own, None)
                results.append(opened.results(dataset) if calibrate else opened.predicted(dataset))
                rows.extend(own)
                folds.extend([str(number)] * len(own) if len(self.parts) > 1 else [])
        return OwnResults(tuple(rows), joined(results) if len(results) > 1 else results[0] if results else {},
                          tuple(folds))

    def everywhere(self, cohort: Cohort, rows: Sequence[int], data: str | Path | None, *, calibrate: bool = True
                   ) -> dict[str, HeadResult]:
        """What each head says of some cases: of several folds the mean over their networks."""
        found = [part.predicted(part.dataset(cohort, rows, data)) for part in self.parts]
        return self.together(found, calibrate=calibrate)

    def together(self, found: Sequence[Mapping[str, HeadResult]], *, calibrate: bool = True) -> dict[str, HeadResult]:
        """One result of those of every fold for the same cases: the mean, calibrated by the folder's calibration."""
        made = calibrated(mean_of(found) if len(found) > 1 else found[0], self.calibration if calibrate else None)
        return decided(made, self.first.thresholds if len(found) == 1 else None)


def open_networks(
    folder: str | PathLike[str], options: RunKeywords, *, samples: int | None = None, to_calibrate: bool = False
) -> OpenedFolder:
    """Open a run and load its networks; without its calibration if one is about to be fitted.

    `options` has all keys; `samples` is the number of passes of the method, None keeps its own.
    Raises: GraphError if the folder is not a run or the method does not fit it, DataError with `no-fold`, UserError
    with `unreadable-calibration` or `tta-differs`.
    """
    registry = discover(components=options["components"], files=[str(file) for file in options["plugins"]])
    console = console_for(options["console"], options["quiet"])
    tta, parts = named_views(options["tta"]), []
    for run in open_runs(Path(folder), options["fold"], registry):
        method = method_of(run, options["uncertainty"], samples, registry)
        calibration = None if to_calibrate else calibration_of(run.calibration(), method, tta, console)
        thresholds = None if to_calibrate else thresholds_of(run.thresholds(), method, tta, console)
        parts.append(OpenedRun(run, method, run.networks(members_of(method)), calibration, options, registry, console,
                               thresholds))
    first = parts[0]
    if len(parts) == 1:
        return OpenedFolder(first.run.folder, (first,), first.calibration)
    of_all = None if to_calibrate else calibration_of(
        first.run.calibration(Path(folder)), first.method, tta, console)
    if any(part.thresholds for part in parts):
        console.note("each fold has a threshold for its own test cases; other cases, which all networks predict "
                     "together, are positive from 0.5 or by the largest probability")
    return OpenedFolder(Path(folder), tuple(parts), of_all)


def check_device(name: str) -> None:
    """Refuse what the command line would not accept.

    Raises: GraphError with `bad-argument`.
    """
    if name not in get_args(Device):
        raise GraphError(Diagnostic("bad-argument", f"--device cannot be {name!r}",
                                    fix=f"choose one of {', '.join(get_args(Device))}"))


def method_of(run: Run, name: str | None, samples: int | None, registry: Registry) -> Use | None:
    """The method to use: `name`, else the graph's; `samples` overrides its number of passes.

    A method given by name uses as many networks as the run has.
    Raises: GraphError if the id is unknown, of another kind, has no such option, or needs more networks.
    """
    own = run.model.plan.uncertainty
    if name is None and (own is None or samples is None):
        return own
    use = name or (own.step.use if own else "")
    span = Span("--uncertainty", 1, 1, use)
    if not use.startswith("uncertainty."):
        raise GraphError(Diagnostic("wrong-kind", f"{use!r} is not an uncertainty method", span,
                                    fix="`fusionkit plugins list --kind uncertainty` shows them"))
    component = registry.load(use, span)
    written = {} if samples is None else {"samples": Leaf(samples, span, str(samples))}
    options = MappingNode(dict(written), dict.fromkeys(written, span), span)
    if own is not None and own.step.use == use and own.step.options is not None:
        keys = {**own.step.options.keys, **dict.fromkeys(written, span)}
        options = MappingNode({**own.step.options.entries, **written}, keys, span)
    elif MEMBERS in component.config.model_fields:
        options = _with_members(run, component, options, span)
    config, faults = check_options(component.config, options, use, span)
    if config is None:
        raise GraphError(faults)
    return Use(Step(use, options, span), component, config)


def _with_members(run: Run, component: Component, options: MappingNode, span: Span) -> MappingNode:
    """The options, with `members` set to the number of networks of the run.

    Raises: GraphError with `too-few-members`.
    """
    if run.members == 1:
        raise GraphError(Diagnostic(
            "too-few-members", f"{component.id} needs several networks, and the run in {str(run.folder)!r} has one",
            span, fix="train them: fusionkit train ... --set uncertainty.use="
                      f"{component.id} --set uncertainty.with.members=5"))
    entries = {**options.entries, MEMBERS: Leaf(run.members, span, str(run.members))}
    return MappingNode(entries, dict.fromkeys(entries, span), span)


def calibration_of(found: Calibration | None, method: Use | None, tta: Sequence[str], console: Console
                   ) -> Calibration | None:
    """A run's calibration; None if it has none, or, with a note, if it was fitted to another method's results.

    Raises: UserError with `tta-differs` if it was fitted to the results of other views.
    """
    if found is None:
        return None
    if found.tta != tuple(tta):
        asked, fitted = (f"'--tta {','.join(views)}'" if views else "no --tta" for views in (tta, found.tta))
        raise UserError(Diagnostic(
            "tta-differs", f"the run was calibrated with {fitted}, and is asked for {asked}",
            why="temperatures and prediction sets hold for the views that they were fitted to",
            fix=f"give {fitted} here, or calibrate with {asked}: fusionkit calibrate RUN"
                + (f" --tta {','.join(tta)}" if tta else "")))
    if found.uncertainty == method_record(method):
        return found
    before = found.uncertainty["use"] if found.uncertainty else "one pass without randomness"
    console.note(f"the calibration of the run is not used: it was fitted to the results of {before}, another method "
                 "or other options than those requested; `fusionkit calibrate` fits a new one")
    return None


def thresholds_of(found: Thresholds | None, method: Use | None, tta: Sequence[str], console: Console
                  ) -> Thresholds | None:
    """A run's thresholds; None if it has none, or, with a note, if they were chosen for other results."""
    if found is None or (found.uncertainty == method_record(method) and found.tta == tuple(tta)):
        return found
    console.note("the thresholds of the run are not used: they were chosen for the results of another uncertainty "
                 "method or other views; `fusionkit calibrate RUN --threshold` chooses new ones")
    return None

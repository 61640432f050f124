"""The networks of a run and how to run them: by which uncertainty method, on which device, how samples are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal, TypedDict, get_args

from fusionkit.components.component import Component
from fusionkit.data.loading import CaseDataset, Cohort
from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.evaluation.calibration import Calibration
from fusionkit.graph.nodes import Step
from fusionkit.inference.ensemble import MEMBERS, members_of
from fusionkit.inference.predict import HeadResult, Settings, predict
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.keywords import spell_out
from fusionkit.network.model import FusionModel
from fusionkit.planning.resolve import Use
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.folder import Run, cohort_of, open_run
from fusionkit.runs.hold_out import predict_held_out
from fusionkit.runs.results import calibrated, method_record
from fusionkit.runs.setup import cache_for
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Leaf, Mapping
from fusionkit.training.settings import read_settings

Device = Literal["auto", "cpu", "cuda"]


class RunKeywords(TypedDict, total=False):
    """Options that the verbs on runs share: the uncertainty method, how the networks are run, components, output."""

    uncertainty: str | None
    """The id of the method that replaces the graph's."""
    looped: bool
    """Whether samples are drawn one at a time, bit-identical to full passes. False by default."""
    memory: int | None
    """Megabytes that samples drawn in one batch may take; 256 by default."""
    device: Device
    """Where to compute; `auto` by default."""
    plugins: Sequence[str | Path]
    """Python files with your own components."""
    components: Sequence[Component]
    """Your own components."""
    quiet: bool
    """Whether to hide progress and warnings; False by default."""
    console: Console | None
    """Where they are shown."""


run_keywords = spell_out(RunKeywords, RunKeywords(
    uncertainty=None, looped=False, memory=None, device="auto", plugins=(), components=(), quiet=False, console=None))
"""Gives a verb with `**options: Unpack[RunKeywords]` these keywords and their defaults."""


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

    def cohort(self, data: str | Path | None, *, require_targets: bool) -> Cohort:
        """Cases for the run; its own without `data`.

        Raises: DataError with everything that is wrong.
        """
        with self.console.progress("reading") as update:
            return cohort_of(self.run, data, require_targets=require_targets, progress=update)

    def dataset(self, cohort: Cohort, rows: Sequence[int], data: str | Path | None) -> CaseDataset:
        """Some cases in the form that the networks read; `data` is where the cohort is from."""
        return cohort.dataset(rows, self.run.preprocessing, cache_for(data or self.run.data))

    def settings(self) -> Settings:
        """How to run the networks: with batch size, precision and seed of the training, to reproduce its results.

        Raises: GraphError when an option is out of range.
        """
        memory, device = self.options["memory"], self.options["device"]
        if memory is not None and memory < 0:
            raise GraphError(Diagnostic("bad-argument", f"--memory cannot be {memory}",
                                        fix="give megabytes; with 0, samples are drawn one at a time"))
        check_device(device)
        trained = read_settings(self.run.model.plan.graph.training)
        made = Settings(trained.batch_size, device, trained.precision, trained.seed, looped=self.options["looped"])
        return made if memory is None else replace(made, memory=memory * 2**20)

    def results(self, dataset: CaseDataset) -> dict[str, HeadResult]:
        """Each head's results for the cases, calibrated if the run has a calibration."""
        with self.console.progress("predicting") as update:
            found = predict(self.models, dataset, self.method, self.settings(), update)
        return calibrated(found, self.calibration)

    def held_out(self, parts: Sequence[CaseDataset]) -> dict[str, HeadResult]:
        """Results of each head for held-out training cases, each from the network that held it out."""
        with self.console.progress("predicting") as update:
            return predict_held_out(self.models[:len(parts)], parts, self.method, self.settings(), update)


def open_networks(
    folder: str | PathLike[str], options: RunKeywords, *, samples: int | None = None, to_calibrate: bool = False
) -> OpenedRun:
    """Open a run and load its networks; without its calibration if one is about to be fitted.

    `options` has all keys; `samples` is the number of passes of the method, None keeps its own.
    Raises: GraphError if the folder is not a run or the method does not fit it, UserError with
    `unreadable-calibration`.
    """
    registry = discover(components=options["components"], files=[str(file) for file in options["plugins"]])
    console = console_for(options["console"], options["quiet"])
    opened = open_run(Path(folder), registry)
    method = method_of(opened, options["uncertainty"], samples, registry)
    calibration = None if to_calibrate else calibration_of(opened, method, console)
    return OpenedRun(opened, method, opened.networks(members_of(method)), calibration, options, registry, console)


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
    options = Mapping(dict(written), dict.fromkeys(written, span), span)
    if own is not None and own.step.use == use and own.step.options is not None:
        keys = {**own.step.options.keys, **dict.fromkeys(written, span)}
        options = Mapping({**own.step.options.entries, **written}, keys, span)
    elif MEMBERS in component.config.model_fields:
        options = _with_members(run, component, options, span)
    config, faults = check_options(component.config, options, use, span)
    if config is None:
        raise GraphError(faults)
    return Use(Step(use, options, span), component, config)


def _with_members(run: Run, component: Component, options: Mapping, span: Span) -> Mapping:
    """The options, with `members` set to the number of networks of the run.

    Raises: GraphError with `too-few-members`.
    """
    if run.members == 1:
        raise GraphError(Diagnostic(
            "too-few-members", f"{component.id} needs several networks, and the run in {str(run.folder)!r} has one",
            span, fix="train them: fusionkit train ... --set uncertainty.use="
                      f"{component.id} --set uncertainty.with.members=5"))
    entries = {**options.entries, MEMBERS: Leaf(run.members, span, str(run.members))}
    return Mapping(entries, dict.fromkeys(entries, span), span)


def calibration_of(run: Run, method: Use | None, console: Console) -> Calibration | None:
    """The run's calibration; None if it has none, or, with a note, if it was fitted to another method's results.

    Raises: UserError with `unreadable-calibration`.
    """
    found = run.calibration()
    if found is None or found.uncertainty == method_record(method):
        return found
    before = found.uncertainty["use"] if found.uncertainty else "one pass without randomness"
    console.note(f"the calibration of the run is not used: it was fitted to the results of {before}, another method "
                 "or other options than those requested; `fusionkit calibrate` fits a new one")
    return None

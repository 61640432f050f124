"""How a command runs the networks of a run: the uncertainty method, and the settings that its flags change."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from fusionkit.components.component import Component
from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.evaluation.calibration import Calibration
from fusionkit.graph.nodes import Step
from fusionkit.inference.ensemble import MEMBERS
from fusionkit.inference.predict import Settings
from fusionkit.interface.console import Console
from fusionkit.planning.resolve import Use
from fusionkit.registry.lookup import Registry
from fusionkit.runs.folder import Run
from fusionkit.runs.results import told
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Mapping, Scalar
from fusionkit.training.settings import read_settings


def method_of(run: Run, name: str | None, samples: int | None, registry: Registry) -> Use | None:
    """The method to use: `name`, else the graph's; `samples` overrides its number of passes.

    A method that is named takes as many networks as the run has.
    Raises: GraphError when the id is unknown, of another kind, has no such option, or needs more networks.
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
    written = {} if samples is None else {"samples": Scalar(samples, span, str(samples))}
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
    """The options with as many networks as the run has.

    Raises: GraphError with `too-few-members`.
    """
    if run.members == 1:
        raise GraphError(Diagnostic(
            "too-few-members", f"{component.id} needs several networks, and the run in {str(run.folder)!r} has one",
            span, fix="train them: fusionkit train ... --set uncertainty.use="
                      f"{component.id} --set uncertainty.with.members=5"))
    entries = {**options.entries, MEMBERS: Scalar(run.members, span, str(run.members))}
    return Mapping(entries, dict.fromkeys(entries, span), span)


def settings_of(run: Run, args: Namespace) -> Settings:
    """How to run its networks: with the batches, precision and seed of the training, so that its figures come again.

    Raises: GraphError when a flag is out of range.
    """
    if args.memory is not None and args.memory < 0:
        raise GraphError(Diagnostic("bad-argument", f"--memory cannot be {args.memory}",
                                    fix="give megabytes; with 0 samples are drawn one after the other"))
    trained = read_settings(run.model.plan.graph.training)
    made = Settings(trained.batch_size, args.device, trained.precision, trained.seed, looped=args.looped)
    return made if args.memory is None else replace(made, memory=args.memory * 2**20)


def calibration_of(run: Run, method: Use | None, console: Console) -> Calibration | None:
    """The run's calibration, None when it has none or one for the results of another method, which is told.

    Raises: UserError with `unreadable-calibration`.
    """
    found = run.calibration()
    if found is None or found.uncertainty == told(method):
        return found
    before = found.uncertainty["use"] if found.uncertainty else "one pass without randomness"
    console.note(f"the calibration of the run is left out: it was fitted to the results of {before}, with other "
                 "options or not those that are asked for; `fusionkit calibrate` fits another")
    return None

"""Stages: trainings without targets before that of the heads, under `stages` in the section `training`. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, Span, UserError, did_you_mean
from fusionkit.syntax.tree import Leaf, Tree
from fusionkit.syntax.tree import Mapping as Table
from fusionkit.training.settings import OF_HEADS, TrainingSettings, flag_of, read_settings

if TYPE_CHECKING:
    from fusionkit.registry.lookup import Registry

STAGE, STAGES = "stage", "stages"
_NOT_SHARED = (*OF_HEADS, STAGE, STAGES)
_WHY = "a stage learns without targets, from all training cases, and keeps the weights of its last epoch"


def stage_named(training: Tree | None, flag: str | None) -> str | None:
    """The stage that is asked for: by the flag, else by the section of a run's graph, which names its own."""
    own = training.get(STAGE) if isinstance(training, Table) else None
    return flag or (str(own.value) if isinstance(own, Leaf) and own.value else None)


def read_stage(training: Tree | None, name: str, flags: Mapping[str, Any], registry: Registry | None = None
               ) -> TrainingSettings:
    """The settings of a stage: those of the section that concern no heads, then its own, then the flags.

    Raises: UserError with `unknown-stage`, with `bad-option` for what has no meaning in a stage, and what
    `read_settings` raises.
    """
    section = _section(training, name)
    found = _meaningless(training, name)
    found += [Diagnostic("bad-option", f"{flag_of(key)} has no meaning in the stage {name!r}", why=_WHY,
                         fix="leave it out") for key in flags if key in OF_HEADS]
    try:
        settings = read_settings(section, {key: value for key, value in flags.items() if key not in (STAGE, *OF_HEADS)},
                                 registry)
    except UserError as error:
        raise UserError([*found, *error.diagnostics]) from error.__cause__
    if found:
        raise UserError(found)
    return settings.model_copy(update={STAGE: name, "hold_out": 0.0})


def stage_faults(training: Tree | None, registry: Registry | None = None) -> list[Diagnostic]:
    """Everything that is wrong with the stages of a section."""
    stages = training.get(STAGES) if isinstance(training, Table) else None
    found: list[Diagnostic] = []
    for name, own in stages.items() if isinstance(stages, Table) else ():
        if not isinstance(own, Table) and not (isinstance(own, Leaf) and own.value is None):
            continue  # which the settings have reported
        try:
            read_stage(training, name, {}, registry)
        except UserError as error:
            known = {(each.code, each.message) for each in found}
            found += [each for each in error.diagnostics if (each.code, each.message) not in known]
    return found


def _section(training: Tree | None, name: str) -> Table:
    """The settings of a stage as one section, each at its place in the file."""
    top = training if isinstance(training, Table) else Table({}, {}, Span("graph", 1, 1))
    stages = top.get(STAGES)
    stage = stages.get(name) if isinstance(stages, Table) else None
    if stage is None and stage_named(top, None) == name:
        return top  # the section of a run, which was written whole
    if stage is None:
        known = list(stages.entries) if isinstance(stages, Table) else []
        raise UserError(Diagnostic("unknown-stage", f"the graph has no stage {name!r}",
                                   stages.span if stages is not None else None,
                                   fix=did_you_mean(name, known, f"its stages are {', '.join(known)}") if known else
                                   f"name it in the graph: 'training: {{stages: {{{name}: {{epochs: 100}}}}}}'"))
    own = stage if isinstance(stage, Table) else Table({}, {}, stage.span)
    shared = {key: value for key, value in top.items() if key not in _NOT_SHARED}
    if "epochs" in own.entries and "steps" not in own.entries:
        shared.pop("steps", None)
    written = {key: value for key, value in own.items() if key not in _NOT_SHARED}
    places = {key: (own if key in written else top).keys[key] for key in (*shared, *written)}
    return Table({**shared, **written}, places, own.span)


def _meaningless(training: Tree | None, name: str) -> list[Diagnostic]:
    stages = training.get(STAGES) if isinstance(training, Table) else None
    own = stages.get(name) if isinstance(stages, Table) else None
    if not isinstance(own, Table):
        return []
    return [Diagnostic("bad-option", f"{key!r} has no meaning in the stage {name!r}", own.keys[key], why=_WHY,
                       fix="remove it") for key in own.entries if key in _NOT_SHARED]

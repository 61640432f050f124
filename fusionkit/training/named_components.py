"""The settings of training that name components, and their one form as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, UserError
from fusionkit.registry.named import Chosen, component_in
from fusionkit.syntax.typed_components import typed_form

if TYPE_CHECKING:
    from fusionkit.registry.lookup import Registry
    from fusionkit.syntax.tree import Tree


@dataclass(frozen=True)
class NamingSetting:
    """A setting that names a component of a kind. `words` are the trainer's own and need no look-up.

    With `later` they are components all the same, looked up when training begins, so that settings are read without
    torch.
    """

    kind: str
    words: tuple[str, ...]
    later: bool = False


COUNTED = ("accuracy", "balanced_accuracy")
"""Metrics that every validation counts anyway, so that they need no other pass: see `Scores`."""
NAMING = {
    "monitor": NamingSetting("metric", ("loss", *COUNTED)),
    "method": NamingSetting("training", ("none",)),
    "optimiser": NamingSetting("optimiser", ("adamw", "adam", "sgd"), later=True),
    "schedule": NamingSetting("schedule", ("constant", "cosine", "linear", "step")),
}


def typed_setting(value: Any, kind: str) -> Any:
    """A setting that names a component as one text: `auroc` of `metric.auroc` and of `{use: metric.auroc}`.

    Raises: ValueError if a mapping is not one of `use` and `with`.
    """
    if isinstance(value, Mapping):
        strange = [key for key in value if key not in ("use", "with")]
        if strange or not isinstance(value.get("use"), str) or not isinstance(value.get("with") or {}, Mapping):
            raise ValueError(f"it must be an id, or {{use: {kind}.NAME, with: {{option: value}}}}")
        value = typed_form(value["use"], value.get("with"))
    return value.removeprefix(f"{kind}.") if isinstance(value, str) else value


def component_of(setting: str, text: str, tree: Tree | None, registry: Registry) -> Chosen[Any]:
    """The component that a setting names; `tree` is what the graph file says, if the setting is from there.

    Raises: UserError with the errors of the id and its options, at their place in the file or the flag.
    """
    from fusionkit import api
    from fusionkit.components.kinds import KIND_TABLE
    from fusionkit.components.metric import Metric

    chosen = component_in(setting, text, tree, registry, getattr(api, KIND_TABLE[NAMING[setting].kind].declaration))
    if isinstance(chosen.declared, Metric) and not chosen.declared.monitor:
        why = ("neither larger nor smaller values of it are better" if chosen.declared.better == "neither" else
               "a better value of it is not a better network, or it needs what is known after training only")
        raise UserError(Diagnostic("bad-option", f"{chosen.declared.id} cannot select the best epoch", chosen.span, why,
                                   "choose another metric, or loss"))
    return chosen


def try_component(setting: str, chosen: Chosen[Any], settings: Mapping[str, Any]) -> None:
    """Try a component whose options only it can judge: an optimiser or a schedule.

    Raises: UserError with `bad-option`.
    """
    if setting == "optimiser":
        from fusionkit.training.named_optimisers import try_optimiser

        try_optimiser(chosen, settings)
    if setting == "schedule":
        from fusionkit.training.named_schedules import try_schedule

        try_schedule(chosen)

"""Components that settings of training name: their one form as text, and the check of ids and options with places."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, UserError
from fusionkit.syntax.tree import Leaf, Mapping, Tree
from fusionkit.syntax.typed_components import typed_form

if TYPE_CHECKING:
    from fusionkit.evaluation.chosen_metrics import ChosenMetric
    from fusionkit.registry.lookup import Registry

COUNTED = ("accuracy", "balanced_accuracy")
"""Metrics that every validation counts anyway, so that they need no other pass: see `Scores`."""


def typed_setting(value: Any, kind: str) -> Any:
    """A setting that names a component as one text: `auroc` of `metric.auroc` and of `{use: metric.auroc}`.

    Raises: ValueError if a mapping is not one of `use` and `with`.
    """
    if isinstance(value, AnyMapping):
        strange = [key for key in value if key not in ("use", "with")]
        if strange or not isinstance(value.get("use"), str) or not isinstance(value.get("with") or {}, AnyMapping):
            raise ValueError(f"it must be an id, or {{use: {kind}.NAME, with: {{option: value}}}}")
        value = typed_form(value["use"], value.get("with"))
    return value.removeprefix(f"{kind}.") if isinstance(value, str) else value


def monitored_metric(monitor: str, tree: Tree | None, registry: Registry) -> ChosenMetric | None:
    """The metric that selects the best epoch, None for the loss and for what every validation counts.

    `tree` is what the graph file says, if the setting is from there.

    Raises: UserError with the errors of the id and its options, at their place in the file or the flag.
    """
    if monitor == "loss" or monitor in COUNTED:
        return None
    from fusionkit.evaluation.chosen_metrics import PREFIX, metric_of, metrics_named

    if tree is None:
        chosen, span = metrics_named(monitor, registry, "--monitor")[0], None
    elif isinstance(tree, Mapping):
        options, use = tree.get("with"), tree.get("use")
        span = use.span if use is not None else tree.span
        named = str(use.value) if isinstance(use, Leaf) else ""
        chosen = metric_of(PREFIX + named.removeprefix(PREFIX), options if isinstance(options, Mapping) else None,
                           registry, span)
    else:
        span = tree.span
        chosen = metrics_named(monitor, registry, "monitor")[0] if "{" in monitor else \
            metric_of(PREFIX + monitor, None, registry, span)
    if not chosen.declared.monitor:
        raise UserError(Diagnostic("bad-option", f"{chosen.declared.id} cannot select the best epoch", span,
                                   why="its author says so: monitor=False", fix="choose another metric, or loss"))
    return chosen

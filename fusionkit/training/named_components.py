"""Components that settings of training name: their one form as text, and the check of ids and options with places."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fusionkit.components.kinds import KINDS, kind_of
from fusionkit.errors import Diagnostic, Span, UserError
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Leaf, Mapping, Tree
from fusionkit.syntax.typed_components import TypedList, parse_components, typed_form

if TYPE_CHECKING:
    from fusionkit.components.config import Config
    from fusionkit.components.declaration import Declaration
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


Declared = TypeVar("Declared", bound="Declaration")


@dataclass(frozen=True)
class Chosen(Generic[Declared]):
    """A component that a setting names, with its checked options and where it is written."""

    declared: Declared
    config: Config
    span: Span


def chosen_component(setting: str, text: str, tree: Tree | None, registry: Registry, of: type[Declared]
                     ) -> Chosen[Declared]:
    """The component that a setting names; `text` is its value as `typed_setting` gives it.

    `tree` is what the graph file says, if the setting is from there.

    Raises: UserError with the errors of the id and its options, at their place in the file or the flag.
    """
    if isinstance(tree, Mapping):
        use, options = tree.get("use"), tree.get("with")
        span, name = (use or tree).span, str(use.value) if isinstance(use, Leaf) else text.partition("{")[0]
    else:
        flag = "--" + setting if tree is None else setting
        specs, found = parse_components(text, TypedList(flag, "bad-option", of.kind, f"NAME,{of.kind}.NAME", of.kind))
        if found or len(specs) != 1:
            raise UserError(found or [Diagnostic("bad-option", f"{setting!r} names {len(specs)} components",
                                                 tree.span if tree else None, fix=f"name one {of.kind}")])
        name, options, span = specs[0].use, specs[0].options, tree.span if tree else specs[0].span
    id = name if kind_of(name) in KINDS else f"{of.kind}.{name}"
    declared = registry.load(id, span, of=of)
    config, faults = check_options(declared.config, options, id, span)
    if config is None:
        raise UserError(faults)
    return Chosen(declared, config, span)


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

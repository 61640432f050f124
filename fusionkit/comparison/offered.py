"""Candidates named together: `all`, `category:attention`, `fusion.*`, less `not:fusion.healnet`. Those that fit the
node take part.

A candidate that is named by itself and does not fit is an error; one of many is left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fusionkit.comparison.graph_edits import swapped
from fusionkit.comparison.late_candidates import fuses_predictions, with_own_heads
from fusionkit.components.component import Component
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, GraphError, Span, did_you_mean
from fusionkit.network.planning_memo import PlanningMemo
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import Resolved, resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.registry.lookup import Registry
from fusionkit.runs.categories import with_categories
from fusionkit.syntax.tree import Leaf, Mapping
from fusionkit.syntax.typed_components import TypedComponent, typed_form

ALL, CATEGORY, NOT, BASELINES = "all", "category:", "not:", "baselines"
ALWAYS = ("fusion.late_mean",)
"""Fusions that a comparison has without being asked: one that does not beat them is of no use."""


@dataclass(frozen=True)
class FittingCandidates:
    """The offered candidates that fit: their plans by name, and those that fuse predictions.

    `left_out` are the others with the reason, `notes` say which options were filled in.
    """

    plans: dict[str, Plan]
    late: tuple[TypedComponent, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def named_together(text: str, span: Span, registry: Registry) -> list[TypedComponent] | Diagnostic | None:
    """The fusions that `all`, a category or a pattern names, in the order of their ids; None for any other text.

    Those after `not:` are what `not_named` takes away.
    """
    fusions = [entry for entry in registry.entries if entry.kind == "fusion"]
    if text.startswith(NOT):
        name = text.removeprefix(NOT).strip()
        several = named_together(name, span, registry)
        if isinstance(several, Diagnostic):
            return several
        id = name if "." in name else f"fusion.{name}"
        if several is None and id not in [entry.id for entry in fusions]:
            return Diagnostic("bad-candidate", f"{text!r} names no installed fusion", span,
                              fix=did_you_mean(id, [entry.id for entry in fusions], "give the id of a fusion"))
        return [TypedComponent(each, None, each, span, of=text) for each in
                ([id] if several is None else [one.use for one in several])]
    category = text.removeprefix(CATEGORY).strip() if text.startswith(CATEGORY) else None
    if category is not None:
        found = [entry.id for entry in fusions if entry.category == category]
        choices: Iterable[str] = {entry.category for entry in fusions if entry.category}
    elif text == ALL or ("{" not in text and any(letter in text for letter in "*?")):
        found = [entry.id for entry in fusions if text == ALL or fnmatchcase(entry.id, text)]
        choices = []
    else:
        return None
    if not found:
        return Diagnostic("bad-candidate", f"{text!r} names no installed fusion", span,
                          fix=did_you_mean(category or "", choices, "`fusionkit plugins list --kind fusion` shows the "
                                                                    "fusions"))
    return [TypedComponent(id, None, id, span, of=text) for id in found]


def not_named(specs: Sequence[TypedComponent]) -> list[TypedComponent]:
    """The candidates that were named together, each once, without those that are also named by themselves."""
    own = {each.use for each in specs if not each.of or each.of.startswith(NOT)}
    return list({each.use: each for each in specs if each.of and each.use not in own}.values())


def baseline_specs(specs: Sequence[TypedComponent], registry: Registry) -> list[TypedComponent]:
    """The simple fusions that every comparison has beside what was asked for, as far as they are installed."""
    span, asked = Span(BASELINES, 1, 1), {each.text for each in specs}
    return [TypedComponent(id, None, id, span, of=BASELINES) for id in ALWAYS if id in registry.ids and id not in asked]


def resolved_offers(offered: Sequence[TypedComponent], reference: Resolved, node: str, registry: Registry
                    ) -> list[Resolved]:
    """The graphs of offered candidates that resolve, before data are read: what they need of the data counts."""
    made = []
    for spec in offered:
        try:
            made.append(resolve_tree(swapped(reference.graph, node, spec), registry))
        except GraphError:
            continue
    return made


def fitting(offered: Sequence[TypedComponent], reference: Plan, node: str, cohort: Cohort, registry: Registry
            ) -> FittingCandidates:
    """Plan every offered candidate; one without a width that it needs gets that of the widest source."""
    plans: dict[str, Plan] = {}
    late: list[TypedComponent] = []
    left_out, notes, memo = [], [], PlanningMemo()
    widths = sorted({value.shape.width for value in reference.node(node).reads})
    for spec in offered:
        try:
            component = registry.load(spec.use, spec.span)
            try:
                plans[spec.text] = _planned(spec, component, reference, node, cohort=cohort, registry=registry,
                                             memo=memo)
            except GraphError:
                if not _takes_width(component) or fuses_predictions(component):
                    raise
                wide = _with_width(spec, widths[-1])
                plans[wide.text] = _planned(wide, component, reference, node, cohort=cohort, registry=registry,
                                            memo=memo)
                notes.append(f"{wide.text}: the width is filled in, since the sources have "
                             f"{' and '.join(map(str, widths))} features")
            else:
                late += [spec] if fuses_predictions(component) else []
        except GraphError as error:
            first = error.diagnostics[0]
            left_out.append((spec.text, f"{first.message}; {first.why}" if first.why else first.message))
    return FittingCandidates(plans, tuple(late), tuple(left_out), tuple(notes))


def _planned(
    spec: TypedComponent, component: Component, reference: Plan, node: str, *, cohort: Cohort, registry: Registry,
    memo: PlanningMemo
) -> Plan:
    edit = with_own_heads(reference, node, spec, component) if fuses_predictions(component) else swapped(
        reference.graph, node, spec)
    return memo.measure(infer(with_categories(resolve_tree(edit, registry), cohort), memo.witness, cohort.sizes))


def _takes_width(component: Component) -> bool:
    """Whether a width is required, or none by default."""
    field = component.config.model_fields.get("width")
    return field is not None and (field.is_required() or field.default is None)


def _with_width(spec: TypedComponent, width: int) -> TypedComponent:
    options = Mapping({"width": Leaf(width, spec.span, str(width))}, {"width": spec.span}, spec.span)
    return TypedComponent(spec.use, options, typed_form(spec.use, {"width": width}), spec.span, of=spec.of)

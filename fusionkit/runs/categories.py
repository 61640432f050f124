"""Sizes of embeddings and the categories of the data, brought together before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusionkit.components.component import Encoder
from fusionkit.data.loading import Cohort
from fusionkit.data.partial_cohort import PartialCohort
from fusionkit.errors import Diagnostic, GraphError, Span, in_file_order
from fusionkit.graph.nodes import Node
from fusionkit.planning.resolve import Resolved, Use
from fusionkit.syntax.tree import find

AUTO = "auto"


@dataclass(frozen=True)
class _Coded:
    """The columns of codes that an input gives, with the number of categories of each; empty with `onehot`."""

    columns: tuple[str, ...]
    counts: tuple[int, ...]


def with_categories(resolved: Resolved, cohort: Cohort | PartialCohort) -> Resolved:
    """The graph with `categories: auto` filled in from the data.

    Raises: GraphError with `categories-differ` where a list does not fit the columns of its input.
    """
    coded = {name: _coded(cohort, name) for name in cohort.columns}
    faults: list[Diagnostic] = []
    uses = dict(resolved.uses)
    for node in resolved.graph.nodes:
        group = resolved.uses.get(node.name, ())  # a node with a mistake of its own has none
        source = node.sources[0].name if node.sources else ""
        if not group or source not in coded or len(node.sources) != 1 or node.sources[0].member:
            continue
        first, found = _fitted(group[0], node, resolved, source=source, coded=coded[source])
        uses[node.name] = (first, *group[1:])
        faults += found
    if faults:
        raise GraphError(in_file_order(faults))
    return replace(resolved, uses=uses)


def left_to_data(resolved: Resolved) -> bool:
    """Whether some node takes its categories from the data."""
    return any(isinstance(use.component, Encoder) and use.component.categories
               and getattr(use.config, use.component.categories) == AUTO
               for group in resolved.uses.values() for use in group)


def _coded(cohort: Cohort | PartialCohort, name: str) -> _Coded:
    options = cohort.description.inputs[name].options
    if options.encode != "codes":
        return _Coded((), ())
    return _Coded(options.categorical, tuple(len(names) for names in cohort.layouts[name]))


def _fitted(use: Use, node: Node, resolved: Resolved, *, source: str, coded: _Coded) -> tuple[Use, list[Diagnostic]]:
    component = use.component
    option = component.categories if isinstance(component, Encoder) else ""
    if not option:
        return use, []
    written = getattr(use.config, option)
    if written == AUTO:
        return replace(use, config=use.config.model_copy(update={option: list(coded.counts)})), []
    chain = ("chain", 0) if len(node.steps) > 1 else ()
    place = find(resolved.graph.tree, ("nodes", node.name, *chain, "with", option))
    return use, _compared(node.name, option, list(written), place, source=source, coded=coded)


def _compared(node: str, option: str, written: Sequence[int], place: Span, *, source: str, coded: _Coded
              ) -> list[Diagnostic]:
    """What is wrong with a list of sizes for columns of codes."""
    wanted = "[" + ", ".join(map(str, coded.counts)) + "]"
    fix = f"write '{option}: {wanted}' or '{option}: auto'"
    shown = ", ".join(f"{column!r} {count}" for column, count in zip(coded.columns, coded.counts, strict=True))
    if len(written) != len(coded.counts):
        why = (f"in the training cases the categories are: {shown}" if coded.columns else
               "the input has no columns of codes: its 'encode' is 'onehot', or it lists none under 'categorical'")
        return [Diagnostic(
            "categories-differ", f"node {node!r} lists {len(written)} sizes under {option!r}; input {source!r} has "
            f"{len(coded.counts)} columns of categories", place, why, fix)]
    compared = list(zip(coded.columns, written, coded.counts, strict=True))
    listed = ", ".join(f"{column}: [...]" for column, size, count in compared if size > count)
    if listed:
        fix += f"; for categories to come list all of the column in the data file: 'categories: {{{listed}}}'"
    return [Diagnostic(
        "categories-differ", f"column {column!r} of input {source!r} has {count} categories in the training cases; "
        f"node {node!r} has room for {size}", place,
        "the others would be read as unknown" if size < count else "the rest would never be trained", fix)
        for column, size, count in compared if size != count]

"""Warnings about training cases: too few events for a loss over a batch, too few of a kind for a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fusionkit.errors import Diagnostic
from fusionkit.planning.plan import Plan

FEWEST = 4
"""The mean number of events in a batch below which a loss over the batch is far from that over all cases."""


def few_events(plan: Plan, batch_size: int, counts: Callable[[str], Mapping[str, int]]) -> list[Diagnostic]:
    """A warning for each head whose loss, by an option, compares the cases of a batch alone, with few events in it.

    `counts` gives the numbers of training cases of a head by kind, among which its task may have `event`.
    """
    found = []
    for head in plan.heads:
        if getattr(head.config, head.component.cases, "") != "batch":
            continue
        numbers = counts(head.name)
        events = batch_size * numbers.get("event", 0) / max(sum(numbers.values()), 1)
        if "event" in numbers and events < FEWEST:
            found.append(Diagnostic(
                "few-events-in-batch", f"a batch has {events:.1f} events of {head.name!r} on average",
                plan.node(head.name).node.span, f"'{head.component.cases}: batch' compares an event with the cases of "
                "its batch, which is another loss than over all cases", f"set '{head.component.cases}: step', and "
                "'accumulate' so that a step has many events", "warning"))
    return found


def few_of_a_kind(plan: Plan, counts: Callable[[str], Mapping[str, int]]) -> list[Diagnostic]:
    """A warning for each head whose options say how many training cases of each kind they are for (`fewest_of_a_kind`).
    """
    found = []
    for head in plan.heads:
        fewest = getattr(head.config, "fewest_of_a_kind", 0)
        few = {name: count for name, count in counts(head.name).items() if count < fewest}
        if few:
            told = ", ".join(f"{count} of {name!r}" for name, count in few.items())
            found.append(Diagnostic(
                "few-of-a-kind", f"head {head.name!r} is meant for {fewest} training cases of each kind, and there are "
                f"{told}", plan.node(head.name).node.span, f"{head.component.id} has weights for each of them, which "
                "few cases leave uncertain", "see what its page says of fewer cases, or merge rare ones with 'values' "
                "in the data file", "warning"))
    return found

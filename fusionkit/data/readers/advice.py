"""Warnings about the files of one input taken together, such as inconsistent or constant files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusionkit.data.readers.facts import Facts


@dataclass(frozen=True, slots=True)
class Advice:
    """A warning about one input; `cases` are the positions of the affected files, at least one."""

    code: str
    message: str
    cases: tuple[int, ...]
    why: str | None = None
    fix: str | None = None


def constant(files: Sequence[Facts]) -> list[Advice]:
    """`constant-input`: files that are constant everywhere; files that are all identical."""
    flat = tuple(place for place, facts in enumerate(files) if facts.outcome[0] == facts.outcome[1])
    if flat:
        met = sorted({files[place].outcome[0] for place in flat})
        shown = ", ".join(f"{value:g}" for value in met[:4]) + (", ..." if len(met) > 4 else "")
        before = [files[place].values for place in flat]
        low, high = min(values[0] for values in before), max(values[2] for values in before)
        why = ("the files themselves are constant" if all(values[0] == values[2] for values in before) else
               f"the values of the files run from {low:g} to {high:g} before the window")
        return [Advice("constant-input", f"{count(flat, files)} have one value everywhere ({shown})", flat, why,
                       "check the files and 'window'; an input that never varies carries no information")]
    if len(files) > 1 and len({facts.digest for facts in files}) == 1:
        return [Advice("constant-input", f"it is the same in all {len(files)} cases", (0,),
                       "an input that never varies carries no information",
                       "check 'path': it should lead to a different file for each case")]
    return []


def count(cases: Sequence[int], files: Sequence[Facts]) -> str:
    """How many of the cases, as text."""
    return f"{len(cases)} of {len(files)} cases"

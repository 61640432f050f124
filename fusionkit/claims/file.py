"""A claim's file: published figures, the graphs and settings that lead to them, and the data that they are of.

It is read as a graph file is: bounded, without objects, every mistake at its line and column. docs/claims.md has the
form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, StringConstraints, model_validator

from fusionkit.errors import Diagnostic, GraphError, Span, did_you_mean, in_file_order
from fusionkit.syntax.options import check_options
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import Leaf, Mapping, Tree, find
from fusionkit.syntax.version_key import unread_version

VERSION_KEY, VERSION = "fusionkit-claim", 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STEP = re.compile(r"\{([^{}]*)\}")

_Words = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Range = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ClaimCell(_Part):
    """One published figure; where no interval was published, the numbers of cases give one by a formula."""

    value: float | None = Field(None, description="The published value; without it the claim only measures.")
    interval: _Range | None = Field(None, description="Its published 95 % interval.")
    cases: PositiveInt | None = Field(None, description="How many cases it is of, if not those of the data.")
    positives: PositiveInt | None = Field(None, description="How many of them are positive.")
    tolerance: float | None = Field(None, ge=0, description="How far off still counts as reproduced.")


def _as_cell(value: Any) -> Any:
    return {"value": float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else value


class ClaimStep(_Part):
    """One training: a graph, what is changed in it, and the settings of the training."""

    graph: _Words = Field(description="A published graph, or a graph file beside the claim.")
    sets: dict[str, Any] = Field(default_factory=dict, alias="set", description="Changes of the graph, as --set.")
    training: dict[str, Any] = Field(default_factory=dict, description="Settings of the training that the graph lacks.")


class ClaimRow(ClaimStep):
    """A training whose test results were published."""

    graph: _Words = Field("", description="A published graph, or a file beside the claim; not needed with 'like'.")
    like: _Words | None = Field(None, description="An earlier row whose graph, changes and settings this one shares.")
    where: _Words = Field(description="Where the figures stand: the table and its row.")
    results: dict[str, Annotated[ClaimCell, BeforeValidator(_as_cell)]] = Field(
        min_length=1, description="The figure of each metric: {METRIC: VALUE} or {METRIC: {value, interval, cases, "
                                  "positives, tolerance}}; HEAD.METRIC where there are several heads.")
    notes: list[_Words] = Field(default_factory=list, description="What else has to be known, a sentence each.")


class ClaimedData(_Part):
    """The data that the figures are of."""

    name: _Words = Field(description="What the data are called.")
    source: _Words = Field(description="Where they are from.")
    prepare: _Words = Field(description="How data.yaml is made of them: a page or a command.")
    cases: PositiveInt | None = Field(None, description="How many test cases the figures are of.")
    positives: PositiveInt | None = Field(None, description="How many of them are of the positive class.")

    @model_validator(mode="after")
    def _some_of_each(self) -> Self:
        if self.positives is not None and (self.cases is None or self.positives >= self.cases):
            raise ValueError("'positives' must be fewer than 'cases'")
        return self


class ClaimContent(_Part):
    """All of a claim, without its version."""

    title: _Words = Field(description="What is claimed, in a line.")
    source: _Words = Field(description="The publication.")
    data: ClaimedData = Field(description="{name, source, prepare, cases, positives}.")
    tolerance: float = Field(ge=0, description="How far from a figure still counts as reproduced, in its unit.")
    steps: dict[str, ClaimStep] = Field(default_factory=dict, description="Trainings that others start from.")
    rows: dict[str, ClaimRow] = Field(min_length=1, description="Trainings whose results were published.")
    notes: list[_Words] = Field(default_factory=list, description="What else has to be known, a sentence each.")


@dataclass(frozen=True)
class PublishedClaim:
    """A claim and the file it was read from."""

    file: Path
    content: ClaimContent
    tree: Tree = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.stem

    def graph(self, step: ClaimStep) -> str:
        """The graph of a step: a path for a file beside the claim, else the name of a published graph."""
        beside = self.file.parent / step.graph
        return str(beside) if step.graph.endswith((".yaml", ".yml")) else step.graph

    def training(self, name: str) -> ClaimStep:
        """A step or a row as one training: what it shares with another row, and then its own."""
        step = self.content.steps.get(name) or self.content.rows[name]
        if not isinstance(step, ClaimRow) or step.like is None:
            return step
        shared = self.training(step.like)
        return ClaimStep.model_validate({"graph": step.graph or shared.graph, "set": {**shared.sets, **step.sets},
                                    "training": {**shared.training, **step.training}})

    def before(self, name: str) -> list[str]:
        """The trainings that a row starts from, each after those that it starts from itself."""
        found: list[str] = []
        for other in named_steps(self.training(name)):
            found += [each for each in (*self.before(other), other) if each not in found]
        return found


def named_steps(step: ClaimStep) -> list[str]:
    """The trainings that the changes of a graph name, as in '{first}#encoder', once each."""
    texts = (value for value in step.sets.values() if isinstance(value, str))
    return list(dict.fromkeys(name for text in texts for name in _STEP.findall(text)))


def with_weights(value: Any, weights: dict[str, Path]) -> Any:
    """A change of a graph with the weights' file in place of each step that it names."""
    if not isinstance(value, str):
        return value
    return _STEP.sub(lambda match: str(weights[match[1]]), value)


def read_claim(path: Path) -> PublishedClaim:
    """The claim in a file.

    Raises: GraphError with every mistake, each at its line and column: `claim-version`, `claim-step`, those of options,
    and those of `fusionkit.syntax.reader`.
    """
    tree = read_file(path)
    found: list[Diagnostic] = []
    if span := unread_version(tree, VERSION_KEY, VERSION):
        found.append(Diagnostic("claim-version", "the claim has no version, or one that cannot be read", span,
                                why=f"this fusionkit reads version {VERSION}",
                                fix=f"start it with '{VERSION_KEY}: {VERSION}', or update fusionkit"))
    body = tree
    if isinstance(tree, Mapping):
        body = Mapping({name: value for name, value in tree.items() if name != VERSION_KEY}, tree.keys, tree.span)
    content, faults = check_options(ClaimContent, body, "the claim", tree.span)
    if content is not None:
        found += _step_faults(content, tree)
    if found or faults or content is None:
        raise GraphError(in_file_order([*found, *faults]))
    return PublishedClaim(path, content, tree)


def _step_faults(content: ClaimContent, tree: Tree) -> Iterator[Diagnostic]:
    """Names of folders that no folder can have, names given twice, and trainings that are not there or not before."""
    earlier: list[str] = []
    parts = [("steps", name, step) for name, step in content.steps.items()]
    parts += [("rows", name, row) for name, row in content.rows.items()]
    for part, name, step in parts:
        span = find(tree, (part, name))
        if not _NAME.fullmatch(name):
            yield Diagnostic("claim-step", f"{name!r} cannot be the name of a folder", span,
                             why="each training is kept in a folder of its name",
                             fix="use letters, digits, '-', '_' and '.'")
        if name in earlier:
            yield Diagnostic("claim-step", f"{name!r} is a step and a row", span,
                             why="each training is kept in a folder of its name", fix="rename one of them")
        if isinstance(step, ClaimRow):
            yield from _sharing_faults(step, content, earlier, find(tree, (part, name, "like")))
        for other in named_steps(step):
            if other not in earlier:
                yield Diagnostic("claim-step", f"{name!r} starts from {other!r}, which is no training above it",
                                 _set_span(tree, (part, name), other) or span,
                                 fix=did_you_mean(other, earlier, "write that training above this one, under 'steps' "
                                                                  "or 'rows'"))
        earlier.append(name)


def _sharing_faults(row: ClaimRow, content: ClaimContent, earlier: list[str], span: Span) -> Iterator[Diagnostic]:
    """A row without a graph, or like one that is not above it."""
    if row.like is None and not row.graph:
        yield Diagnostic("claim-step", "the row names no graph", span, fix="write 'graph:' or 'like:'")
    rows = [name for name in earlier if name in content.rows]
    if row.like is not None and row.like not in rows:
        yield Diagnostic("claim-step", f"{row.like!r} is no row above this one", span,
                         fix=did_you_mean(row.like, rows, "name a row above this one"))


def _set_span(tree: Tree, path: tuple[str, ...], step: str) -> Span | None:
    """The place of the change that names a step."""
    for name in path:
        tree = tree.entries[name] if isinstance(tree, Mapping) else tree
    sets = tree.get("set") if isinstance(tree, Mapping) else None
    for _, value in sets.items() if isinstance(sets, Mapping) else ():
        if isinstance(value, Leaf) and f"{{{step}}}" in str(value.value):
            return value.span
    return None

"""The `split` of a data file as a value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fusionkit.data.fields import DataFieldReader
from fusionkit.errors import Span, did_you_mean
from fusionkit.syntax import tree as syntax

WAYS = ("column", "folds", "leave_out", "fraction")
KEYS = (*WAYS, "stratify", "seed", "group", "allow_undefined")


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """How cases are split: by a column, into folds, or by fractions; exactly one of the three.

    Folds are drawn, `folds` of them, or stored in `fold_columns`: one for each repeat, of which `repeat` is read; or
    each is one value of the column `leave_out`, such as a site. `allow_undefined` says that it may be one in which
    metrics are undefined.

    `group` is the column whose equal values stay together (None: the patient column, else the id);
    `grouped` is False after `group: none`.
    """

    span: Span
    column: str | None = None
    folds: int | None = None
    fractions: Mapping[str, float] = field(default_factory=dict)
    stratify: str | None = None
    seed: int = 0
    group: str | None = None
    grouped: bool = True
    fold_columns: tuple[str, ...] = ()
    repeat: int = 0
    leave_out: str | None = None
    allow_undefined: bool = False

    @property
    def kind(self) -> Literal["column", "folds", "fraction"]:
        """Which of the three kinds it is."""
        return "column" if self.column else "fraction" if self.fractions else "folds"

    @property
    def drawn(self) -> bool:
        """Whether a seed decides which cases are in which part."""
        return self.kind == "fraction" or self.folds is not None

    def to_plain(self) -> dict[str, Any]:
        """The split as plain data, defaults included."""
        if self.fold_columns:
            group = {"group": self.group or "none"} if self.group or not self.grouped else {}
            return {"folds": {"column": list(self.fold_columns)}, **group}
        way: dict[str, Any] = {"column": self.column} if self.column else {
            "leave_out": self.leave_out} if self.leave_out else {
            "folds": self.folds} if self.folds else {"fraction": dict(self.fractions)}
        if self.drawn:
            way["seed"] = self.seed
        if self.stratify:
            way["stratify"] = self.stratify
        if self.allow_undefined:
            way["allow_undefined"] = True
        if self.group or not self.grouped:
            way["group"] = self.group or "none"
        return way


def read_split(form: DataFieldReader, targets: Collection[str]) -> SplitSpec | None:
    """The split in a data file; `targets` are the names of its targets."""
    tree = form.tree.get("split")
    if tree is None:
        return None
    part = DataFieldReader(tree, "'split'", KEYS, form.found)
    ways = [name for name in WAYS if part.has(name)]
    if not isinstance(tree, syntax.Mapping) or len(ways) != 1:
        if isinstance(tree, syntax.Mapping):
            part.note("bad-split", "'split' must name one of 'column', 'folds', 'leave_out' and 'fraction'",
                      why=f"it names {' and '.join(ways) or 'none'}",
                      fix="write 'split: {column: split}', 'split: {folds: 5, stratify: TARGET}', "
                          "'split: {leave_out: site}' or 'split: {fraction: {validation: 0.15, test: 0.2}}'")
        return None
    stored = _fold_columns(part)
    for name in ("stratify", "seed"):
        if (ways == ["column"] or stored) and part.has(name):
            part.note("bad-split", f"{name!r} has no effect together with 'column'", part.tree.keys[name],
                      why="the column already assigns each case", fix=f"remove {name!r}")
    if ways == ["leave_out"] and part.has("seed"):
        part.note("bad-split", "'seed' has no effect together with 'leave_out'", part.tree.keys["seed"],
                  why="the column already assigns each case; which cases are held out for validation depends on the "
                      "seed of the training", fix="remove 'seed'")
    if ways != ["leave_out"] and part.has("allow_undefined"):
        part.note("bad-split", "'allow_undefined' has an effect together with 'leave_out' only",
                  part.tree.keys["allow_undefined"], fix="remove 'allow_undefined'")
    stratify, group = part.words("stratify"), part.words("group")
    if stratify is not None and stratify not in targets:
        part.note("bad-split", f"'stratify' names no target: {stratify!r}", part.at("stratify"),
                  fix=did_you_mean(stratify, targets, "add the target to 'targets', or remove 'stratify'"))
    return SplitSpec(
        tree.span, part.words("column"), None if stored else part.integer("folds", 2, 0) or None, _fractions(part),
        stratify, part.integer("seed", 0, 0), None if group == "none" else group, group != "none", stored,
        leave_out=part.words("leave_out"), allow_undefined=part.flag("allow_undefined"),
    )


def _fold_columns(part: DataFieldReader) -> tuple[str, ...]:
    """The columns that hold folds, one for each repeat; empty where folds are drawn."""
    tree = part.tree.get("folds")
    if not isinstance(tree, syntax.Mapping):
        return ()
    inner = DataFieldReader(tree, "'folds'", ("column",), part.found)
    inner.require("column", "fold", ", the column with the fold of each case, or a list with one for each repeat")
    if isinstance(inner.tree.get("column"), syntax.Items):
        return inner.texts("column") or ("",)
    return (inner.words("column") or "",)


def _fractions(part: DataFieldReader) -> dict[str, float]:
    tree = part.tree.get("fraction")
    if tree is None:
        return {}
    inner = DataFieldReader(tree, "'fraction'", ("validation", "val", "test"), part.found)
    if inner.has("val") and inner.has("validation"):
        inner.note("bad-split", "'val' and 'validation' are the same part", fix="keep one of the two")
    pairs = (("validation", inner.fraction("validation") or inner.fraction("val")), ("test", inner.fraction("test")))
    fractions = {name: value for name, value in pairs if value is not None}
    if isinstance(tree, syntax.Mapping) and not tree.entries:
        inner.note("bad-split", "'fraction' names no part", fix="write 'fraction: {validation: 0.15, test: 0.2}'")
    if sum(fractions.values()) >= 1.0:
        inner.note("bad-split", "the fractions leave nothing to train on",
                   why=f"validation and test add up to {sum(fractions.values()):g}",
                   fix="make their sum smaller than 1, for example 0.15 and 0.2")
    return fractions

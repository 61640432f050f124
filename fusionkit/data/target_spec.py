"""The section `targets` of a data file: what heads learn."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from typing import get_args

from fusionkit.components.task import Task
from fusionkit.data.fields import DataFieldReader, NamedColumn, entries, shown
from fusionkit.data.measurement_limits import Limits
from fusionkit.errors import Span
from fusionkit.registry.lookup import Registry
from fusionkit.registry.tasks import tasks_with_keys
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree

TARGET_KEYS = ("column", "columns", "values", "limits")


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One target: a column, or one column per class (multilabel), and raw values renamed to classes.

    `limits` says how cells beyond a limit of measurement are read. A target of a `task` with columns of its own has
    these `by_key`, and `words` under its further keys.
    """

    name: str
    span: Span
    column: str | None = None
    columns: tuple[str, ...] = ()
    values: AbstractMapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None
    by_key: AbstractMapping[str, str] = field(default_factory=dict)
    task: Task | None = None
    words: AbstractMapping[str, str] = field(default_factory=dict)

    @property
    def named_columns(self) -> list[NamedColumn]:
        """Its columns, each with the path of its name in the data file."""
        if self.by_key:
            return [(column, ("targets", self.name, key)) for key, column in self.by_key.items()]
        if self.column is not None:
            return [(self.column, ("targets", self.name, "column"))]
        return [(column, ("targets", self.name, "columns", position)) for position, column in enumerate(self.columns)]

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(column for column, _ in self.named_columns)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys by which it names its columns, if it has keys of its own."""
        return tuple(self.by_key)


def read_targets(form: DataFieldReader, registry: Registry) -> dict[str, TargetSpec]:
    """The targets by name; every error is added to the form's."""
    specs = (_target(form, name, tree, registry) for name, tree in entries(form, "targets").items())
    return {spec.name: spec for spec in specs if spec is not None}


def _target(form: DataFieldReader, name: str, tree: Tree, registry: Registry) -> TargetSpec | None:
    if isinstance(tree, Mapping) and set(tree.entries) - set(TARGET_KEYS):
        fitting = [task for task in tasks_with_keys(registry) if set(tree.entries) & set(task.keys)]
        if fitting:
            # Tasks may have the same columns, and be told apart by their further keys.
            return _keyed_target(form, name, tree, min(
                fitting, key=lambda task: (len(set(tree.entries) - {*task.keys, *task.words}), len(task.words))))
    part = DataFieldReader(tree, f"target {name!r}", TARGET_KEYS, form.found)
    if not isinstance(tree, Mapping):
        return None
    column, columns, values = part.words("column"), part.texts("columns"), _values(part)
    if part.has("column") == part.has("columns"):
        part.note("bad-target", f"target {name!r} must name either 'column' or 'columns'",
                  fix="write 'column: NAME', or 'columns: [NAME, NAME]' with one column for each class")
        return None
    limits = part.words("limits")
    known: dict[str | None, Limits] = {name: name for name in get_args(Limits)}
    if limits is not None and limits not in known:
        part.note("bad-value", f"'limits' of {part.owner} cannot be {limits!r}", part.at("limits"),
                  fix="write 'value' for the limit itself, 'half' for half of a lower one, 'blank' for no value")
    return TargetSpec(name, tree.span, column, columns or (), values, known.get(limits))


def _keyed_target(form: DataFieldReader, name: str, tree: Mapping, task: Task) -> TargetSpec | None:
    """A target of a task with columns of its own."""
    part = DataFieldReader(tree, f"target {name!r}", (*task.keys, "values", *task.words), form.found)
    for key in task.keys:
        part.require(key, "COLUMN", f", a column that {task.id} reads")
    by_key = {key: part.words(key) for key in task.keys if part.has(key)}
    words = {key: "|".join(part.texts(key) or ()) if isinstance(tree.get(key), Items) else part.words(key)
             for key in task.words if part.has(key)}
    values = _values(part)
    if len(by_key) < len(task.keys) or None in by_key.values():
        return None
    return TargetSpec(name, tree.span, values=values, by_key={key: str(column) for key, column in by_key.items()},
                      task=task, words={key: str(word) for key, word in words.items() if word is not None})


def _values(part: DataFieldReader) -> dict[str, str]:
    tree = part.tree.get("values")
    if tree is None:
        return {}
    if not isinstance(tree, Mapping):
        part.note("bad-value", f"'values' of {part.owner} must be a mapping, not {shown(tree)}", tree.span,
                  fix="write the cell and its class, for example 'values: {0: benign, 1: malignant}'")
        return {}
    named = {raw.strip(): "" if isinstance(value, Leaf) and value.value is None else
             part.as_text(value, f"the class of value {raw!r}") for raw, value in tree.items()}
    return {raw: name for raw, name in named.items() if name is not None}

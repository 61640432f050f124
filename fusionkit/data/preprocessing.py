"""What is learnt from training cases before any training: statistics of columns, counts of classes, how all is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fusionkit.data.description import DataDescription, InputSpec
from fusionkit.data.readers.columns import Categories, ColumnsFit, ColumnsOptions
from fusionkit.data.readers.facts import Facts
from fusionkit.errors import DataError, Diagnostic, Severity

_VERSION = 1
_OF_THE_FILES = frozenset({"path", "missing_ok", "series", "key", "decimal", "thousands", "fill"})
"""Options that say how the files of one cohort are laid out, or what is done where a value lacks; `fill` is looked at
by itself, since only the sort that adds values to the vector must be that of training."""
_SPACING_APART = 1.25
"""Samples this many times farther apart, or closer, than any of training are told."""


@dataclass(frozen=True, slots=True)
class InputReading:
    """How an input was read in training: the reader, its options, the size of an array without the batch axis.

    `meanings` are those of the training files, sorted; `spacing` is the lowest and the highest of each axis, in mm.
    Both are empty where the headers say nothing.
    """

    reader: str
    options: dict[str, Any]
    size: tuple[int, ...]
    meanings: tuple[str, ...] = ()
    spacing: tuple[tuple[float, float], ...] = ()


def reading_of(spec: InputSpec, size: tuple[int, ...], files: Sequence[Facts]) -> InputReading:
    """How an input is read, with what the headers of its training files say."""
    spacings = {each.spacing for each in files}
    alike = len({len(spacing) for spacing in spacings}) == 1
    return InputReading(
        spec.reader, _options_of(spec), size, tuple(sorted({each.meaning for each in files if each.meaning})),
        tuple((min(axis), max(axis)) for axis in zip(*spacings, strict=True)) if alike else ())


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Fitted on training rows only, saved with the run, and used again for every later case.

    `columns` is by input, `class_counts` by head and then by class; `inputs` is how each input was read, empty for a
    run of a release that did not write it down.
    """

    columns: dict[str, ColumnsFit] = field(default_factory=dict)
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    inputs: dict[str, InputReading] = field(default_factory=dict)
    version: int = _VERSION

    def to_json(self) -> str:
        """The same as text, which `from_json` gives back without loss."""
        return _adapter().dump_json(self, indent=2).decode()

    @staticmethod
    def from_json(text: str | bytes) -> Preprocessing:
        """Preprocessing from its text.

        Raises: `DataError` with `bad-preprocessing` when the text is not what `to_json` writes.
        """
        try:
            found = _adapter().validate_json(text)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            why = f"at {'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}"
            raise DataError(Diagnostic("bad-preprocessing", "the preprocessing of the run cannot be read", why=why,
                                       fix="use the file as the run wrote it")) from None
        if found.version != _VERSION:
            raise DataError(Diagnostic("bad-preprocessing", f"preprocessing of version {found.version} cannot be read",
                                       fix="use the release of fusionkit that trained the run"))
        faults = [fault for name, fitted in found.columns.items() for fault in _column_faults(name, fitted)]
        if faults:
            raise DataError(Diagnostic("bad-preprocessing", "the preprocessing of the run cannot be read",
                                       why="; ".join(faults), fix="use the file as the run wrote it"))
        return found

    def fitted(self, name: str) -> ColumnsFit:
        """What was fitted for an input of columns.

        Raises: `DataError` with `bad-preprocessing` where nothing was.
        """
        if name not in self.columns:
            raise DataError(_unfitted(name))
        return self.columns[name]

    def layout(self, name: str) -> Categories:
        """The categories of an input in their places; a place that no training case filled is an empty text."""
        return tuple(tuple(category or "" for category in names) for names in self.fitted(name).categories)

    def differences(self, description: DataDescription) -> list[Diagnostic]:
        """Where a data file reads an input in another way than the cases that this was fitted on."""
        found = []
        for name in dict.fromkeys((*self.columns, *self.inputs)):
            spec, before = description.inputs.get(name), self.inputs.get(name)
            if spec is None:
                continue
            if before is not None and before.reader != spec.reader:
                found.append(_differs(description, name, "read", before.reader, spec.reader))
                continue
            every = {}
            if name in self.columns and isinstance(spec.options, ColumnsOptions):
                every.update(_fitted_settings(self.columns[name], spec.options))
            if before is not None:
                every.update(_settings(before, spec))
            found.extend(_differs(description, name, option, was, now) for option, (was, now) in every.items()
                         if was != now)
        return found

    def file_differences(self, description: DataDescription, facts: Mapping[tuple[str, int], Facts],
                         ids: Sequence[str]) -> list[Diagnostic]:
        """Where the files of an input hold something else than those of training: refused for what numbers mean,
        warned of for the distance between them. Each input is told once, with the number of its cases."""
        found = []
        for name, before in self.inputs.items():
            if name not in description.inputs or description.inputs[name].reader != before.reader:
                continue
            meant: dict[str, list[int]] = defaultdict(list)
            apart: list[tuple[int, tuple[float, ...]]] = []
            for (owner, row), file in sorted(facts.items()):
                if owner != name:
                    continue
                if before.meanings and file.meaning not in before.meanings:
                    meant[file.meaning].append(row)
                if _is_apart(file.spacing, before.spacing):
                    apart.append((row, file.spacing))
            for meaning, rows in meant.items():
                found.append(Diagnostic(
                    "preprocessing-differs", f"input {name!r} is not what it was in training: the values of "
                    f"{_cases(rows, ids)} mean something else", description.span("inputs", name),
                    f"in training they were {' or '.join(before.meanings)}; here they are "
                    f"{meaning or 'of no kind that the header names'}",
                    "give files of the kind that the run was trained on, or train on these"))
            if apart:
                span = ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in before.spacing)
                here = ", ".join(f"{value:g}" for value in apart[0][1])
                found.append(Diagnostic(
                    "preprocessing-differs", f"input {name!r}: {_cases([row for row, _ in apart], ids)} "
                    f"{'is' if len(apart) == 1 else 'are'} sampled otherwise than any training case",
                    description.span("inputs", name), f"in training samples were [{span}] mm apart; of "
                    f"{ids[apart[0][0]]!r} they are [{here}] mm apart",
                    "resample the files as those of training were, or look at such cases by themselves", "warning"))
        return found


def _column_faults(name: str, fitted: ColumnsFit) -> Iterator[str]:
    """What no training writes: lists of other lengths than the columns have, numbers that are none."""
    for key in ("means", "deviations", "medians"):
        values = getattr(fitted, key)
        if len(values) != len(fitted.numeric):
            yield f"{key!r} of input {name!r} has {len(values)} numbers for {len(fitted.numeric)} columns"
        elif not all(map(isfinite, values)) or (key == "deviations" and any(value <= 0 for value in values)):
            yield f"{key!r} of input {name!r} holds a number that no column has"
    if len(fitted.categories) != len(fitted.categorical):
        yield (f"'categories' of input {name!r} has {len(fitted.categories)} lists for {len(fitted.categorical)} "
               "columns")


def _unfitted(name: str) -> Diagnostic:
    return Diagnostic("bad-preprocessing", f"the preprocessing of the run knows nothing of input {name!r}",
                      fix="use the file as the run wrote it")


def _adapter() -> TypeAdapter[Preprocessing]:
    return TypeAdapter(Preprocessing)


def _options_of(spec: InputSpec) -> dict[str, Any]:
    plain: dict[str, Any] = spec.options.model_dump(mode="json")
    return {key: value for key, value in plain.items() if key not in _OF_THE_FILES}


def _settings(before: InputReading, spec: InputSpec) -> dict[str, tuple[Any, Any]]:
    """Each option as it was and as it is; one that the run does not know of had its default."""
    defaults = type(spec.options).model_construct().model_dump(mode="json", warnings=False)
    return {option: (before.options.get(option, defaults.get(option)), now)
            for option, now in _options_of(spec).items()}


def _fitted_settings(fitted: ColumnsFit, options: ColumnsOptions) -> dict[str, tuple[Any, Any]]:
    every: dict[str, tuple[Any, Any]] = {name: (getattr(fitted, name), getattr(options, name))
                                         for name in ("categorical", "encode", "standardise")}
    every["numeric"] = fitted.numeric[: len(fitted.numeric) - len(fitted.dates)], options.numeric
    every["date"] = fitted.dates, tuple(f"{column}: {rule}" for column, rule in options.date.items())
    if "indicator" in (fitted.fill, options.fill):
        every["fill"] = (fitted.fill, options.fill)
    return every


def _differs(description: DataDescription, name: str, option: str, before: object, now: object) -> Diagnostic:
    # Without a size the arrays of training kept their own, so that one which makes others like them is no fault.
    severity: Severity = "warning" if option == "size" and before is None else "error"
    fix = f"leave {option!r} out" if before is None else f"write '{option}: {_show(before)}'"
    return Diagnostic("preprocessing-differs", f"input {name!r} is not read as in training: {option!r} differs",
                      description.span("inputs", name, option),
                      why=f"in training it was {_show(before)}; here it is {_show(now)}", fix=fix, severity=severity)


def _is_apart(spacing: tuple[float, ...], known: tuple[tuple[float, float], ...]) -> bool:
    return len(spacing) == len(known) and any(
        value > high * _SPACING_APART or value * _SPACING_APART < low
        for value, (low, high) in zip(spacing, known, strict=True))


def _cases(rows: Sequence[int], ids: Sequence[str]) -> str:
    shown = ", ".join(repr(ids[row]) for row in rows[:5])
    return f"case {shown}" if len(rows) == 1 else f"{len(rows)} cases ({shown}{', ...' if len(rows) > 5 else ''})"


def _show(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_show(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)

"""Preprocessing fitted on the training cases: column statistics, class counts, and how inputs are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fusionkit.data.description import DataDescription
from fusionkit.data.geometry.advice import settled
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.intensities import IntensityOptions, is_file
from fusionkit.data.readers.columns import Categories, ColumnsFit
from fusionkit.data.readers.columns_options import FOR_ALL, ColumnsOptions, limits_of
from fusionkit.data.readers.facts import Facts
from fusionkit.data.sequences import SequenceFit
from fusionkit.data.standard_scale import Landmarks
from fusionkit.errors import DataError, Diagnostic, Severity
from fusionkit.files import read_text

_VERSION = 1
_OF_THE_FILES = frozenset({"path", "missing_ok", "series", "choose", "below", "require", "weight", "key", "decimal",
                           "thousands", "fill", "values", "categories", "from_dicom", "tokenizer", "table", "after",
                           "convert"})
"""Options that may differ from training: the file layout of a cohort, the spelling of cells and the handling of missing
values; categories are those of the run, and of a tokenizer the contents are compared. `fill` is checked separately,
since it must be the same only if it adds values to the vector, and `limits`, which must be the same where both cohorts
have them."""
_OF_THE_REGION = frozenset({"mask", "box", "label", "space", "empty", "predicted"})
"""Options of `roi` that may differ from training; labels are compared, with a warning, since files name them as they
like."""
_OF = "of."
"""Before the options of one item of a bag."""
_SPACING_APART = 1.25
"""The factor by which the sample spacing may differ from that of all training files without a warning."""


@dataclass(frozen=True, slots=True)
class InputReading:
    """How an input was read in training: the reader, its options, the size of an array without the batch axis.

    `meanings` are those of the training files, sorted; `spacing` is the minimum and maximum of each axis, in mm.
    `series` are the UIDs that a rule chose, by the id of the case. `orientations` are the directions of the axes of
    volumes, sorted. All are empty if the headers do not give them.
    """

    reader: str
    options: dict[str, Any]
    size: tuple[int, ...]
    meanings: tuple[str, ...] = ()
    spacing: tuple[tuple[float, float], ...] = ()
    series: dict[str, str] = field(default_factory=dict)
    orientations: tuple[str, ...] = ()


def reading_of(spec: InputSpec, size: tuple[int, ...], cases: Mapping[str, Facts]) -> InputReading:
    """How an input is read, with the metadata of its training files by case."""
    files = list(cases.values())
    spacings = {each.spacing for each in files}
    alike = len({len(spacing) for spacing in spacings}) == 1
    return InputReading(
        spec.reader, _options_of(spec), size, tuple(sorted({each.meaning for each in files if each.meaning})),
        tuple((min(axis), max(axis)) for axis in zip(*spacings, strict=True)) if alike else (),
        {case: uid for case, each in cases.items() if (uid := each.remark("series")) is not None},
        tuple(sorted({each.orientation for each in files if each.orientation})))


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Fitted on training rows only, saved with the run, and applied to all later cases.

    `columns` is by input, `class_counts` by head and then by class; `inputs` is how each input was read, empty for
    runs of versions that did not record it. `scales` are standard scales of inputs read with `normalise: nyul`, for
    each channel, or one for all items. `sequences` is what decides the meaning of ids, by input.
    """

    columns: dict[str, ColumnsFit] = field(default_factory=dict)
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    inputs: dict[str, InputReading] = field(default_factory=dict)
    scales: dict[str, tuple[Landmarks, ...]] = field(default_factory=dict)
    sequences: dict[str, SequenceFit] = field(default_factory=dict)
    version: int = _VERSION

    def to_json(self) -> str:
        """The preprocessing as text, which `from_json` restores without loss."""
        return _adapter().dump_json(self, indent=2, exclude=None if self.sequences else {"sequences"}).decode()

    @staticmethod
    def read(path: Path) -> Preprocessing:
        """Preprocessing from a file with the text of `to_json`.

        Raises: FileNotFoundError, `DataError` with `bad-preprocessing` if it holds something else.
        """
        try:
            return Preprocessing.from_json(read_text(path), repr(str(path)))
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as problem:
            raise _unreadable(repr(str(path)), f"{type(problem).__name__}: {problem}") from None

    @staticmethod
    def from_json(text: str | bytes, source: str = "given as text") -> Preprocessing:
        """Preprocessing from its text; `source` is where that is from, for messages.

        Raises: `DataError` with `bad-preprocessing` if the text was not written by `to_json`.
        """
        try:
            found = _adapter().validate_json(text)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            why = f"at {'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}"
            raise _unreadable(source, why) from None
        if found.version != _VERSION:
            raise _unreadable(source, f"it is of version {found.version}, and this fusionkit reads {_VERSION}",
                              "use the version of fusionkit that trained the run")
        faults = [fault for name, fitted in found.columns.items() for fault in _column_faults(name, fitted)]
        if faults:
            raise _unreadable(source, "; ".join(faults))
        return found

    def fitted(self, name: str) -> ColumnsFit:
        """What was fitted for an input of columns.

        Raises: `DataError` with `bad-preprocessing` where nothing was.
        """
        if name not in self.columns:
            raise DataError(_unfitted(name))
        return self.columns[name]

    def scale(self, name: str) -> tuple[Landmarks, ...]:
        """The standard scale of an input read with `normalise: nyul`.

        Raises: `DataError` with `bad-preprocessing` where none was fitted.
        """
        if not self.scales.get(name):
            raise DataError(_unfitted(name))
        return self.scales[name]

    def sequence(self, name: str) -> SequenceFit:
        """What was kept of an input that a reader gave for all cases.

        Raises: `DataError` with `bad-preprocessing` where nothing was.
        """
        if name not in self.sequences:
            raise DataError(_unfitted(name))
        return self.sequences[name]

    def layout(self, name: str) -> Categories:
        """The categories of an input by position; a position without a training case is an empty text."""
        return tuple(tuple(category or "" for category in names) for names in self.fitted(name).categories)

    def differences(self, description: DataDescription) -> list[Diagnostic]:
        """Differences between how a data file reads its inputs and how the training cases were read."""
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
        """Differences between the files of an input and those of training: an error if the values have another meaning,
        a warning if the sample spacing or the directions of axes differ, unless options make them alike. Each input is
        reported once, with the number of its cases."""
        found = []
        for name, before in self.inputs.items():
            if name not in description.inputs or description.inputs[name].reader != before.reader:
                continue
            meant: dict[str, list[int]] = defaultdict(list)
            apart: list[tuple[int, tuple[float, ...]]] = []
            turned: list[tuple[int, str]] = []
            alike = settled(description.inputs[name].options)
            for (owner, row), file in sorted(facts.items()):
                if owner != name:
                    continue
                if before.meanings and file.meaning not in before.meanings:
                    meant[file.meaning].append(row)
                if "spacings-differ" not in alike and _is_apart(file.spacing, before.spacing):
                    apart.append((row, file.spacing))
                if "orientations-differ" not in alike and file.orientation and before.orientations and (
                        file.orientation not in before.orientations):
                    turned.append((row, file.orientation))
            for meaning, rows in meant.items():
                found.append(Diagnostic(
                    "preprocessing-differs", f"input {name!r} differs from training: the values of "
                    f"{_cases(rows, ids)} have another meaning", description.span("inputs", name),
                    f"in training they were {' or '.join(before.meanings)}; here they are "
                    f"{meaning or 'not described by the header'}",
                    "give files of the same kind as in training, or train on these"))
            if apart:
                span = ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in before.spacing)
                here = ", ".join(f"{value:g}" for value in apart[0][1])
                found.append(Diagnostic(
                    "preprocessing-differs", f"input {name!r}: {_cases([row for row, _ in apart], ids)} "
                    f"{'is' if len(apart) == 1 else 'are'} sampled differently from all training cases",
                    description.span("inputs", name), f"in training samples were [{span}] mm apart; in "
                    f"{ids[apart[0][0]]!r} they are [{here}] mm apart",
                    "resample the files like those of training, or evaluate such cases separately", "warning"))
            if turned:
                found.append(Diagnostic(
                    "preprocessing-differs", f"input {name!r}: the axes of {_cases([row for row, _ in turned], ids)} "
                    "run in other directions than in all training cases", description.span("inputs", name),
                    f"in training they were {' or '.join(before.orientations)}; in {ids[turned[0][0]]!r} they are "
                    f"{turned[0][1]}", "turn the files as in training; 'orient: LPS' in both makes all alike",
                    "warning"))
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


def _unreadable(source: str, why: str, fix: str = "use the file written by the run") -> DataError:
    return DataError(Diagnostic("bad-preprocessing", f"the preprocessing of the run, {source}, cannot be read", why=why,
                                fix=fix))


def _options_of(spec: InputSpec) -> dict[str, Any]:
    plain = spec.settings()
    own: dict[str, Any] = plain["of"] if spec.bag is not None else plain
    if isinstance(spec.options, IntensityOptions) and is_file(spec.options.mask):
        own["mask"] = "a file"  # of each case, wherever it lies
    if own.get("roi") is not None:
        own["label"] = own["roi"]["label"]
        own["roi"] = {key: value for key, value in own["roi"].items()
                      if key not in _OF_THE_REGION and not (key == "extent" and isinstance(value, str))}
    kept = {key: value for key, value in own.items() if key not in _OF_THE_FILES}
    return kept if spec.bag is None else {_OF + key: value for key, value in kept.items()} | {
        key: plain[key] for key in ("items", "every", "neighbours")}


def _settings(before: InputReading, spec: InputSpec) -> dict[str, tuple[Any, Any]]:
    """Each option then and now; one that the run did not record had its default."""
    defaults = type(spec.options).model_construct().model_dump(mode="json", warnings=False)
    every = {option: (before.options.get(option, defaults.get(option.removeprefix(_OF))), now)
             for option, now in _options_of(spec).items()}
    if isinstance(spec.options, ColumnsOptions):
        was, now = every.pop("limits")
        # Without the option a column has no such cells, since they are refused.
        if any(limits_of(was, column) not in (None, limit) for column in spec.options.numeric
               if (limit := spec.options.limits_of(column)) is not None):
            every["limits"] = was, now
    return every


def _fitted_settings(fitted: ColumnsFit, options: ColumnsOptions) -> dict[str, tuple[Any, Any]]:
    every: dict[str, tuple[Any, Any]] = {name: (getattr(fitted, name), getattr(options, name))
                                         for name in ("categorical", "encode", "standardise")}
    every["numeric"] = fitted.numeric[: len(fitted.numeric) - len(fitted.dates)], options.numeric
    every["date"] = fitted.dates, tuple(f"{column}: {rule}" for column, rule in options.date.items())
    if "indicator" in (fitted.fill, options.fill):
        every["fill"] = (fitted.fill, options.fill)
    return every


def _differs(description: DataDescription, name: str, option: str, before: object, now: object) -> Diagnostic:
    # Without a size, training arrays kept their own, so a size that makes others match them is not an error.
    own = option.removeprefix(_OF)
    severity: Severity = "warning" if own == "label" or (own == "size" and before is None) else "error"
    under = " under 'of'" if own != option else ""
    fix = f"remove {own!r}{under}" if before is None else f"write '{own}: {_show(before)}'{under}"
    return Diagnostic("preprocessing-differs", f"input {name!r} is not read as in training: {own!r} differs",
                      description.span("inputs", name, *option.split(".")),
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
    if isinstance(value, Mapping):
        one = value.get(FOR_ALL) if len(value) == 1 else None
        return one or "{" + ", ".join(f"{name}: {_show(item)}" for name, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_show(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)

"""What `inspect` counts: for every input the cases, sizes, spacings and values, and cases that lie apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.sequences import values_of

PERCENTILES = (0, 1, 25, 50, 75, 99, 100)
MOST_READ = 200
"""Cases whose values are read, spread evenly over the cohort."""
_VALUES = 4096  # of a case
_LENGTHS = {"text": "tokens", "events": "events", "series": "steps", "tokens": "tokens"}
"""What the lengths of cases are counted in, by layout."""
_SPREADS, _SIZE_APART, _VALUES_APART = 5.0, 1.25, 2.0
_LINES = 3
_DEVIATION = 1.4826  # of a normal distribution, over its median absolute deviation


@dataclass(frozen=True, slots=True)
class OutlyingCase:
    """A case whose `what` lies apart from that of the other cases of an input."""

    case: str
    input: str
    what: str
    value: float
    usual: float

    def __str__(self) -> str:
        return f"case {self.case!r}, input {self.input!r}: {self.what} is {self.value:.4g}, usually {self.usual:.4g}"


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The values of an input, or of one of its columns, at `PERCENTILES`: as the network reads images, as the table
    has numbers.
    """

    name: str
    percentiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class InspectedInput:
    """One input over all cases.

    `sizes` counts cases by the size of their arrays, `orientations` by the directions of their axes; `spacing` has the
    smallest, middle and largest distance of samples along each axis in mm; `categories` counts cells by column.
    """

    name: str
    reader: str
    cases: int
    absent: int
    sizes: Mapping[str, int]
    spacing: tuple[tuple[float, float, float], ...]
    orientations: Mapping[str, int]
    meanings: Mapping[str, int]
    values: tuple[ValueRange, ...]
    categories: Mapping[str, Mapping[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain data."""
        return asdict(self)


def inspected_inputs(cohort: Cohort, dataset: CaseDataset) -> list[InspectedInput]:
    """The inputs of a cohort; `dataset` has all its cases."""
    return [_columns(cohort, name) if name in cohort.columns else
            _sequences(cohort, name) if name in cohort.gathered else
            _positions(cohort, name) if name in cohort.positions else _files(cohort, dataset, name)
            for name in cohort.sizes]


def _columns(cohort: Cohort, name: str) -> InspectedInput:
    spec, values = cohort.description.inputs[name], cohort.columns[name]
    ranges = [ValueRange(column, _percentiles(known)) for place, column in enumerate(spec.options.measured)
              if len(known := _known(values.numeric[:, place]))]
    counts = {column: dict(Counter(row[place] or "(blank)" for row in values.categorical).most_common())
              for place, column in enumerate(spec.options.categorical)}
    present = int(values.present.sum())
    return InspectedInput(name, spec.reader, present, len(cohort) - present, {str(list(cohort.sizes[name])): present},
                          (), {}, {}, tuple(ranges), counts)


def _sequences(cohort: Cohort, name: str) -> InspectedInput:
    """Texts, events or series: their lengths, and the values of each variable or channel before standardising."""
    spec, found = cohort.description.inputs[name], cohort.gathered[name]
    layout = spec.source.gives
    arrays = [array for array in found.arrays if array is not None]
    lengths = np.array([len(array) for array in arrays], dtype=np.float64)
    ranges = [ValueRange(_LENGTHS[layout], _percentiles(lengths))] if arrays else []
    first = found.kinds - len(found.names)  # codes below it are padding and what training has not seen
    for place, variable in enumerate(found.names, first):
        values = np.concatenate([values_of(layout, array, place) for array in arrays] or [np.zeros(0)])
        ranges += [ValueRange(variable, _percentiles(values))] if values.size else []
    sizes = {f"up to {int(lengths.max())} {_LENGTHS[layout]}": len(arrays)} if arrays else {}
    absent = len(cohort) - len(arrays)
    return InspectedInput(name, spec.reader, len(arrays), absent, sizes, (), {}, {}, tuple(ranges), {})


def _positions(cohort: Cohort, name: str) -> InspectedInput:
    """Where the items of a bag are."""
    known = [there.ravel().astype(np.float64) for there in cohort.positions[name].by_row if there is not None]
    values = (ValueRange(name, _percentiles(np.concatenate(known))),) if known else ()
    counts = Counter(str([len(each), 1]) for each in known)
    return InspectedInput(name, cohort.description.inputs[name].reader, len(known), len(cohort) - len(known),
                          dict(counts), (), {}, {}, values, {})


def _files(cohort: Cohort, dataset: CaseDataset, name: str) -> InspectedInput:
    facts = {row: found for (owner, row), found in cohort.facts.items() if owner == name}
    rows = [row for row, path in enumerate(cohort.paths[name]) if path is not None]
    chosen = rows if len(rows) <= MOST_READ else [rows[int(place)] for place in
                                                  np.linspace(0, len(rows) - 1, MOST_READ)]
    sizes: Counter[str] = Counter()
    seen = []
    for row in chosen:
        array = dataset[row]["inputs"][name].numpy()
        sizes[str(list(array.shape))] += 1
        flat = array.reshape(-1)
        # Places drawn at random, since steps of one length may stay in a column of the array.
        seen.append(flat[np.random.default_rng(0).integers(0, max(flat.size, 1), min(flat.size, _VALUES))])
    steps = [found.spacing for found in facts.values() if found.spacing]
    alike = len({len(step) for step in steps}) == 1
    spacing = tuple((min(axis), float(np.median(axis)), max(axis))
                    for axis in (zip(*steps, strict=True) if alike else ()))
    ends = [end for row in rows if row in facts for end in facts[row].outcome]
    values = (ValueRange(name, _percentiles(np.concatenate([*seen, ends]).astype(np.float64))),) if seen else ()
    return InspectedInput(
        name, cohort.description.inputs[name].reader, len(rows), len(cohort) - len(rows), dict(sizes), spacing,
        dict(Counter(found.orientation for found in facts.values() if found.orientation)),
        dict(Counter(found.meaning for found in facts.values() if found.meaning)), values, {})


def classes_by_part(cohort: Cohort) -> dict[str, dict[str, dict[str, int]]]:
    """How many cases of each part have each class or label, by head; without a split the part is `all`."""
    sides = {"train": cohort.split_rows("train"), "validation": cohort.split_rows("validation"),
             "test": cohort.split_rows("test")}
    parts = {part: rows for part, rows in sides.items() if rows} or {"all": cohort.rows}
    return {head: {part: cohort.class_counts(head, rows) for part, rows in parts.items()} for head in cohort.heads}


def outlying_cases(cohort: Cohort) -> list[OutlyingCase]:
    """Cases whose spacing, size before resizing or range of values lies apart from that of the others."""
    found = []
    for name, what, apart, numbers in _numbers(cohort):
        rows = [row for row, value in numbers.items() if value > 0]
        if len(rows) < 4:
            continue
        values = np.array([numbers[row] for row in rows])
        usual = float(np.median(values))
        away = np.abs(np.log(values / usual))
        limit = max(np.log(apart), _SPREADS * _DEVIATION * float(np.median(away)))
        found += [OutlyingCase(cohort.ids[row], name, what, float(value), usual)
                  for row, value, distance in zip(rows, values, away, strict=True) if distance > limit]
    return found


def told_outliers(outliers: Sequence[OutlyingCase]) -> list[str]:
    """A line for each case, or one for all of an input where many are apart in the same: then they are a group."""
    groups: dict[tuple[str, str], list[OutlyingCase]] = {}
    for each in outliers:
        groups.setdefault((each.input, each.what), []).append(each)
    lines = []
    for (name, what), cases in groups.items():
        if len(cases) <= _LINES:
            lines += [str(each) for each in cases]
            continue
        values = [each.value for each in cases]
        span = f"{min(values):.4g}" if min(values) == max(values) else f"from {min(values):.4g} to {max(values):.4g}"
        named = ", ".join(repr(each.case) for each in cases[:_LINES])
        lines.append(f"{len(cases)} cases, input {name!r}: {what} is {span}, usually {cases[0].usual:.4g} ({named} and "
                     f"{len(cases) - _LINES} more)")
    return lines


def _numbers(cohort: Cohort) -> Iterator[tuple[str, str, float, dict[int, float]]]:
    """What is compared over the cases of each input of files: its name, by which factor it is apart, and by row."""
    for name in cohort.paths:
        facts = {row: found for (owner, row), found in cohort.facts.items() if owner == name}
        for axis, letter in enumerate("dhw"):
            yield name, f"the spacing along {letter} in mm", _SIZE_APART, {
                row: found.grid.spacing[axis] for row, found in facts.items() if found.grid is not None}
            yield name, f"the extent along {letter} in mm", 2 * _SIZE_APART, {
                row: found.grid.extent[axis] for row, found in facts.items() if found.grid is not None}
        yield name, "the 99th percentile of values", _VALUES_APART, {row: found.values[1] for row, found in
                                                                     facts.items() if not found.labels}


def _known(values: Floats) -> Floats:
    found: Floats = values[~np.isnan(values)]
    return found


def _percentiles(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.percentile(values, PERCENTILES))


def said(counts: Mapping[str, int], most: int = 3) -> str:
    """Counts in one cell of a table, the commonest first."""
    several = sorted(counts.items(), key=lambda item: -item[1])
    words = [name if len(several) == 1 else f"{name} ({count})" for name, count in several[:most]]
    return ", ".join(words) + (f" and {len(several) - most} more" if len(several) > most else "")


def rows_of_inputs(inputs: Sequence[InspectedInput]) -> list[list[str]]:
    """One row for each input under `COLUMNS`, and one for each number of a table."""
    rows = []
    for each in inputs:
        spacing = " x ".join(f"{middle:.3g}" if low == high else f"{middle:.3g} ({low:.3g}..{high:.3g})"
                             for low, middle, high in each.spacing)
        first = [each.name, str(each.cases), str(each.absent), said(each.sizes), spacing, said(each.orientations),
                 said(each.meanings)]
        ranges = [_range(value) for value in each.values if value.name == each.name] or [""]
        rows.append([*first, ranges[0]])
        rows += [[f"  {value.name}", "", "", "", "", "", "", _range(value)] for value in each.values
                 if value.name != each.name]
        rows += [[f"  {column}", "", "", "", "", "", "", said(counts, 6)] for column, counts in each.categories.items()]
    return rows


def _range(value: ValueRange) -> str:
    return " ".join(f"{number:.3g}" for number in value.percentiles)


COLUMNS = ("input", "cases", "absent", "size", "spacing in mm", "axes", "unit",
           "values at " + " ".join(f"{percent}%" for percent in PERCENTILES))

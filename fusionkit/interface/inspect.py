"""`fusionkit.inspect`: a table and pictures of what a network will see, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from fusionkit import pages
from fusionkit.components.component import Component
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.errors import DataError, Diagnostic
from fusionkit.evaluation.plots.style import save
from fusionkit.files import write_text
from fusionkit.interface.check_data import check_data
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.contact_sheet import augmented_sheet, bags, drawable, present_rows, sheet
from fusionkit.interface.inspected_inputs import (
    COLUMNS,
    InspectedInput,
    OutlyingCase,
    classes_by_part,
    inspected_inputs,
    outlying_cases,
    rows_of_inputs,
    told_outliers,
)
from fusionkit.interface.tables import html_table
from fusionkit.planning.open_graph import Source
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.setup import cache_for, set_up

PAGE, NUMBERS = "inspection.html", "inspection.json"
MOST_CASES, MOST_VERSIONS, MOST_NUMBER = 24, 12, 96


@dataclass(frozen=True)
class Inspection:
    """What a data file holds: its inputs, classes by part, cases that lie apart, and the files that were written."""

    inputs: tuple[InspectedInput, ...]
    classes: Mapping[str, Mapping[str, Mapping[str, int]]]
    outliers: tuple[OutlyingCase, ...]
    augmentation: tuple[str, ...]
    files: tuple[Path, ...]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of text, one for each input and each column of a table."""
        return list(COLUMNS), rows_of_inputs(self.inputs)

    def class_table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of text: how many cases of each part have each class."""
        parts = list(dict.fromkeys(part for by_part in self.classes.values() for part in by_part))
        rows = [[head, name, *(str(by_part[part][name]) for part in parts)] for head, by_part in self.classes.items()
                for name in next(iter(by_part.values()), {})]
        return ["target", "class", *parts], rows

    def rows(self) -> list[dict[str, Any]]:
        """One record for each input."""
        return [each.to_json() for each in self.inputs]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"inputs": self.rows(), "classes": {head: dict(parts) for head, parts in self.classes.items()},
                "outliers": [asdict(each) for each in self.outliers], "augmentation": list(self.augmentation)}

    def _repr_html_(self) -> str:
        return html_table(*self.table())


def inspect(
    data: str | Path,
    graph: Source | None = None,
    *,
    output: str | Path = "inspection",
    cases: int = 6,
    versions: int = 3,
    augment: str | None = None,
    number: int = 24,
    sets: Sequence[str] = (),
    data_roots: Sequence[str | Path] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    quiet: bool = False,
    console: Console | None = None,
) -> Inspection:
    """Count and draw what the cases of a data file hold, into a folder: a page that stands alone, pictures and JSON.

    With `graph` the inputs are those that it reads. `cases` are drawn of each image or volume, those that lie apart
    first, and `versions` of each as training would change it where the data file says `augment`. With `augment`, the
    name of an input, one more picture has `number` versions of a case: each transform at its bounds, then epochs.
    Raises: GraphError or DataError with everything that is wrong.
    """
    for name, value, most in (("cases", cases, MOST_CASES), ("versions", versions, MOST_VERSIONS),
                              ("number", number, MOST_NUMBER)):
        if not 0 <= value <= most:
            raise DataError(Diagnostic("bad-argument", f"--{name} cannot be {value}",
                                       fix=f"give a number from 0 to {most}"))
    shown, folder = console_for(console, quiet), Path(output)
    registry = discover(components=components, files=[str(file) for file in plugins])
    with shown.progress("reading") as update:
        cohort = _cohort(data, graph, sets, registry, data_roots=data_roots, update=update)
    for warning in cohort.warnings:
        shown.note(warning.render())
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.split_rows("train") or cohort.rows), cache_for(data))
    outliers = tuple(outlying_cases(cohort))
    pictures = []
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*drawable(cohort), *bags(cohort)) if cases else ():
        apart = [each.case for each in outliers if each.input == name]
        rows = present_rows(cohort, dataset, name, cases, apart)
        if rows:
            figure = sheet(cohort, dataset, name, rows, versions=versions, seed=0)
            pictures += save(figure, folder / _stem(name), (".png",))
    if augment is not None:
        row = _row_to_change(cohort, dataset, augment)
        figure = augmented_sheet(cohort, dataset, augment, row, count=max(1, number), seed=0)
        pictures += save(figure, folder / f"{_stem(augment)}-augmented", (".png",))
    unplaced = cohort.inputs_without_extent(cohort.rows)
    told = dataset.augmentation.told(dataset.inputs, unplaced, dataset.alike) if dataset.augmentation else []
    made = Inspection(tuple(inspected_inputs(cohort, dataset)), classes_by_part(cohort), outliers, tuple(told),
                      (folder / PAGE, folder / NUMBERS, *pictures))
    write_text(folder / NUMBERS, json.dumps(made.to_json(), indent=2) + "\n")
    write_text(folder / PAGE, _page(made, Path(data).name, cohort, pictures))
    return made


def _row_to_change(cohort: Cohort, dataset: CaseDataset, name: str) -> int:
    """The case whose versions are drawn: one of the middle of the cohort."""
    made = dataset.augmentation
    changed = [] if made is None else [each for each in (*drawable(cohort), *bags(cohort))
                                       if made.moving(made.group(each)) or made.inputs.get(each)]
    rows = present_rows(cohort, dataset, name, 3) if name in changed else []
    if not rows:
        fix = f"name one of {', '.join(changed)}" if changed else "write 'augment' in the data file"
        raise DataError(Diagnostic("bad-argument", f"--augment cannot draw {name!r}",
                                   why="it is no image or volume that training changes", fix=fix))
    return rows[len(rows) // 2]


def _cohort(data: str | Path, graph: Source | None, sets: Sequence[str], registry: Registry, *,
            data_roots: Sequence[str | Path], update: Any) -> Cohort:
    """The cohort of a data file, for the inputs of a graph or for all; `sets` are assignments to the graph's values."""
    if graph is None:
        return check_data(data, sets=sets, data_roots=data_roots, registry=registry, progress=update).cohort
    return set_up(graph, data, sets, registry, progress=update, data_roots=data_roots).cohort


def _stem(name: str) -> str:
    """The name of an input as that of a file."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name) or "input"


def _page(made: Inspection, name: str, cohort: Cohort, pictures: Sequence[Path]) -> str:
    """The page, with its pictures inside it."""
    parts = [f"<h1>{escape(name)}: {len(cohort)} cases</h1>", "<h2>Inputs</h2>", pages.table(*made.table())]
    if made.classes:
        parts += ["<h2>Classes</h2>", pages.table(*made.class_table())]
    parts += ["<h2>Cases that lie apart</h2>", pages.bullets(told_outliers(made.outliers) or ["none"])]
    if made.augmentation:
        parts += ["<h2>Augmentation</h2>", pages.bullets(made.augmentation)]
    if cohort.warnings:
        parts += ["<h2>Warnings</h2>", pages.bullets([each.message for each in cohort.warnings])]
    for picture in pictures:
        parts += [f"<h2>{escape(picture.stem)}</h2>", pages.picture(picture, f"slices of {picture.stem}")]
    return pages.page(f"{name}: what a network sees", parts)

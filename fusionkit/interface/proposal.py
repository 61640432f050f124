"""`fusionkit new --from TABLE`: a data file and a graph for a table of cases, each guess with its reason beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fusionkit.data.array_guesses import ArrayGuess, array_guess
from fusionkit.data.column_guesses import MOST_CLASSES, ColumnGuess, files_beside, guess_columns
from fusionkit.data.table import Table, read_table
from fusionkit.errors import DataError, Diagnostic, UserError, did_you_mean
from fusionkit.files import write_text
from fusionkit.graph.reserved import RESERVED
from fusionkit.syntax.text_changes import in_one_line

DATA, GRAPH = "data.yaml", "graph.yaml"
SIZES = {"image": [224, 224], "nifti": [32, 64, 64], "nrrd": [32, 64, 64], "mha": [32, 64, 64], "dicom": [32, 64, 64],
         "video": [16, 112, 112]}
"""The size that an input of files gets in a proposal; arrays of NumPy keep their own."""
TABLE = "table"


@dataclass(frozen=True)
class Proposal:
    """A data file and a graph that were written, the guesses behind them, and what `check` says of both."""

    data: Path
    graph: Path
    guesses: tuple[ColumnGuess, ...]
    findings: tuple[Diagnostic, ...]

    @property
    def good(self) -> bool:
        """Whether a training could begin with them."""
        return not any(found.severity == "error" for found in self.findings)


def propose(table: str | Path, *, output: str | Path | None = None, target: str | None = None,
            id_column: str | None = None) -> Proposal:
    """Write `data.yaml` and `graph.yaml` for a table of cases, and check them; nothing is overwritten.

    They go beside the table, or to the folder `output`, which must contain it. `target` and `id_column` are columns.
    Raises: DataError if the table cannot be read (what `read_table` raises), with `no-id-column`, `no-target`,
    `unknown-column`, `file-exists` or `path-outside`.
    """
    path = Path(table)
    folder = Path(output) if output is not None else path.parent
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(Diagnostic("path-outside", f"{str(path)!r} is not in {str(folder)!r}",
                                   why="a data file reads what lies below its own folder",
                                   fix="leave out -o, or give a folder above the table"))
    places = [folder / DATA, folder / GRAPH]
    if there := [place for place in places if place.exists()]:
        raise DataError(Diagnostic("file-exists", f"{str(there[0])!r} is there already, and nothing is overwritten",
                                   fix="move it, or give another folder above the table: -o FOLDER"))
    read = read_table(path)
    for column in (target, id_column):
        if column is not None and column not in read:
            raise DataError(Diagnostic("unknown-column", f"the table has no column {column!r}", read.header(),
                                       fix=did_you_mean(column, [name for name in read.columns if name])))
    guesses = guess_columns(read, path.parent, id_column, target)
    _refuse_unknown(read, guesses)
    case = next(guess.column for guess in guesses if guess.role == "id")
    below = [replace(guess, path=(path.parent.resolve().relative_to(folder.resolve()) / guess.path).as_posix()
                     .replace("{id}", f"{{{case}}}"))
             for guess in files_beside(path.parent, read.cells(case))]
    inputs = _inputs([*guesses, *below], _target_name(guesses))
    cases = path.resolve().relative_to(folder.resolve()).as_posix()
    write_text(places[0], "\n".join(_data_lines(cases, read, guesses, inputs)) + "\n")
    write_text(places[1], "\n".join(_graph_lines(folder.resolve().name, guesses, inputs)) + "\n")
    return Proposal(places[0], places[1], (*guesses, *below), tuple(_findings(places[0], places[1])))


def _refuse_unknown(table: Table, guesses: Sequence[ColumnGuess]) -> None:
    roles = {guess.role for guess in guesses}
    if "id" not in roles:
        raise DataError(Diagnostic("no-id-column", "no column names each case once, without blanks", table.header(),
                                   why="cases are told apart by their id, never by the order of rows",
                                   fix="add such a column to the table, or name it: --id COLUMN"))
    if "target" not in roles:
        raise DataError(Diagnostic("no-target", "no column looks like what is to be predicted", table.header(),
                                   why="a target has a few different values, or is named by you",
                                   fix="name it: --target COLUMN"))


@dataclass(frozen=True)
class _Input:
    name: str
    guess: ColumnGuess | None

    @property
    def array(self) -> ArrayGuess | None:
        """What its arrays are, None where it is of another kind of file."""
        sample = self.guess.sample if self.guess is not None and self.guess.reader == "numpy" else None
        return array_guess(sample) if sample is not None else None

    @property
    def layout(self) -> str:
        """Its layout in the graph."""
        if self.guess is None:
            return "vector"
        if self.array is not None:
            return self.array.layout
        return "image" if self.guess.reader == "image" else "volume"


def _inputs(guesses: Sequence[ColumnGuess], target: str) -> list[_Input]:
    """The inputs: one table of all numbers and categories, and one for each column or folder of files."""
    taken = {target}
    found = []
    if any(guess.role in ("numeric", "categorical") for guess in guesses):
        found.append(_Input(_free(TABLE, taken), None))
    found.extend(_Input(_free(guess.column, taken), guess) for guess in guesses if guess.role == "files")
    return found


def _safe(name: str) -> str:
    """The name with letters, digits and _ alone, starting with a letter, and no attribute of a network."""
    made = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "column"
    made = made if made[0].isalpha() else f"c_{made}"
    return f"{made}_1" if made in RESERVED else made


def _free(name: str, taken: set[str]) -> str:
    made = _safe(name)
    while made in taken:
        made += "_1"
    taken.add(made)
    return made


def _target_name(guesses: Sequence[ColumnGuess]) -> str:
    """What the target and its head are called; that of a time to an event is no censoring."""
    target = next(guess for guess in guesses if guess.role == "target")
    return "event" if target.survival is not None and "cens" in target.column.lower() else _safe(target.column)


def _data_lines(cases: str, table: Table, guesses: Sequence[ColumnGuess], inputs: Sequence[_Input]) -> Iterator[str]:
    by_role = {guess.role: guess for guess in guesses}
    yield from ("# Proposed from the table; each guess has its reason. Read it through, above all the target and the "
                "split.", "fusionkit-data: 1", f"cases: {in_one_line(cases)}")
    for role in ("id", "patient", "date", "site"):
        if role in by_role:
            yield f"{role}: {in_one_line(by_role[role].column)}  # {_comment(by_role[role].why)}"
    if "patient" not in by_role:
        yield "# patient: COLUMN  # if a patient has several rows, name the column, or the test is on known patients"
    target, name = by_role["target"], _target_name(guesses)
    if "split" in by_role:
        yield f"split: {{column: {in_one_line(by_role['split'].column)}}}  # {_comment(by_role['split'].why)}"
    else:
        chosen = f", stratify: {name}" if _is_classes(target) else ""
        yield f"split: {{folds: 5{chosen}, seed: 0}}  # no column says train and test: each case is tested once"
    yield "inputs:" if inputs else "inputs: {}  # no column looks like an input"
    for each in inputs:
        yield from _table_lines(each.name, guesses) if each.guess is None else [_file_line(each, each.guess)]
    yield "targets:"
    yield f"  {name}: {in_one_line(_target_entry(target))}  # {_comment(target.why)}"
    left = [guess for guess in guesses if guess.role == "left out"]
    if left:
        yield "# left out:"
        yield from (f"#   {_comment(guess.column)}: {_comment(guess.why)}" for guess in left)


def _target_entry(target: ColumnGuess) -> dict[str, Any]:
    pair = target.survival
    if pair is None:
        return {"column": target.column}
    return {"time": pair.time, "event": pair.event, **({"values": dict(pair.words)} if pair.words else {}),
            **({"unit": pair.unit} if pair.unit else {})}


def _table_lines(name: str, guesses: Sequence[ColumnGuess]) -> Iterator[str]:
    yield f"  {name}:"
    yield "    read: columns"
    for role in ("numeric", "categorical"):
        chosen = [guess for guess in guesses if guess.role == role]
        if chosen:
            yield f"    {role}:"
            yield from (f"      - {in_one_line(guess.column)}  # {_comment(guess.why)}"
                        f"{f'; {guess.blank} blank' if guess.blank else ''}" for guess in chosen)
    if any(guess.blank for guess in guesses if guess.role == "numeric"):
        yield "    fill: median  # some numbers are blank; indicator also tells the network which were"


def _file_line(each: _Input, guess: ColumnGuess) -> str:
    size = SIZES.get(guess.reader)
    # A blank cell of a path says that the case lacks the file; of a folder nothing does.
    lacking = guess.blank > 0 and guess.path != f"{{{guess.column}}}"
    array = each.array
    options = {"read": guess.reader, "path": guess.path, **({"size": size} if size else {}),
               **({"channels": array.channels} if array and array.channels != "first" else {}),
               **({"missing_ok": True} if lacking else {})}
    more = "; the size is a start" if size else f"; {array.why}" if array else ""
    return f"  {each.name}: {in_one_line(options)}  # {_comment(guess.why)}{more}"


def _graph_lines(name: str, guesses: Sequence[ColumnGuess], inputs: Sequence[_Input]) -> Iterator[str]:
    target = next(guess for guess in guesses if guess.role == "target")
    yield from ("# Proposed from the table: one encoder for each input, what they give beside each other, one head.",
                "fusionkit: 1", f"name: {in_one_line(name or 'study')}", "inputs:")
    for each in inputs:
        optional = each.guess is not None and each.guess.blank > 0
        entry: dict[str, Any] = {each.layout: ["auto"] if each.layout == "vector" else "auto"}
        entry |= {"optional": True} if optional else {}
        yield f"  {each.name}: {in_one_line(entry)}" + (
            f"  # {each.guess.blank} cases lack it" if optional and each.guess else "  # sizes come from the data")
    yield "nodes:"
    taken = {each.name for each in inputs} | {_target_name(guesses)}
    encoded = []
    for each in inputs:
        node = _free(f"{each.name}_encoded", taken)
        encoded.append(node)
        words = any(guess.role == "categorical" for guess in guesses)
        options: dict[str, Any]
        use, options = (("encoder.conv", {"widths": [16, 32, 64]}) if each.layout != "vector" else
                        ("encoder.embed", {"categories": "auto", "width": 32}) if words and each.guess is None else
                        ("encoder.mlp", {"width": 32, "hidden": [64]}))
        yield f"  {node}: {in_one_line({'use': use, 'from': each.name, 'with': options})}"
    last = encoded[0] if encoded else ""
    if len(encoded) > 1:
        last = _free("fused", taken)
        yield f"  {last}: {in_one_line({'use': 'fusion.concat', 'from': encoded})}"
    yield f"  {_target_name(guesses)}: {in_one_line(_head(target, last))}"
    # An event is compared with all cases of a step: 256 of them.
    steps = ", batch_size: 32, accumulate: 8, monitor: harrell" if target.survival else ""
    yield f"training: {{epochs: 50, patience: 10{steps}}}"


def _head(target: ColumnGuess, last: str) -> dict[str, Any]:
    options: dict[str, Any]
    if target.survival is not None:
        horizons = [int(each) if each == int(each) else each for each in target.survival.horizons]
        use, options = "head.cox", {"horizons": horizons}
    elif _is_classes(target):
        use, options = "head.classify", {"classes": list(target.values)}
    else:
        use, options = "head.regress", {"values": [target.column]}
    return {"use": use, "from": last, "with": options}


def _is_classes(target: ColumnGuess) -> bool:
    return 2 <= len(target.values) <= MOST_CLASSES


def _comment(text: str) -> str:
    """Text as a comment: on one line."""
    return " ".join(text.split())


def _findings(data: Path, graph: Path) -> list[Diagnostic]:
    """What `check` says of the two files."""
    from fusionkit.interface.check import check

    try:
        return list(check(str(graph), data=data).warnings)
    except UserError as error:
        return list(error.diagnostics)

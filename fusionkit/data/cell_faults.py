"""Faults of the cells of one column, reported once for each kind of fault with its counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic, Severity

SHOWN_VALUES, SHOWN_LINES = 8, 40


@dataclass(frozen=True, slots=True)
class CellFault:
    """One kind of fault: `one` ends the sentence about a single cell, `many` the sentence about several.

    `{cell}` in `one` stands for the cell in quotes. Equal faults of one column are told together.
    """

    code: str
    one: str
    many: str
    why: str | None = None
    fix: str | None = None
    severity: Severity = "error"


@dataclass
class CellFaults:
    """The faults of one column, collected by kind; `named` is the column's name in messages.

    `cells` are those of the table unless they were mapped to others.
    """

    table: Table
    column: str
    ids: Sequence[str]
    named: str = ""
    cells: Sequence[str] = ()
    _rows: dict[CellFault, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.named = self.named or f"column {self.column!r}"
        self.cells = self.cells or self.table.cells(self.column)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def add(self, row: int, fault: CellFault) -> None:
        """Records the fault of the cell in one row."""
        self._rows[fault].append(row)

    def told(self) -> list[Diagnostic]:
        """One diagnostic for each kind of fault, in the order of their occurrence."""
        return [self._tell(fault, rows) for fault, rows in self._rows.items()]

    def _tell(self, fault: CellFault, rows: list[int]) -> Diagnostic:
        named, cells = self.named, self.cells
        span = self.table.span(rows[0], self.column)
        if len(rows) == 1:
            message = f"case {self.ids[rows[0]]!r}, {named}: {fault.one.replace('{cell}', repr(cells[rows[0]]))}"
            return Diagnostic(fault.code, message, span, fault.why, fault.fix, fault.severity)
        values = listed_counts([cells[row] for row in rows])
        filled = sum(1 for cell in cells if cell) if values else len(cells)
        message = f"{named}: {len(rows)} of {filled} cells {fault.many}{values and ': ' + values}"
        places = on_lines(self.table, rows)
        why = f"{fault.why}; {places}" if fault.why else places
        return Diagnostic(fault.code, message, span, why, fault.fix, fault.severity)


def listed_counts(cells: Sequence[str]) -> str:
    """The distinct texts with their counts, most frequent first: `'<5' (12 times), 'n/k'`."""
    counted = Counter(cell for cell in cells if cell).most_common()
    shown = [f"{cell!r}" + (f" ({count} times)" if count > 1 else "") for cell, count in counted[:SHOWN_VALUES]]
    more = len(counted) - len(shown)
    return ", ".join(shown) + (f" and {more} more values" if more else "")


def on_lines(table: Table, rows: Sequence[int]) -> str:
    """The lines of rows in the file."""
    lines = [str(table.span(row).line) for row in rows[:SHOWN_LINES]]
    return f"on lines {', '.join(lines)}{', ...' if len(rows) > SHOWN_LINES else ''}"

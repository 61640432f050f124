"""Where the items of a bag are, as an input of their own: `read: positions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.case_files import Checked
from fusionkit.data.findings import Findings
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.readers.bag import POSITIONS, BagOptions
from fusionkit.data.signature import InputNeed
from fusionkit.errors import Diagnostic, did_you_mean


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions of the items of the input `of`, by row; None for a case without it. `bag` are its options.

    *Shapes*: (N, 1).
    """

    of: str
    bag: BagOptions = field(repr=False)
    by_row: Sequence[NDArray[np.float32] | None] = field(repr=False)

    @property
    def shapes(self) -> dict[int, tuple[int, ...]]:
        """The sizes of each row that has some."""
        return {row: positions.shape for row, positions in enumerate(self.by_row) if positions is not None}


def positions_of(spec: InputSpec, needs: Mapping[str, InputNeed], specs: Mapping[str, InputSpec], *,
                 checked: Mapping[tuple[str, int], Checked], rows: int, findings: Findings) -> Positions | None:
    """The positions that an input takes from a bag; `unknown-name` or `no-positions` where it cannot."""
    of = str(spec.options.of)
    bag = specs[of].bag if of in specs else None
    if bag is None or of not in needs:
        bags = [name for name in needs if name in specs and specs[name].bag is not None]
        what = "which is no input" if of not in specs else (
            "which is not read by 'bag'" if bag is None else "which the network does not read")
        findings.add(Diagnostic("unknown-name", f"input {spec.name!r} takes positions of {of!r}, {what}", spec.span,
                                fix=did_you_mean(of, bags, "name an input with 'read: bag'")), spec.name)
        return None
    found = {row: file.facts.positions for (name, row), file in sorted(checked.items()) if name == of}
    if found and not all(found.values()):
        findings.add(Diagnostic(
            "no-positions", f"input {spec.name!r} takes positions of {of!r}, whose items have none", spec.span,
            "slices have one, and items of a table whose column 'position' says so",
            f"write 'table', 'id' and 'position' on input {of!r}, or remove {spec.name!r}"), spec.name)
        return None
    return Positions(of, bag, [np.array(found[row], dtype=np.float32)[:, None] if row in found else None
                               for row in range(rows)])


def is_positions(spec: InputSpec) -> bool:
    """Whether an input takes the positions of another's items."""
    return spec.source is POSITIONS

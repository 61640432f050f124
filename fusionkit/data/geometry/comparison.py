"""Whether volumes of a case that a network joins voxel by voxel show one place of the body."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fusionkit.data.case_files import Checked
from fusionkit.data.findings import Findings
from fusionkit.data.geometry.grid import SAME, Grid, voxels_apart
from fusionkit.errors import Diagnostic, Span

_CLOSE = 0.5  # of the smallest edge of a voxel; beyond half of one, interpolation takes other voxels


def _described(one: Grid, other: Grid) -> str:
    """How two grids differ, in mm and degrees."""
    turn = np.linalg.solve(one.affine[:3, :3] / one.spacing, other.affine[:3, :3] / other.spacing)
    angle = math.degrees(math.acos(max(-1.0, min(1.0, (float(np.trace(turn)) - 1) / 2))))
    turned = f", turned by {angle:.2g} degrees" if angle > 0.01 else ""
    sizes = [" x ".join(f"{length:.4g}" for length in grid.extent) for grid in (one, other)]
    extents = f"; they are {sizes[0]} and {sizes[1]} mm" if sizes[0] != sizes[1] else ""
    return f"corners are up to {one.apart(other):.3g} mm apart{turned}{extents}"


def check_same_grid(pairs: Mapping[tuple[str, str], Span | None], checked: Mapping[tuple[str, int], Checked],
                    ids: Sequence[str], findings: Findings) -> None:
    """`grids-differ`, `grids-close` and `no-geometry` for pairs of inputs, each once with the number of cases."""
    for (first, second), span in pairs.items():
        rows = [row for owner, row in checked if owner == second and (first, row) in checked]
        rows = [row for row in rows if len(checked[first, row].shape) == len(checked[second, row].shape) == 4]
        joined = f"inputs {first!r} and {second!r} are joined voxel by voxel"
        untold, close, apart = [], {}, {}
        for row in rows:
            one, other = (checked[name, row].facts.outcome_grid for name in (first, second))
            if one is None or other is None:
                untold.append(row)
                continue
            distance = voxels_apart(one, other)
            if distance > _CLOSE or one.shape != other.shape:
                apart[row] = distance
            elif distance > SAME:
                close[row] = distance
        for code, met in (("grids-differ", apart), ("grids-close", close)):
            if not met:
                continue
            worst = max(met, key=lambda row: met[row])
            one, other = (checked[name, worst].facts.outcome_grid for name in (first, second))
            assert one is not None and other is not None
            how = "different" if code == "grids-differ" else "slightly different"
            findings.add(Diagnostic(
                code, f"{joined}, and their voxels are at {how} places in {len(met)} of {len(rows)} cases, most in "
                f"{ids[worst]!r}", span, _described(one, other),
                f"write 'like: {first}' on input {second!r}, which resamples it onto that grid",
                "error" if code == "grids-differ" else "warning"), second)
        if untold:
            findings.add(Diagnostic(
                "no-geometry", f"{joined}, and whether their voxels are at one place is not known in {len(untold)} of "
                f"{len(rows)} cases", span, "not both files tell where their voxels are, as NumPy arrays never do",
                "check that they are registered and have one spacing, or give both as DICOM or NIfTI", "warning"),
                second)

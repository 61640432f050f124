"""The orientation of a NIfTI volume: which of its two affines is valid, and warnings about them.

Source: nifti1.h, methods 1 to 3 and xyzt_units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.reading import Grid, ReadError

_MM = {1: 1000.0, 3: 0.001}  # by the code of a unit of space: metre and micron
_SAME = 0.1  # of the shortest edge of a voxel, between the corners that two affines give a volume
_SINGULAR = 1e-6
_ODD_MM = (0.01, 100.0)


@dataclass(frozen=True, slots=True)
class Place:
    """The affine of a volume in mm, its axes i, j, k as in the file; None where the file gives none.

    Shapes: `affine` (4, 4).
    """

    affine: NDArray[np.float64] | None
    remarks: tuple[tuple[str, str], ...] = ()

    @property
    def spacing(self) -> tuple[float, ...]:
        """The lengths of a voxel along i, j, k in mm; empty without an affine."""
        if self.affine is None:
            return ()
        return tuple(float(f"{length:.6g}") for length in np.linalg.norm(self.affine[:3, :3], axis=0))


def place_of(header: Any, shape: tuple[int, ...]) -> Place:
    """The sform where it has a code, else the qform, as all common readers do.

    Raises: `ReadError` (singular-affine) when the header has a code and no affine that can be used.
    """
    # The lowest three bits are of space; nibabel's names fail where those of time hold no code.
    scale = np.diag([*[_MM.get(int(header["xyzt_units"]) & 7, 1.0)] * 3, 1.0])
    sform, qform = _coded(header, "sform"), _coded(header, "qform")
    if sform is None and qform is None:
        return Place(None, (("no-geometry", ""),))
    remarks = []
    affine = next((found for found in (sform, qform) if found is not None and _usable(found)), None)
    if affine is None:
        which = " and ".join(name for name, found in (("sform", sform), ("qform", qform)) if found is not None)
        raise ReadError("singular-affine", f"its {which} cannot be used: the directions of its axes are not three",
                        "the voxels may be sound, but their order in space is not known",
                        "write the affine again; with both codes 0 the file is read in the order of its axes")
    affine = scale @ affine
    if sform is not None and not _usable(sform):
        remarks.append(("sform-singular", ""))
    elif sform is not None and qform is not None and _usable(qform):
        used = Grid.of_file(affine, shape[2::-1])
        apart = used.apart(Grid.of_file(scale @ qform, shape[2::-1]))
        if apart > _SAME * min(used.spacing):
            remarks.append(("affines-disagree", f"{apart:.3g}"))
    place = Place(affine)
    if not all(_ODD_MM[0] <= length <= _ODD_MM[1] for length in place.spacing):
        remarks.append(("odd-spacing", " x ".join(f"{length:g}" for length in place.spacing)))
    return Place(affine, tuple(remarks))


def analyze_place(affine: NDArray[np.float64]) -> Place:
    """An Analyze volume by the affine that nibabel gives it: LAS with its middle at the origin, or what SPM wrote.

    Raises: `ReadError` (singular-affine) for voxels without a length.
    """
    if not _usable(affine):
        raise ReadError("singular-affine", "the voxels have no length", fix="correct 'pixdim' of the header")
    return Place(affine)


def _coded(header: Any, name: str) -> NDArray[np.float64] | None:
    """An affine whose code is set; one that cannot be computed is of zeros."""
    if int(header[f"{name}_code"]) <= 0:
        return None
    try:
        found: NDArray[np.float64] = np.asarray(getattr(header, f"get_{name}")(), dtype=np.float64)
        return found
    except Exception:  # a quaternion that is none, a length of zero: nibabel raises several kinds
        return np.zeros((4, 4))


def _usable(affine: NDArray[np.float64]) -> bool:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not lengths.all():
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) > _SINGULAR)

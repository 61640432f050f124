"""From the slices of a folder to one stack in order along its normal, or an error that says what it is instead.

Sorting by instance number or file name is unreliable; the position along the normal is always right. An irregular stack
is refused: averaging a gap away would shift the anatomy silently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from fusionkit_plugins.blocks.dicom.headers import Slice
from numpy.typing import NDArray

from fusionkit.reading import MAX_VALUES, Grid, ReadError

_DUPLICATE_MM = 0.01
_UNEVEN = 0.1  # of the median step
_OFF_GRID = 0.2  # of a step, beside which positions may lie by rounding
_EXACT_MM = 1e-4
_SAME_DIRECTION = 1e-3  # 1 mm per metre
_SHOWN = 5


def choose_series(slices: list[Slice], name: str | None) -> list[Slice]:
    """The slices of the only series, or of the one given by `name`: a UID, number or description.

    Raises: `ReadError` (dicom-several-series, dicom-unknown-series).
    """
    series: dict[str, list[Slice]] = {}
    for item in slices:
        series.setdefault(item.series, []).append(item)
    chosen = {uid: members for uid, members in series.items() if name is None or name in _names(members[0])}
    if len(chosen) == 1:
        return next(iter(chosen.values()))
    named = "" if name is None else f" {name!r}"
    if not chosen:
        fix = "name one of them in 'series' by UID, number or description"
        raise ReadError("dicom-unknown-series", f"contains no series{named}", f"it contains {_listed(series)}", fix)
    fix = "let 'path' name a folder of one series, or choose by UID, number or description: 'series: ...'"
    raise ReadError("dicom-several-series", f"contains {len(chosen)} series{named}", f"they are {_listed(chosen)}", fix)


def _names(item: Slice) -> set[str]:
    return {name for name in (item.series, item.series_number, item.description) if name}


def _listed(series: dict[str, list[Slice]]) -> str:
    texts = [
        f"{uid} (number {members[0].series_number or '-'}, {members[0].description or members[0].kind!r}, "
        f"{len(members)} slices)"
        for uid, members in sorted(series.items())
    ]
    return "; ".join(texts[:_SHOWN]) + ("; ..." if len(texts) > _SHOWN else "")


def ordered(slices: list[Slice], tilt_kept: bool, gaps_kept: bool = False) -> list[Slice]:
    """The slices of one series in the order of their positions along the normal.

    `gaps_kept` accepts uneven steps.
    Raises: `ReadError` with a code for each way in which a series can fail to be one volume.
    """
    for check in (_check_objects, _check_localizers, _check_geometry, _check_sizes, _check_orientations):
        check(slices)
    normal = _normal(slices[0])
    positions = np.array([item.position for item in slices], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    stack, along = [slices[index] for index in order], along[order]
    if len(stack) > 1:
        _check_duplicates(stack, along)
        if not gaps_kept:
            _check_steps(stack, along)
        _check_drift(stack, positions[order], along, normal, tilt_kept)
    return stack


def grid_of(stack: list[Slice], count: int) -> Grid:
    """The grid of an ordered stack that has `count` even slices between its first and its last one.

    The step is from slice to slice, which is sheared under a tilted gantry. One slice has its thickness along the
    normal, or 1 mm where the header gives none.
    """
    first, last = stack[0], stack[-1]
    assert first.position is not None and last.position is not None and first.spacing is not None
    assert first.orientation is not None
    row, column = (np.array(axis) / np.linalg.norm(axis) for axis in (first.orientation[:3], first.orientation[3:]))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * first.spacing[1], column * first.spacing[0]
    affine[:3, 2] = ((np.array(last.position) - np.array(first.position)) / (count - 1) if count > 1 else
                     _normal(first) * (first.thickness or 1.0))
    affine[:3, 3] = first.position
    return Grid.of_file(affine, (count, first.rows, first.columns), world="LPS")


def upright(grid: Grid) -> Grid | None:
    """The grid without shear that covers a sheared one, with its voxels and its slices; None if it is not sheared.

    Slices stay at their places along the normal, and are shifted within their planes.
    """
    depth, height, width, origin = grid.affine[:3].T
    normal = np.cross(height, width)
    normal /= np.linalg.norm(normal)
    along = normal * (depth @ normal)
    drift = (depth - along) * (grid.shape[0] - 1)
    if np.linalg.norm(drift) <= min(grid.spacing[1:]) / 2:
        return None
    shifts = [float(drift @ axis / (axis @ axis)) for axis in (height, width)]  # of the last slice, in pixels
    starts = [math.floor(min(0.0, shift)) for shift in shifts]
    affine = np.eye(4)
    affine[:3, :] = np.stack([along, height, width, origin + starts[0] * height + starts[1] * width], axis=1)
    sizes = [size + math.ceil(abs(shift)) for size, shift in zip(grid.shape[1:], shifts, strict=True)]
    return Grid(affine, (grid.shape[0], sizes[0], sizes[1]))


def _normal(item: Slice) -> NDArray[np.float64]:
    assert item.orientation is not None
    return np.cross(item.orientation[:3], item.orientation[3:])


def _some(slices: Iterable[Slice]) -> str:
    names = [item.name for item in slices]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _check_objects(slices: list[Slice]) -> None:
    """Refuse objects without grey planes that have a position each."""
    for item in slices:
        check_image(item)
        if item.colours > 1 or item.photometric == "PALETTE COLOR":
            why = f"its photometric interpretation is {item.photometric}"
            raise ReadError("dicom-colour", f"{item.name} is a colour image", why, "read it with 'form: image'")
        if item.frame is None and item.frames > 1:
            message = f"{item.name} has {item.frames} frames without a position each: a multi-frame {item.kind}"
            fix = "read a cine loop with 'form: film'; write slices as files of their own, or as an enhanced object"
            raise ReadError("dicom-multiframe", message, None, fix)


def check_image(item: Slice) -> None:
    """Refuse reports, plans, structures, and objects whose values are not grey values.

    Raises: `ReadError` (dicom-not-image).
    """
    other = any(word in item.kind for word in ("Segmentation", "RT Dose", "Parametric Map"))
    if other or not item.rows or not item.columns:
        why = "it has no Rows and Columns: the file may be cut off" if item.kind.endswith("Image Storage") else None
        drawn = "Segmentation" in item.kind or "Structure Set" in item.kind
        fix = ("read it with 'read: mask', and remove it from the folder of the images" if drawn else
               "remove the file from the folder, or choose an image series with 'series: ...'")
        raise ReadError("dicom-not-image", f"{item.name} is not an image of grey values: {item.kind}", why, fix)


def _check_localizers(slices: list[Slice]) -> None:
    scouts = [item for item in slices if "LOCALIZER" in item.image_type]
    if scouts:
        message = f"{len(scouts)} of {len(slices)} slices are localizers (scouts): {_some(scouts)}"
        why = "they are overviews across the patient, not slices of one volume"
        raise ReadError("dicom-localizer", message, why, "name the folder of the series that was planned on them")


def _check_geometry(slices: list[Slice]) -> None:
    for item in slices:
        named = {
            "ImagePositionPatient": item.position,
            "ImageOrientationPatient": item.orientation,
            "PixelSpacing": item.spacing,
        }
        missing = [keyword for keyword, value in named.items() if value is None]
        if missing:
            message = f"{item.name} does not give its position: no {', '.join(missing)}"
            why = f"it is a {item.kind}"
            raise ReadError("dicom-no-geometry", message, why, "read a single radiograph with 'form: image'")
        assert item.orientation is not None and item.spacing is not None
        row, column = np.array(item.orientation[:3]), np.array(item.orientation[3:])
        lengths = np.linalg.norm([row, column], axis=1)
        if np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > 0.01:
            why = f"ImageOrientationPatient is {item.orientation}"
            raise ReadError("dicom-bad-geometry", f"{item.name} has axes that are not at right angles", why)
        if min(item.spacing) <= 0:
            raise ReadError("dicom-bad-geometry", f"{item.name} has a PixelSpacing of {item.spacing}")


def _check_sizes(slices: list[Slice]) -> None:
    _refuse_mixed(slices, lambda item: (item.rows, item.columns), "dicom-mixed-sizes", "sizes (rows, columns)")
    _refuse_mixed(slices, lambda item: _rounded(item.spacing, 4), "dicom-mixed-spacing", "pixel spacings in mm")


def _rounded(values: tuple[float, ...] | None, digits: int) -> tuple[float, ...]:
    return tuple(round(value, digits) + 0.0 for value in values or ())


def _check_orientations(slices: list[Slice]) -> None:
    first = np.array(slices[0].orientation)
    same = [np.abs(np.array(item.orientation) - first).max() <= _SAME_DIRECTION for item in slices]
    if not all(same):
        rounded = [_rounded(item.orientation, 3) for item in slices]
        _refuse_mixed(slices, lambda item: _rounded(item.orientation, 3), "dicom-mixed-orientations", "orientations")
        # Directions may differ by more than the tolerance and still round to the same values.
        raise ReadError("dicom-mixed-orientations", f"its slices rotate gradually: {rounded[0]} to {rounded[-1]}")


def _refuse_mixed(slices: list[Slice], key: Callable[[Slice], object], code: str, what: str) -> None:
    groups: dict[object, list[Slice]] = {}
    for item in slices:
        groups.setdefault(key(item), []).append(item)
    if len(groups) > 1:
        shown = "; ".join(f"{value}: {_some(members[:2])}" for value, members in list(groups.items())[:_SHOWN])
        fix = "keep the files of one stack in the folder"
        raise ReadError(code, f"its slices have {len(groups)} different {what}", shown, fix)


def _check_duplicates(stack: list[Slice], along: NDArray[np.float64]) -> None:
    twice = np.flatnonzero(np.diff(along) < _DUPLICATE_MM)
    if not twice.size:
        return
    one, other = stack[twice[0]], stack[twice[0] + 1]
    message = f"{one.name} and {other.name} are at the same position, {along[twice[0]]:.2f} mm"
    message += f" ({twice.size} such pairs)" if twice.size > 1 else ""
    if one.instance == other.instance and one.frame == other.frame:
        raise ReadError("dicom-duplicate-position", message, "they are the same image", "remove the copies")
    told = _told_apart(stack)
    if told:
        why = "they differ in " + "; ".join(f"{key}: {_values(values)}" for key, values in told.items())
        key, values = next(iter(told.items()))
        fix = f"choose one stack, for example 'stack: {{{key}: {sorted(values, key=_in_order)[0]}}}'"
        raise ReadError("dicom-duplicate-position", message, why, fix)
    raise ReadError("dicom-duplicate-position", message, None, "keep the files of one stack in the folder")


def _told_apart(stack: list[Slice]) -> dict[str, set[str]]:
    """The elements, with all their values, that differ between slices at one place."""
    places: dict[tuple[float, ...], list[Slice]] = {}
    for item in stack:
        places.setdefault(_rounded(item.position, 2), []).append(item)
    crowded = [items for items in places.values() if len(items) > 1]
    found: dict[str, set[str]] = {}
    for key in dict.fromkeys(key for item in stack for key in item.variants):
        if any(len({item.variants.get(key, "") for item in items}) > 1 for items in crowded):
            found[key] = {item.variants.get(key, "") for items in crowded for item in items}
    return found


def _values(values: set[str]) -> str:
    shown = [value or "none" for value in sorted(values, key=_in_order)]
    return f"{len(shown)} values, {', '.join(shown[:_SHOWN])}" + (", ..." if len(shown) > _SHOWN else "")


def _in_order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def choose_stack(slices: list[Slice], wanted: Mapping[str, str]) -> list[Slice]:
    """The slices whose elements have the wanted values; numbers are compared as numbers.

    Raises: `ReadError` (dicom-unknown-stack).
    """
    chosen = [item for item in slices if all(
        _in_order(item.variants.get(key, "")) == _in_order(value) or item.variants.get(key, "") == value
        for key, value in wanted.items())]
    if chosen or not slices:
        return chosen
    said = "; ".join(f"{key}: {_values({item.variants.get(key, '') for item in slices})}" for key in wanted)
    named = ", ".join(f"{key} {value}" for key, value in wanted.items())
    raise ReadError("dicom-unknown-stack", f"holds no slices of {named}", f"it holds {said}", "correct 'stack'")


def _check_steps(stack: list[Slice], along: NDArray[np.float64]) -> None:
    """Refuses positions that are not those of a regular grid, but for rounding.

    A slice that is missing moves another one by a quarter of a step or more, wherever it was.
    """
    steps = np.diff(along)
    usual = float(np.median(steps))
    even = (along[-1] - along[0]) / (len(along) - 1)
    apart = np.abs(along - (along[0] + even * np.arange(len(along))))
    if apart.max() <= _OFF_GRID * even + _EXACT_MM:
        return
    odd = np.flatnonzero(np.abs(steps - usual) > _UNEVEN * usual)
    worst = int(np.argmax(np.abs(steps - usual)))
    one, other = stack[worst], stack[worst + 1]
    message = f"has a gap: {steps[worst]:.2f} mm between {one.name} and {other.name}, elsewhere {usual:.2f} mm"
    why = (f"the positions are {along[worst]:.2f} and {along[worst + 1]:.2f} mm; uneven steps: {odd.size}; slices are "
           f"up to {apart.max():.2f} mm off a regular grid")
    fix = "find the missing slices, or write 'gaps: resample' to interpolate a series with uneven steps"
    raise ReadError("dicom-gap", message, why, fix)


def even_places(stack: list[Slice]) -> NDArray[np.float64]:
    """Where the slices of an even stack lie among those that are there, counted from 0.

    The step is one of the shortest, so that no slice is passed over, stretched so that the first and the last slice
    stay where they are.
    Raises: `ReadError` (dicom-too-large).
    """
    normal = _normal(stack[0])
    along = np.array([item.position for item in stack], dtype=np.float64) @ normal
    length = float(along[-1] - along[0])
    count = max(1, round(length / float(np.percentile(np.diff(along), 10, method="lower")))) + 1
    if count * stack[0].rows * stack[0].columns > MAX_VALUES:
        raise ReadError("dicom-too-large", f"would be resampled to {count} slices", f"it is {length:g} mm long",
                        "remove the slices that do not belong to the stack")
    places = np.interp(np.linspace(along[0], along[-1], count), along, np.arange(len(along)))
    return np.where(np.abs(places - places.round()) < 1e-6, places.round(), places)


def _check_drift(
    stack: list[Slice],
    positions: NDArray[np.float64],
    along: NDArray[np.float64],
    normal: NDArray[np.float64],
    tilt_kept: bool,
) -> None:
    """Refuse slices that are shifted within their plane: by a tilted gantry, or irregularly."""
    inside = positions - along[:, None] * normal
    inside -= inside[0]
    travelled = along - along[0]
    drift = inside[-1] / travelled[-1]
    tolerance = min(stack[0].spacing or (1.0,)) / 2
    if np.linalg.norm(inside - travelled[:, None] * drift, axis=1).max() > tolerance:
        worst = int(np.linalg.norm(inside - travelled[:, None] * drift, axis=1).argmax())
        message = f"its slices are not aligned: {stack[worst].name} is shifted within its plane"
        raise ReadError("dicom-shifted", message, None, "keep the files of one stack in the folder")
    if np.linalg.norm(inside[-1]) > tolerance and not tilt_kept:
        angle = math.degrees(math.atan(float(np.linalg.norm(drift))))
        message = f"was taken with a tilted gantry: the stack is sheared by {angle:.1f} degrees"
        why = f"its last slice is shifted by {np.linalg.norm(inside[-1]):.1f} mm within its plane"
        raise ReadError("dicom-tilt", message, why, "set 'tilt: resample' to shift its slices to an "
                        "upright stack, or 'tilt: keep' to use the sheared one unchanged")

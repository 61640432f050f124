"""Label maps: arrays whose values identify regions, which must not be averaged when an array is resized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.geometry.options import Interpolation
from fusionkit.data.transforms import resize

if TYPE_CHECKING:
    from fusionkit.data.input_spec import InputSpec
    from fusionkit.data.readers.facts import Facts

_SAMPLE = 1 << 16
_MOST_LABELS, _LARGEST_LABEL = 256, 65535
_FEW, _ALMOST_ALL = 16, 0.9
VOTED = 32
"""With more labels the nearest voxel is used: voting takes one pass for each."""


def labels_of(array: NDArray[Any]) -> tuple[float, ...]:
    """The labels of an array that looks like a label map, in ascending order; empty for any other.

    A label map holds few different whole numbers from 0 up, which lie in patches: at least half of the neighbours
    outside the commonest label are alike, or there are very few labels and almost all neighbours are.
    Shapes: (c, h, w) or (c, d, h, w).
    """
    flat = array.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    if array.ndim < 3 or not flat.size or not _whole_labels(sample) or len(np.unique(sample)) > _MOST_LABELS:
        return ()
    if not _whole_labels(flat):
        return ()
    counts = np.bincount(flat.astype(np.int64))
    labels = np.flatnonzero(counts)
    if not 2 <= len(labels) <= _MOST_LABELS:
        return ()
    commonest = counts.argmax()
    pairs = alike = outside = alike_outside = 0
    for axis in range(1, array.ndim):
        one, other = np.moveaxis(array, axis, 0)[:-1], np.moveaxis(array, axis, 0)[1:]
        same = one == other
        away = (one != commonest) | (other != commonest)
        pairs, alike = pairs + same.size, alike + int(same.sum())
        outside, alike_outside = outside + int(away.sum()), alike_outside + int((same & away).sum())
    patches = 2 * alike_outside >= outside or (len(labels) <= _FEW and alike >= _ALMOST_ALL * pairs)
    return tuple(float(label) for label in labels) if pairs and patches else ()


def labelled(inputs: Mapping[str, InputSpec], facts: Mapping[tuple[str, int], Facts]) -> frozenset[str]:
    """The inputs whose values are labels, by their options and what was found in any of their files."""
    return frozenset(name for (name, _), file in facts.items() if (how := inputs[name].options.interpolate) in (
        "labels", "nearest") or (how == "auto" and file.labels))


def colour_labels(array: NDArray[np.float32]) -> tuple[float, ...]:
    """A number for each colour of a picture whose colours look like labels, as in a painted mask; empty for others.

    Shapes: (3, h, w), values 0 to 255.
    """
    flat = array.reshape(3, -1)
    sample = flat[:, :: max(1, flat.shape[1] // _SAMPLE)]
    if not sample.size or len(np.unique(_codes(sample))) > VOTED:
        return ()
    colours, numbers = np.unique(_codes(flat), return_inverse=True)
    return labels_of(numbers.reshape(1, *array.shape[1:])) if len(colours) <= VOTED else ()


def _codes(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    codes: NDArray[np.float32] = colours[0] + colours[1] * np.float32(256) + colours[2] * np.float32(65536)
    return codes


def _whole_labels(values: NDArray[Any]) -> bool:
    if not np.isfinite(values).all():
        return False
    return bool(values.min() >= 0 and values.max() <= _LARGEST_LABEL and (values == np.floor(values)).all())


def resize_as(
    array: NDArray[np.float32], size: tuple[int, ...] | None, interpolate: Interpolation, labels: tuple[float, ...]
) -> NDArray[np.float32]:
    """The array resized to a given size by the method of the option; `labels` are those of `labels_of`.

    Shapes: (c, h, w) with size (h, w), or (c, d, h, w) with size (d, h, w).
    Raises: as `resize`.
    """
    if size is None or array.shape[1:] == tuple(size) or array.size == 0:
        return array if size is None else resize(array, size)
    by_label = interpolate == "labels" or (interpolate == "auto" and labels)
    if interpolate == "nearest":
        return _nearest(array, size)
    if not by_label:
        return resize(array, size, cubic=interpolate == "cubic")
    votes = by_vote(array, lambda share: resize(share, size))
    return _nearest(array, size) if votes is None else votes


def _nearest(array: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    for axis, (new, old) in enumerate(zip(size, array.shape[1:], strict=True), 1):
        places = np.floor((np.arange(new) + 0.5) * (old / new)).astype(np.int64)
        array = np.take(array, np.minimum(places, old - 1), axis)
    return np.ascontiguousarray(array)


def by_vote(array: NDArray[np.float32], linear: Callable[[NDArray[np.float32]], NDArray[np.float32]]
            ) -> NDArray[np.float32] | None:
    """The label with the largest share of each new voxel; of equal shares the smaller, of two labels the larger.

    `linear` gives the shares of new voxels that a region of ones has. None for several channels or too many labels.
    """
    labels = np.unique(array)[: VOTED + 1]
    if len(array) != 1 or len(labels) > VOTED:
        return None
    if len(labels) == 2:
        upper = linear((array == labels[1]).astype(np.float32)) >= 0.5 - 1e-6
        binary: NDArray[np.float32] = np.where(upper, labels[1], labels[0])
        return binary
    shares = (linear((array == label).astype(np.float32)) for label in labels)
    most = next(shares)
    chosen = np.full_like(most, labels[0])
    for label, share in zip(labels[1:], shares, strict=True):
        more = share > most + 1e-6  # equal shares may differ by rounding
        chosen[more], most[more] = label, share[more]
    return chosen

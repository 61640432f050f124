"""One array of a .npy or .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import Field

from fusionkit.api import Reader
from fusionkit.reading import (
    MAX_VALUES,
    Advice,
    Facts,
    IntensityOptions,
    ReadError,
    Sizes,
    constant,
    intensities,
    label_maps,
    labels_of,
    misplaced,
    ranges,
    spread,
)


class ArrayOptions(IntensityOptions):
    """Options of the reader `numpy`."""

    key: str | None = Field(None, description="Which array of an .npz file; needed if there are several.")
    channels: Literal["first", "last", "none"] = Field(
        "first", description="Position of the channels: `first` keeps the array unchanged, `last` moves the last axis "
        "to the front, `none` adds an axis of one channel.",
    )
    fill_nan: float | None = Field(
        None, allow_inf_nan=False, description="The value that replaces NaN; without it NaN is refused."
    )


def shape(options: ArrayOptions) -> Sizes | None:
    """None without `size`; else unknown channels and the size."""
    if options.size is None:
        return None
    return (options.window_channels or (1 if options.channels == "none" else None), *options.size)


def advise(options: ArrayOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    return [*label_maps(options, files), *ranges(files), *constant(files)]


def read(path: Path, options: ArrayOptions) -> NDArray[np.float32]:
    """Only the array of `examine`."""
    return examine(path, options)[0]


def examine(path: Path, options: ArrayOptions) -> tuple[NDArray[np.float32], Facts]:
    """The array as float32, channels first.

    Shapes: as in the file after `channels`.

    Raises: `ReadError` with `not-an-array`, `broken-array`, `object-array`, `not-numeric`, `too-large`,
    `unknown-array`, or those of `intensities`.
    """
    array = _load(path, options.key)
    if array.dtype.kind not in "biuf":
        raise ReadError("not-numeric", f"the array contains {array.dtype}, not numbers",
                        fix="save it as a float or integer array")
    with np.errstate(over="ignore"):  # overflows become infinite and are refused as such
        values = array.astype(np.float32)
    if options.fill_nan is not None:
        values = np.nan_to_num(values, copy=False, nan=options.fill_nan, posinf=np.inf, neginf=-np.inf)
    if options.channels == "none":
        values = values[None]
    elif options.channels == "last" and values.ndim > 1:
        values = np.moveaxis(values, -1, 0)
    facts = Facts(values=spread(values), labels=labels_of(values) if options.as_stored else ())
    if values.size:
        values, facts = intensities(values, facts, options)
    return np.ascontiguousarray(values), facts


class _NoArrayError(Exception):
    """A file, or a member of an archive, that does not begin as an array."""


def _load(path: Path, key: str | None) -> NDArray[Any]:
    try:
        with path.open("rb") as stream:
            if stream.read(4) == b"PK\x03\x04":
                return _load_member(path, key)
            stream.seek(0)
            return _load_stream(stream, path.stat().st_size)
    except ReadError:
        raise
    except _NoArrayError:
        raise misplaced(path, "not-an-array", "a .npy or .npz file") or ReadError(
            "not-an-array", "it is not a .npy or .npz file", fix="save the array with numpy.save or numpy.savez"
        ) from None
    except Exception as problem:  # numpy and zipfile raise many kinds for damaged files
        raise ReadError("broken-array", "the array cannot be read", str(problem).split("\n")[0],
                        "save it again with numpy.save; it is cut off or damaged") from None


def _load_member(path: Path, key: str | None) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if key is None and len(names) != 1:
            raise ReadError("unknown-array", f"the file contains {len(names)} arrays: {', '.join(names) or 'none'}",
                            fix=f"choose one, for example 'key: {names[0] if names else 'image'}'")
        if key is not None and key not in names:
            raise ReadError("unknown-array", f"the file contains no array {key!r}",
                            f"it contains {', '.join(names) or 'none'}", "correct 'key'")
        member = archive.getinfo(f"{key or names[0]}.npy")
        with archive.open(member) as stream:
            return _load_stream(stream, member.file_size)


def _load_stream(stream: IO[bytes], size: int) -> NDArray[Any]:
    """Read the header first: its size is checked against the available bytes before any memory is allocated."""
    try:
        version = npy.read_magic(stream)
    except ValueError:
        raise _NoArrayError from None
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise ReadError("object-array", "the array contains Python objects, not numbers",
                        "such a file is a pickle, which could run code, and is never loaded",
                        "save a plain array: numpy.save(path, array.astype('float32'), allow_pickle=False)")
    count = 1
    for length in shape:
        count *= length
    if count > MAX_VALUES:
        raise ReadError("too-large", f"the array claims {count} values", f"more than {MAX_VALUES} are not read",
                        "check the file; crop the array or save it in parts")
    if count * dtype.itemsize > size - stream.tell():
        raise ReadError("broken-array", "the array is cut off",
                        f"its header claims {count * dtype.itemsize} bytes, but there are {size - stream.tell()}",
                        "copy or save the file again")
    stream.seek(0)
    array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return array


def sample(folder: Path) -> Path:
    """A file with an array of two channels."""
    np.save(folder / "array.npy", np.linspace(-1, 1, 2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7))
    return folder / "array.npy"


component = Reader("numpy", ArrayOptions, examine, category="array", shape=shape, advise=advise, sample=sample)

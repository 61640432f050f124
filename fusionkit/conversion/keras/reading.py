"""Reads Keras files as tensors by name: `.h5` of any version, `.weights.h5`, `.keras`. Nothing is executed."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import check_regular

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
_MOST_BYTES = 8 << 30
_MOST_CONFIG = 64 << 20
_MOST_DEPTH = 12
_VARIABLES = {1: ("kernel",), 2: ("kernel", "bias"), 3: ("beta", "moving_mean", "moving_variance"),
              4: ("gamma", "beta", "moving_mean", "moving_variance")}
"""The names of a layer's variables, by their number; three are those of a normalisation without a scale."""


class _KerasFileError(Exception):
    """The reason why a file cannot be read."""


def read_keras(path: Path) -> dict[str, Tensor]:
    """The tensors of a Keras file by `layer.variable`, with the name of a nested model as a prefix.

    Raises: GraphError with `missing-package` or `unreadable-weights`.
    """
    try:
        hdf5 = import_module("h5py")
    except ImportError:
        raise GraphError(Diagnostic("missing-package", f"reading {str(path)!r} needs the package h5py",
                                    why="weights of Keras are HDF5 files",
                                    fix="pip install h5py, or \"fusionkit[keras]\"")) from None
    try:
        check_regular(path)
        if zipfile.is_zipfile(path):
            stored, config = _unzipped(path)
            with hdf5.File(stored, "r") as file:
                return _contents(hdf5, file, config)
        with hdf5.File(path, "r") as file:
            return _contents(hdf5, file, {})
    except _KerasFileError as error:
        why = str(error)
    except OSError as error:
        why = error.strerror or str(error)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, zipfile.BadZipFile, MemoryError,
            RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
    raise GraphError(Diagnostic("unreadable-weights", f"cannot read the weights {str(path)!r}", why=why,
                                fix="give a file written by Keras's save or save_weights: .h5, .weights.h5 or .keras"))


def _unzipped(path: Path) -> tuple[BytesIO, Mapping[str, Any]]:
    """The weights and the configuration of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(_member(archive, "config.json", _MOST_CONFIG))
        return BytesIO(_member(archive, "model.weights.h5", _MOST_BYTES)), config if isinstance(config, dict) else {}


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    if name not in archive.namelist():
        raise _KerasFileError(f"it contains no {name}")
    if archive.getinfo(name).file_size > most:
        raise _KerasFileError(f"its {name} is larger than {most} bytes")
    with archive.open(name) as member:
        # The size stated in the archive may be wrong.
        found = member.read(most + 1)
    if len(found) > most:
        raise _KerasFileError(f"its {name} is larger than {most} bytes")
    return found


def _contents(hdf5: Any, file: Any, config: Mapping[str, Any]) -> dict[str, Tensor]:
    top = _child(hdf5, file, "model_weights") if "model_weights" in file else file
    is_old = _listed(top, "layer_names") is not None
    tensors: dict[str, Tensor] = {}
    total = 0
    for name, data in _legacy(hdf5, top) if is_old else _layers(hdf5, top, config, ()):
        total += data.size * data.dtype.itemsize
        if total > _MOST_BYTES:
            raise _KerasFileError(f"its tensors are larger than {_MOST_BYTES} bytes")
        tensors[name] = _tensor(name, data)
    if not tensors:
        raise _KerasFileError("it contains no layers")
    return tensors


def _child(hdf5: Any, group: Any, name: str) -> Any:
    """A member of a group in this file; links to other files are not followed."""
    for part in name.split("/"):
        if not isinstance(group, hdf5.Group) or not isinstance(group.get(part, getlink=True), hdf5.HardLink):
            raise _KerasFileError(f"it lacks {name!r}, or has a link in its place")
        group = group[part]
    if isinstance(group, hdf5.Dataset) and (group.is_virtual or group.external):
        raise _KerasFileError(f"{name!r} is in another file")
    return group


def _tensor(name: str, data: Any) -> Tensor:
    if data.dtype.kind not in "fiu":
        raise _KerasFileError(f"{name} contains {data.dtype}, not numbers")
    array = np.asarray(data[()])
    return torch.from_numpy(np.ascontiguousarray(array.astype(np.float32 if array.dtype.kind == "f" else np.int64)))


def _listed(group: Any, name: str) -> list[str] | None:
    """A list of names in a group's attributes, possibly split into pieces; None if there is none."""
    keys = [name] if name in group.attrs else []
    while f"{name}{len(keys)}" in group.attrs and keys != [name]:
        keys.append(f"{name}{len(keys)}")
    if not keys:
        return None
    return [item.decode() if isinstance(item, bytes) else str(item) for key in keys for item in group.attrs[key]]


def _legacy(hdf5: Any, top: Any) -> Iterator[tuple[str, Any]]:
    """Files that list their layers, and the variables of each layer, `layer/kernel:0`."""
    for layer in _listed(top, "layer_names") or ():
        group = _child(hdf5, top, layer)
        listed = _listed(group, "weight_names") or []
        paths = {name: [part.partition(":")[0] for part in name.split("/")] for name in listed}
        inside = len({tuple(path[:-1]) for path in paths.values()}) > 1
        for name, path in paths.items():
            below = path[1:] if path[0] == layer else path
            yield ".".join([layer, *(below if inside else path[-1:])]), _child(hdf5, group, name)


def _layers(hdf5: Any, group: Any, config: Mapping[str, Any], path: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Files of Keras 3: `layers/GROUP/vars/0`, where GROUP is the layer's kind and a number, or its name."""
    if len(path) > _MOST_DEPTH:
        raise _KerasFileError("its models are nested too deeply")
    top = _child(hdf5, group, "layers") if "layers" in group else group
    known = _known_names(config)
    for key in top:
        if key in ("vars", "optimizer", "_layer_checkpoint_dependencies"):
            continue
        entry = _child(hdf5, top, key)
        if not isinstance(entry, hdf5.Group):
            continue
        name, inner = known.get(key, (_attribute(hdf5, entry), {}))
        if "layers" in entry:
            yield from _layers(hdf5, entry, inner, (*path, name or key))
        variables = _child(hdf5, entry, "vars") if "vars" in entry else {}
        parts = _VARIABLES.get(len(variables), ())
        for place, number in enumerate(sorted(variables, key=lambda text: (len(text), text))):
            part = parts[place] if parts else number
            yield ".".join((*path, name or key, part)), _child(hdf5, variables, number)


def _attribute(hdf5: Any, entry: Any) -> str | None:
    """The layer's own name, if the file has it as an attribute."""
    for group in (entry, _child(hdf5, entry, "vars") if "vars" in entry else None):
        if group is not None and "name" in group.attrs:
            name = group.attrs["name"]
            return name.decode() if isinstance(name, bytes) else str(name)
    return None


def _known_names(config: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The name and the configuration of each layer by its group, which is its kind, numbered in the model's order."""
    counts: dict[str, int] = {}
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for one in config.get("config", {}).get("layers", ()):
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", one["class_name"].rpartition(">")[2]).lower()
        number = counts[kind] = counts.get(kind, -1) + 1
        found[f"{kind}_{number}" if number else kind] = str(one["config"]["name"]), one
    return found

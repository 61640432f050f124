"""Fixtures of the first form: `meta`, `state`, results under out_, tap_ and grad_, large arrays as samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit.conversion.verification.case import Expected, Fixture, Role, normal

_SAMPLED = ("__sample", "__stride", "__shape", "__sum", "__abssum", "__maxabs")
_ROLES: dict[str, Role] = {"out": "output", "tap": "tap", "grad": "gradient"}


def recorded(stem: str, arrays: dict[str, NDArray[Any]]) -> Fixture:
    """The case of a file's arrays.

    Raises: KeyError, ValueError or TypeError if they are not of this form.
    """
    meta = json.loads(str(arrays.pop("meta")))
    state = json.loads(str(arrays.pop("state"))) if "state" in arrays else None
    expected = tuple(_expected(arrays))
    outputs = tuple(meta.get("outputs", ())) or tuple(one.name for one in expected if one.role == "output")
    shapes = None if state is None else {key: tuple(shape) for key, (shape, _) in state.items()}
    kept = frozenset(key for key, (_, dtype) in (state or {}).items() if _stays(key, dtype))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items() if array.dtype.kind in "fiub"}
    return Fixture(meta.get("case", stem), meta, tensors, shapes, kept, tuple(_inputs(meta, arrays)), outputs, expected,
                   filled)


def _stays(key: str, dtype: str) -> bool:
    return "int" in dtype or "bool" in dtype or key.rpartition(".")[2] in ("grid", "mask")


def _inputs(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Iterator[Tensor]:
    place = 0
    sizes = meta.get("inputs", ())
    while True:
        name = f"input{place}"
        if name in arrays:
            yield torch.from_numpy(arrays[name])
        elif place < len(sizes):
            made = normal(name, sizes[place])
            sample = arrays.get(f"{name}__sample")
            if sample is not None and not np.allclose(made.ravel()[:: int(arrays[f"{name}__stride"])], sample):
                raise ValueError(f"{name} does not match the generation rule, and its values are not stored")
            yield torch.from_numpy(made)
        else:
            return
        place += 1


def _expected(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Expected]:
    for name, array in arrays.items():
        if name.endswith(_SAMPLED[1:]):
            continue
        entry = name.removesuffix(_SAMPLED[0])
        role = _ROLES.get(entry.partition("_")[0])
        if role is None:
            continue
        stem = entry.partition("_")[2]
        if entry == name:
            yield Expected(entry, role, stem, array, shape=array.shape)
        else:
            sums = float(arrays[f"{entry}__sum"]), float(arrays[f"{entry}__abssum"])
            shape = tuple(int(size) for size in arrays[f"{entry}__shape"])
            yield Expected(entry, role, stem, array, int(arrays[f"{entry}__stride"]), shape, sums)


def filled(key: str, shape: Sequence[int]) -> Tensor:
    """A parameter of the release generated from its key: normal numbers at the scale for its kind."""
    numbers, last = normal(key, shape), key.rpartition(".")[2]
    if last == "running_mean" or last == "coef":
        numbers = np.float32(0.1) * numbers
    elif last == "running_var":
        numbers = 1 + np.float32(0.1) * np.abs(numbers)
    elif last == "scale_base":
        numbers = numbers / np.float32(np.sqrt(shape[0]))
    elif last == "scale_sp":
        numbers = 1 + np.float32(0.1) * numbers
    elif len(shape) >= 2:
        numbers = numbers / np.float32(np.sqrt(prod(shape[1:])))
    elif last.startswith("bias"):
        numbers = np.float32(0.1) * numbers
    elif last == "weight":
        numbers = 1 + np.float32(0.1) * numbers
    return torch.from_numpy(np.asarray(numbers, dtype=np.float32))

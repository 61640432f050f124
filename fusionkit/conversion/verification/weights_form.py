"""Fixtures of the second form: `config` and `weights`, channels last, gradients of the weights too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit.conversion.verification.case import Expected, Fixture, normal

_GIVEN = re.compile(r"(input|label|cotangent)\d+")
_OUTPUT = re.compile(r"(output|prob)\d+")


def recorded(stem: str, arrays: dict[str, NDArray[Any]]) -> Fixture:
    """The case of a file's arrays, with channels first; parameters keep their layout.

    Raises: KeyError, ValueError or TypeError if they are not of this form.
    """
    config = json.loads(str(arrays.pop("config")))
    weights = json.loads(str(arrays.pop("weights")))
    kinds = {one["name"]: one["kind"] for one in weights}
    for one in weights:
        _verify(one)
    expected = tuple(_expected(arrays))
    results = {one.name: list(one.shape) for one in expected if one.role == "output"}
    tensors = {name: torch.from_numpy(_channels_first(array)) for name, array in arrays.items()}
    cotangents = {int(name[9:]): value for name, value in tensors.items() if name.startswith("cotangent")}
    shapes = {one["name"]: tuple(one["shape"]) for one in weights}
    return Fixture(stem, {**config, "outputs": results}, tensors, shapes, frozenset(), tuple(_inputs(tensors)),
                   tuple(results), expected, _filler(kinds), cotangents=cotangents,
                   trains=bool(config.get("training", False)), relative_gradients=True)


def _filler(kinds: Mapping[str, str]) -> Callable[[str, Sequence[int]], Tensor]:
    return lambda name, shape: filled(name, shape, kinds[name])


def filled(name: str, shape: Sequence[int], kind: str) -> Tensor:
    """A parameter of the release generated from its name: normal numbers at the scale of its kind."""
    numbers = normal(name, shape)
    if kind == "kernel":
        numbers = numbers / np.float32(np.sqrt(prod(shape[:-1])))
    elif kind in ("bias", "mean"):
        numbers = np.float32(0.1) * numbers
    elif kind == "scale":
        numbers = 1 + np.float32(0.1) * numbers
    elif kind == "variance":
        numbers = 1 + np.float32(0.1) * np.abs(numbers)
    elif kind != "wide":
        raise ValueError(f"{name} is of the unknown kind {kind!r}")
    return torch.from_numpy(np.asarray(numbers, dtype=np.float32))


def _verify(weight: Mapping[str, Any]) -> None:
    """Check the generation rule against the file's checksums of a weight, to detect a file made by another rule."""
    made = filled(weight["name"], weight["shape"], weight["kind"]).double().reshape(-1)
    if not np.isclose(made.sum().item(), weight["sum"], rtol=1e-5, atol=1e-4) or not np.isclose(
            made[0].item(), weight["first"], rtol=1e-5):
        raise ValueError(f"{weight['name']} does not match the generation rule")


def _channels_first(array: NDArray[Any]) -> NDArray[Any]:
    """A map (B, ..., C) as (B, C, ...); anything with fewer axes unchanged."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if array.ndim > 3 else array


def _inputs(tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
    place = 0
    while f"input{place}" in tensors:
        yield tensors[f"input{place}"]
        place += 1


def _expected(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Expected]:
    has_outputs = any(_OUTPUT.fullmatch(name) for name in arrays)
    for name, array in arrays.items():
        start, _, rest = name.partition("/")
        if _GIVEN.fullmatch(name):
            continue
        if start == "grad" and rest.startswith("input"):
            first = _channels_first(array)
            yield Expected(name, "gradient", rest, first, shape=first.shape)
        elif start == "grad":
            yield Expected(name, "weight gradient", rest, array, shape=array.shape)
        elif start in ("after", "after_unbiased"):
            yield Expected(name, "after", rest, array, shape=array.shape)
        elif not rest:
            first = _channels_first(array)
            is_output = bool(_OUTPUT.fullmatch(name)) or not has_outputs
            yield Expected(name, "output" if is_output else "tap", name, first, shape=first.shape)

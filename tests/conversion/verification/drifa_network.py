"""The whole DRIFA-Net in numpy, channels last, float64, by the names of its weights: an independent second opinion.

Its numbers are our own reading of the network's description, not a recording of the release.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fusionkit.conversion.verification.case import normal
from fusionkit.conversion.verification.weights_form import filled

Array = NDArray[Any]
Get = Callable[[str], Array]
Weight = tuple[str, tuple[int, ...], str]
STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)


def layer(name: str, *shape: int) -> Iterator[Weight]:
    yield from ((f"{name}.kernel", shape, "kernel"), (f"{name}.bias", shape[-1:], "bias"))


def norm(name: str, width: int) -> Iterator[Weight]:
    kinds = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "variance"}
    yield from ((f"{name}.{part}", (width,), kind) for part, kind in kinds.items())


def mfa(name: str, c: int) -> Iterator[Weight]:
    yield from ((f"{name}.alpha", (1, 1, 1, c), "scale"), (f"{name}.global_scale", (1, 1, 1, 1), "wide"),
                (f"{name}.local_scale", (1, 1, 1, c), "wide"))
    for part in ("hifa.conv1", "hifa.conv2", "hifa.conv3", "hifa.conv4", "clia.conv1", "clia.conv2"):
        yield from layer(f"{name}.{part}", 1, 1, c, c)
    yield from layer(f"{name}.hifa.dense", 2 * c, c)


def network(widths: Sequence[int], classes: Sequence[int]) -> Iterator[Weight]:
    for branch in ("branch0", "branch1"):
        before = widths[0]
        yield from (*layer(f"{branch}.stem.conv", 7, 7, 3, before), *mfa(f"{branch}.stem.mfa", before),
                    *norm(f"{branch}.stem.bn", before))
        for j in range(8):
            name, c = f"{branch}.block{j}", widths[j // 2]
            yield from (*layer(f"{name}.conv1", 3, 3, before, c), *mfa(f"{name}.mfa1", c), *norm(f"{name}.bn1", c))
            yield from (*layer(f"{name}.conv2", 3, 3, c, c), *mfa(f"{name}.mfa2", c), *norm(f"{name}.bn2", c))
            if STRIDES[j] == 2:
                yield from (*layer(f"{name}.proj.conv", 1, 1, before, c), *norm(f"{name}.proj.bn", c))
            if j < 7:
                yield from mfa(f"{branch}.post{j}", c)
            before = c
    for j in range(8):
        c = widths[j // 2]
        yield from ((f"fuse{j}.{alpha}", (1, 1, 1, c), "scale") for alpha in ("alpha0", "alpha1"))
        yield from ((f"fuse{j}.global_scale", (1, 1, 1, 1), "wide"), (f"fuse{j}.local_scale", (1, 1, 1, c), "wide"))
        yield from (*layer(f"fuse{j}.mgifa.dense", c, c), *layer(f"fuse{j}.mlifa.conv0", 1, 1, c, c),
                    *layer(f"fuse{j}.mlifa.conv1", 1, 1, c, c))
    for place, count in enumerate(classes):
        yield from layer(f"head{place}", 2 * widths[-1], count)


def sig(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def windows(x: Array, kernel: int, stride: int, value: float) -> Array:
    """(B, h, w, c) as (B, h', w', c, kernel, kernel), h' = ceil(h / stride), the odd row of padding at the end."""
    totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[1:3]]
    padded = np.pad(x, [(0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)], constant_values=value)
    return sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]


def conv(get: Get, name: str, x: Array, stride: int = 1) -> Array:
    kernel = get(f"{name}.kernel")
    return np.einsum("bhwcij,ijcd->bhwd", windows(x, kernel.shape[0], stride, 0.0), kernel) + get(f"{name}.bias")


def batch_norm(get: Get, name: str, x: Array) -> Array:
    scale = get(f"{name}.gamma") / np.sqrt(get(f"{name}.moving_variance") + 1e-3)
    return (x - get(f"{name}.moving_mean")) * scale + get(f"{name}.beta")


def dense(get: Get, name: str, x: Array) -> Array:
    kernel = get(f"{name}.kernel")
    return x @ kernel.reshape(kernel.shape[-2:]) + get(f"{name}.bias")


def within(get: Get, name: str, x: Array) -> Array:
    """MFA."""
    a1 = sig(dense(get, f"{name}.hifa.conv1", x))
    a2 = sig(dense(get, f"{name}.hifa.conv2", a1))
    a3 = sig(dense(get, f"{name}.hifa.conv3", a1 + a2))
    a4 = sig(dense(get, f"{name}.hifa.conv4", a3))
    pooled = np.concatenate([a1.mean((1, 2)) + a2.max((1, 2)), a3.mean((1, 2)) + a4.max((1, 2))], 1)
    local = sig(dense(get, f"{name}.clia.conv1", x)).mean((1, 2))
    local = local + sig(dense(get, f"{name}.clia.conv2", local))
    gate = sig(sig(dense(get, f"{name}.hifa.dense", pooled)) * get(f"{name}.global_scale").ravel()
               + local * get(f"{name}.local_scale").ravel())
    return x * (gate * get(f"{name}.alpha").ravel())[:, None, None]


def between(get: Get, name: str, maps: Sequence[Array]) -> list[Array]:
    """MIFA."""
    poolings: list[Callable[..., Array]] = [np.min, np.mean, np.max]
    whole = sum(sig(dense(get, f"{name}.mgifa.dense", sum(pool(x, (1, 2)) for x in maps))) for pool in poolings)
    local = sum(pool(sig(dense(get, f"{name}.mlifa.conv{i}", x)), (1, 2)) for pool in poolings
                for i, x in enumerate(maps))
    gate = sig(whole * get(f"{name}.global_scale").ravel() + local * get(f"{name}.local_scale").ravel())
    return [x * (gate * get(f"{name}.alpha{i}").ravel())[:, None, None] for i, x in enumerate(maps)]


def block(get: Get, name: str, x: Array, stride: int) -> Array:
    """RRA."""
    h = batch_norm(get, f"{name}.bn1", within(get, f"{name}.mfa1", conv(get, f"{name}.conv1", x, stride)))
    h = np.maximum(h, 0)
    h = batch_norm(get, f"{name}.bn2", within(get, f"{name}.mfa2", conv(get, f"{name}.conv2", h)))
    around = x if stride == 1 else batch_norm(get, f"{name}.proj.bn", conv(get, f"{name}.proj.conv", x, stride))
    return np.maximum(h + around, 0)


def stem(get: Get, name: str, x: Array) -> Array:
    x = batch_norm(get, f"{name}.bn", within(get, f"{name}.mfa", conv(get, f"{name}.conv", x, 2)))
    return windows(np.maximum(x, 0), 3, 2, -np.inf).max((4, 5))


def results(get: Get, images: Sequence[Array], heads: int) -> dict[str, Array]:
    """What every stage, the pooling and the heads give, by the names of a fixture."""
    maps = [stem(get, f"branch{i}.stem", x) for i, x in enumerate(images)]
    found = {"branch0.stem": maps[0]}
    for j, stride in enumerate(STRIDES):
        maps = [block(get, f"branch{i}.block{j}", x, stride) for i, x in enumerate(maps)]
        if j < 7:
            maps = [within(get, f"branch{i}.post{j}", x) for i, x in enumerate(maps)]
        maps = between(get, f"fuse{j}", maps)
        found[f"fuse{j}_1"] = maps[1]
    found["pooled"] = np.concatenate([x.mean((1, 2)) for x in maps], 1)
    for place in range(heads):
        logits = dense(get, f"head{place}", found["pooled"])
        shares = np.exp(logits - logits.max(1, keepdims=True))
        found[f"prob{place}"] = shares / shares.sum(1, keepdims=True)
    return found


def write(path: Path, widths: Sequence[int], classes: Sequence[int], size: tuple[int, int]) -> dict[str, Array]:
    """Write a fixture of the whole network, float32, and give its results."""
    weights = list(network(widths, classes))
    numbers = {name: filled(name, shape, kind).double().numpy() for name, shape, kind in weights}
    inputs = {f"input{i}": normal(f"input{i}", (2, *size, 3)) for i in range(2)}
    found = results(numbers.__getitem__, [x.astype(np.float64) for x in inputs.values()], len(classes))
    listed = [{"name": name, "shape": list(shape), "kind": kind, "sum": numbers[name].sum(),
               "first": numbers[name].flat[0]} for name, shape, kind in weights]
    labels = {"label0": np.array([1, 3]), "label1": np.array([2, 0])}
    each = [-np.log(found[f"prob{t}"][np.arange(2), labels[f"label{t}"]]).mean() for t in range(len(classes))]
    found["loss"] = np.array([*each, sum(each) / len(each)])
    np.savez(path, config=json.dumps({"module": "network"}), weights=json.dumps(listed), **inputs, **labels,
             **{name: value.astype(np.float32) for name, value in found.items()})
    return found

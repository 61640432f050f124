"""Components with releases to compare with, and fixtures of both forms that the tests write for them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Fusion, Recorded, Release, TensorShape


def normal(key: str, *shape: int) -> np.ndarray:
    """The numbers of a key, written down a second time."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape).astype(np.float32)


class WideConfig(Config):
    """Options of the components here."""

    width: int = 3


class Scaled(nn.Module):
    """y = W (s x) + b in two steps, the first of them tapped."""

    def __init__(self, config: WideConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.scale = Scale(inputs[0].width)
        self.linear = nn.Linear(inputs[0].width, config.width)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.scale(self.scale(features)))


class Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.by


def read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"width": shapes["fc.weight"][0]}


NAMES = {"scale.by": "norm.weight", "linear": "fc"}
SCALED = Encoder("scaled", WideConfig, Scaled, rule="features: B _ -> B {width}", reference={
    "release": Release(NAMES, read=read, taps={"scaled": "scale"}, unused=("extra.",)),
    "transposed": Release(NAMES, layout=lambda name, tensor: tensor.T if tensor.dim() == 2 else tensor,
                          read=lambda shapes, meta: {"width": shapes["fc.weight"][1]}),
})


class Masked(nn.Module):
    """The sum of the streams that are there."""

    def __init__(self, config: WideConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        streams = torch.stack(features, 1)
        return (streams if present is None else streams * present.unsqueeze(2)).sum(1)


def replayed(module: nn.Module, inputs: Sequence[Tensor], case: Recorded) -> dict[str, Tensor]:
    """Twice the result, and the result times a parameter that belongs to nothing here."""
    total = module(*inputs)
    return {"twice": 2 * total, "rest": total @ case.rest["head.weight"].T}


MASKED = Fusion("masked", WideConfig, Masked, rule="*features: B c -> B c", absent="drop", reference={
    "release": Release({}), "replayed": Release({}, replay=replayed)})


class Normed(nn.Module):
    """A 1x1 convolution and a batch norm on maps."""

    def __init__(self, config: WideConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inputs[0].width, config.width, 1), nn.BatchNorm2d(config.width, momentum=0.01)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.conv(features))


def channels_first(name: str, tensor: Tensor) -> Tensor:
    return tensor.permute(3, 2, 0, 1) if tensor.dim() == 4 else tensor


NORMED = Encoder("normed", WideConfig, Normed, rule="features: B _ ... -> B {width} ...", reference={
    "release": Release({"conv.weight": "conv.kernel", "conv.bias": "conv.bias", "norm.weight": "bn.gamma",
                        "norm.bias": "bn.beta", "norm.running_mean": "bn.moving_mean",
                        "norm.running_var": "bn.moving_variance"}, layout=channels_first)})


def scaled_case(path: Path, width: int = 2, **changed: Any) -> Path:
    """A fixture of the first form: `scaled` on (5, 4), with a tap of two calls and a gradient."""
    scale, weight = 1 + 0.1 * normal("norm.weight", 4), normal("fc.weight", width, 4) / 2
    bias, given = 0.1 * normal("fc.bias", width), normal("input0", 5, 4)
    out = given * scale ** 2 @ weight.T + bias
    arrays = {
        "input0": given, "tap_scaled_0": given * scale, "tap_scaled_1": given * scale ** 2, "out_y": out,
        "grad_input0": (normal("cotangent0", 5, width) @ weight) * scale ** 2}
    meta = {"case": "scaled", "inputs": [[5, 4]], "outputs": {"y": [5, width]}, "params": 14,
            "float64_max_abs_diff": {"y": 1e-7}}
    state = {"norm.weight": [[4], "float32"], "fc.weight": [[width, 4], "float32"], "fc.bias": [[width], "float32"]}
    return save(path, meta=meta, state=state, arrays=arrays, **changed)


def save(path: Path, *, meta: dict[str, Any], state: dict[str, Any] | None, arrays: dict[str, Any],
         without: Sequence[str] = (), also: Mapping[str, Any] | None = None, keys: Mapping[str, Any] | None = None,
         said: Mapping[str, Any] | None = None) -> Path:
    """Write it, some entries left out and some put in: arrays (`also`), of the state (`keys`), of the meta (`said`)."""
    entries: dict[str, Any] = {"meta": np.array(json.dumps({**meta, **(said or {})})), **arrays, **(also or {})}
    if state is not None:
        entries["state"] = np.array(json.dumps({**state, **(keys or {})}))
    np.savez(path, **{name: value for name, value in entries.items() if name not in without})
    return path


def sampled(entry: str, array: np.ndarray, stride: int) -> dict[str, Any]:
    """The entries of an array that is kept as a sample."""
    return {f"{entry}__sample": array.ravel()[::stride], f"{entry}__stride": stride, f"{entry}__shape": array.shape,
            f"{entry}__sum": array.sum(dtype=np.float64), f"{entry}__abssum": np.abs(array).sum(dtype=np.float64),
            f"{entry}__maxabs": np.abs(array).max()}


def normed_case(path: Path, training: bool = False) -> Path:
    """A fixture of the second form: `normed` on (2, 3, 5, 4) channels last, with gradients of its weights."""
    kernel, bias = normal("conv.kernel", 1, 1, 4, 3) / 2, 0.1 * normal("conv.bias", 3)
    gamma, beta = 1 + 0.1 * normal("bn.gamma", 3), 0.1 * normal("bn.beta", 3)
    mean, variance = 0.1 * normal("bn.moving_mean", 3), 1 + 0.1 * np.abs(normal("bn.moving_variance", 3))
    given, cotangent = normal("input0", 2, 3, 5, 4), normal("cotangent0", 2, 3, 5, 3)
    mixed = given @ kernel[0, 0] + bias
    rows = mixed.reshape(-1, 3)
    arrays: dict[str, Any] = {"input0": given}
    if training:
        arrays["after/bn.moving_mean"] = 0.99 * mean + 0.01 * rows.mean(0)
        arrays["after/bn.moving_variance"] = 0.99 * variance + 0.01 * rows.var(0)
        arrays["after_unbiased/bn.moving_variance"] = 0.99 * variance + 0.01 * rows.var(0, ddof=1)
        mean, variance = rows.mean(0), rows.var(0)
    slope = gamma / np.sqrt(variance + 1e-5)
    arrays["output0"] = (mixed - mean) * slope + beta
    if not training:
        arrays |= {"cotangent0": cotangent, "grad/input0": cotangent * slope @ kernel[0, 0].T,
                   "grad/conv.kernel": np.einsum("bhwi,bhwo->io", given, cotangent * slope)[None, None],
                   "grad/bn.beta": cotangent.sum((0, 1, 2))}
    filled = {"conv.kernel": ("kernel", kernel), "conv.bias": ("bias", bias), "bn.gamma": ("scale", gamma),
              "bn.beta": ("bias", beta), "bn.moving_mean": ("mean", 0.1 * normal("bn.moving_mean", 3)),
              "bn.moving_variance": ("variance", 1 + 0.1 * np.abs(normal("bn.moving_variance", 3)))}
    weights = [{"name": name, "shape": list(value.shape), "kind": kind, "sum": float(value.sum(dtype=np.float64)),
                "first": float(value.ravel()[0])} for name, (kind, value) in filled.items()]
    np.savez(path, config=np.array(json.dumps({"module": "normed", "training": training})),
             weights=np.array(json.dumps(weights)),
             **{name: np.asarray(value, dtype=np.float32) for name, value in arrays.items()})
    return path

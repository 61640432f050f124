"""Fusion of different-sized feature maps: all maps are pooled to one size and merged by a 1x1 convolution.

Source: Agarwal, Arya, Meena 2024, MultiFusionNet, arXiv 2401.00728 (FDSFM). The paper, its summaries and its released
notebook describe three merges: `concat_project` is the notebook's, `project_concat` the summaries', `concat` has no
convolution. They never have sizes that do not divide; `align` says what is done then. With
`preset: release` norms and initial values are Keras's, as in the notebook; with `torch` PyTorch's.
"""
# Axes: B batch, M maps, c channels of one map, w {width}, ... spatial axes, G sizes of the common grid.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.keras import batch_norm, start_like_keras
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, TensorShape, normalisation, pointwise, shape_of

_ADAPTIVE = {("max", 2): F.adaptive_max_pool2d, ("max", 3): F.adaptive_max_pool3d,
             ("avg", 2): F.adaptive_avg_pool2d, ("avg", 3): F.adaptive_avg_pool3d}
_PLAIN = {("max", 2): F.max_pool2d, ("max", 3): F.max_pool3d, ("avg", 2): F.avg_pool2d, ("avg", 3): F.avg_pool3d}


class FDSFMConfig(Config):
    """Options of `fusion.fdsfm`."""

    width: PositiveInt = Field(2048, description="Channels of the result; project_concat divides them among the maps, "
                                                 "each part a multiple of 8; concat keeps those of the maps.")
    merge: Literal["concat_project", "project_concat", "concat"] = Field(
        "concat_project", description="concat_project: concatenate, normalise, 1x1 convolution, ReLU; project_concat: "
                                      "a 1x1 convolution for each map, then concatenate; concat: concatenate only.")
    grid: Literal["min", "last"] | list[PositiveInt] = Field(
        "min", description="The common spatial size: the smallest on each axis, the last map's, or given sizes.")
    align: Literal["adaptive", "fixed", "halving", "strict"] = Field(
        "adaptive", description="Pooling windows if sizes do not divide: adaptive (nearly equal ones), fixed (one "
                                "window and stride), halving (2x2 again and again, as published, else refused), strict "
                                "(refused). If they divide, all are equal.")
    pool: Literal["max", "avg", "interp"] = Field("max", description="Maximum, mean, or linear interpolation.")
    upsample: Literal["none", "nearest", "linear"] = Field(
        "none", description="How a map smaller than the common size is upsampled; none refuses it.")
    norm: Literal["batch", "group", "layer", "none"] = Field(
        "batch", description="Normalisation of the concatenated maps in concat_project; use group for small batches.")
    preset: Literal["release", "torch"] = Field("release", description="Norms and initial values: Keras's, or torch's.")


class Align(nn.Module):
    """Resizes one map to the common size.

    Shapes: (B, c, ...); gives (B, c, *G).
    """

    def __init__(self, config: FDSFMConfig, grid: Sequence[int], goal: Sequence[int]) -> None:
        super().__init__()
        self.goal, self.rank, self.pool, self.align = tuple(goal), len(goal), config.pool, config.align
        self.mode = "nearest" if config.upsample == "nearest" else ("bilinear" if self.rank == 2 else "trilinear")
        self.enlarge = any(size < wanted for size, wanted in zip(grid, goal, strict=True))
        if self.enlarge and config.upsample == "none":
            raise ComponentError(f"a map of {_sizes(grid)} is smaller than the common size {_sizes(goal)}",
                                 fix="use 'grid: min', or set 'upsample'")
        self.windows: list[tuple[list[int], list[int]]] = []
        if config.pool != "interp" and not self.enlarge and config.align != "adaptive":
            self.windows = _halvings(grid, goal) if config.align == "halving" else [_window(config, grid, goal)]

    def forward(self, x: Tensor) -> Tensor:
        """The map at the common size."""
        if tuple(x.shape[2:]) == self.goal:
            return x
        if self.enlarge or self.pool == "interp":
            corners = None if self.mode == "nearest" else False
            return F.interpolate(x, size=self.goal, mode=self.mode, align_corners=corners)
        if self.align == "adaptive":
            return _ADAPTIVE[self.pool, self.rank](x, self.goal)
        for kernel, stride in self.windows:
            x = _PLAIN[self.pool, self.rank](x, kernel, stride)
        return x


def _window(config: FDSFMConfig, grid: Sequence[int], goal: Sequence[int]) -> tuple[list[int], list[int]]:
    if config.align == "strict" and any(size % wanted for size, wanted in zip(grid, goal, strict=True)):
        raise ComponentError(f"{_sizes(grid)} is not a multiple of {_sizes(goal)}",
                             fix="use 'align: adaptive', or other maps")
    strides = [size // wanted for size, wanted in zip(grid, goal, strict=True)]
    return [size - (wanted - 1) * stride for size, wanted, stride in zip(grid, goal, strides, strict=True)], strides


def _halvings(grid: Sequence[int], goal: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Windows of two on the axes that are still too large."""
    now, windows = list(grid), []
    while any(size > wanted for size, wanted in zip(now, goal, strict=True)):
        kernel = [2 if size > wanted else 1 for size, wanted in zip(now, goal, strict=True)]
        windows.append((kernel, kernel))
        now = [size // window for size, window in zip(now, kernel, strict=True)]
    if now != list(goal):
        raise ComponentError(f"halving {_sizes(grid)} does not reach {_sizes(goal)}",
                             fix="use 'align: adaptive', or maps whose sizes are the common size times a power of two")
    return windows


def _sizes(grid: Sequence[int]) -> str:
    return "x".join(map(str, grid))


class FDSFM(nn.Module):
    """Pools to the common size, concatenates, merges.

    Shapes: M maps (B, c_m, ...) of one rank; gives (B, w, *G). The maps come from one encoder: a case that lacks one
    of them is skipped and stays missing, and the norm never sees it.
    """

    def __init__(self, config: FDSFMConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        goal = _goal(config, inputs)
        self.align = nn.ModuleList(Align(config, shape.spatial, goal) for shape in inputs)
        joined = shape_of((sum(shape.width for shape in inputs), *goal))
        self.merge = config.merge
        self.parts, self.norm, self.project = nn.ModuleList(), nn.Identity(), nn.Identity()
        if config.merge == "concat_project":
            release = config.preset == "release" and config.norm == "batch"
            self.norm = batch_norm(joined.width, len(goal)) if release else normalisation(config.norm, joined)
            self.project = nn.Sequential(pointwise(joined, config.width), nn.ReLU())
        elif config.merge == "project_concat":
            self.parts.extend(pointwise(shape, _share(config, len(inputs))) for shape in inputs)
        if config.preset == "release":
            start_like_keras(self)

    def forward(self, *maps: Tensor) -> Tensor:
        """The merged map."""
        aligned = [align(x) for align, x in zip(self.align, maps, strict=True)]
        if self.merge == "project_concat":
            aligned = [project(x) for project, x in zip(self.parts, aligned, strict=True)]
        return self.project(self.norm(torch.cat(aligned, 1)))


def _goal(config: FDSFMConfig, inputs: Sequence[TensorShape]) -> tuple[int, ...]:
    grids = [shape.spatial for shape in inputs]
    if len({len(grid) for grid in grids}) > 1:
        raise ComponentError("its inputs are images and volumes", why="all must have the same number of spatial axes",
                             fix="connect maps of one encoder")
    if config.grid == "last":
        return grids[-1]
    if config.grid == "min":
        return tuple(min(sizes) for sizes in zip(*grids, strict=True))
    if len(config.grid) != len(grids[0]):
        raise ComponentError(f"'grid' has {len(config.grid)} sizes for {len(grids[0])} spatial axes",
                             fix="write one size for each spatial axis")
    return tuple(config.grid)


def _share(config: FDSFMConfig, count: int) -> int:
    return max(8, round(config.width / count / 8) * 8)


def _shape(config: FDSFMConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    widths = {"concat_project": config.width, "project_concat": _share(config, len(inputs)) * len(inputs),
              "concat": sum(shape.width for shape in inputs)}
    return shape_of((widths[config.merge], *_goal(config, inputs)))


component = Fusion("fdsfm", FDSFMConfig, FDSFM, rule="*maps: B _ _...", output=_shape, absent="skip",
                   category="hierarchical", paper="arXiv:2401.00728")

"""Networks of three bundled graphs as one writes them by hand, with the weights of the composed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

Inputs = Mapping[str, Tensor]


def parts(model: nn.Module, name: str) -> nn.Module:
    """A copy of a node's module."""
    return deepcopy(model.get_submodule(name))


class Tables(nn.Module):
    """`breast-cancer`: three perceptrons, a gated unit, a head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.means, self.errors, self.worst = (
            parts(model, f"groups.{name}.layers") for name in ("means", "errors", "worst"))
        gmu = parts(model, "joined")
        self.gate, self.project = gmu.get_submodule("gate"), gmu.get_submodule("project")
        self.head = parts(model, "diagnosis.layers")

    def forward(self, inputs: Inputs) -> Tensor:
        groups = [self.means(inputs["means"]), self.errors(inputs["errors"]), self.worst(inputs["worst"])]
        gates = torch.stack(self.gate(torch.cat(groups, 1)).chunk(3, 1), 1).softmax(1)
        hidden = torch.stack([project(group).tanh() for project, group in zip(self.project, groups, strict=True)], 1)
        return self.head((gates * hidden).sum(1))


class Organs(nn.Module):
    """`organs`: convolutions for the cube, a perceptron for the place, both joined, a head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tissue, self.where, self.head = parts(model, "tissue"), parts(model, "where"), parts(model, "organ")

    def forward(self, inputs: Inputs) -> Tensor:
        return self.head(torch.cat([self.tissue(inputs["cube"]), self.where(inputs["place"])], 1))


class Phantom(nn.Module):
    """`phantom` where nothing is absent: convolutions, a table, two ones where the composed network has its flags."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.nodule, self.history, self.head = (parts(model, name) for name in ("nodule", "history", "diagnosis"))

    def forward(self, inputs: Inputs) -> Tensor:
        image, table = self.nodule(inputs["ct"]), self.history(inputs["clinic"])
        return self.head(torch.cat([image, table, image.new_ones(len(image), 2)], 1))


NETWORKS: Mapping[str, Callable[[nn.Module], nn.Module]] = {
    "breast-cancer": Tables, "organs": Organs, "phantom": Phantom}
"""By the name of the graph."""

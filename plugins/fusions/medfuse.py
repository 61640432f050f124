"""MedFuse: an LSTM reads the inputs as a sequence, without the missing ones.

Source: Hayat, Geras and Shamout 2022, MedFuse: Multi-modal fusion with clinical time-series data and chest X-ray
images, arXiv 2207.07027, section 3.2.
The authors' code has two inputs, and the first is always present; here any number, any of which may be missing.
"""
# Axes: B batch, M inputs, c width of one input, s width of one step, h {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Recorded, Release, TensorShape, fill_absent


class MedFuseConfig(Config):
    """Options of `fusion.medfuse`."""

    width: PositiveInt = Field(64, description="Width of the LSTM's state, which is the result.")
    step_width: PositiveInt | None = Field(
        None, description="Width to which the inputs are projected first. None uses that of the first "
        "input, which is then not projected.")


class MedFuse(nn.Module):
    """The last state of an LSTM over [x_1, P_2 x_2, ..., P_M x_M], in the order in which the inputs are given.

    Shapes: M inputs (B, c_m); gives (B, h). Costs 4 h (s + h + 2) for the LSTM, and the projections.

    Missing inputs: they are left out of the sequence, as in a packed sequence: the state is unchanged by
    them. Rows with nothing present give zeros.
    """

    def __init__(self, config: MedFuseConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        step = config.step_width or inputs[0].width
        first = nn.Identity() if step == inputs[0].width else nn.Linear(inputs[0].width, step)
        self.project = nn.ModuleList([first, *(nn.Linear(shape.width, step) for shape in inputs[1:])])
        self.cell = nn.LSTMCell(step, config.width)

    def forward(self, anchor: Tensor, *others: Tensor, present: Tensor | None = None) -> Tensor:
        """The last state."""
        filled = fill_absent([anchor, *others], present)
        weights = self.cell.weight_ih
        hidden_Bh = weights.new_zeros(anchor.shape[0], self.cell.hidden_size)
        memory_Bh = hidden_Bh
        for place, (layer, x) in enumerate(zip(self.project, filled, strict=True)):
            # Autocast may have made the projection half precision, but not the cell's weights.
            step_Bs = layer(x).to(weights.dtype)
            hidden, memory = self.cell(step_Bs, (hidden_Bh, memory_Bh))
            if present is not None:
                read_B1 = present[:, place : place + 1]
                hidden, memory = torch.where(read_B1, hidden, hidden_Bh), torch.where(read_B1, memory, memory_Bh)
            hidden_Bh, memory_Bh = hidden, memory
        return hidden_Bh


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"width": shapes["lstm_fusion_layer.weight_hh_l0"][1]}


def _replay(module: MedFuse, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    paired_B = torch.tensor(case.meta.get("pairs", [1] * len(inputs[0])), dtype=torch.bool)
    state = module(*inputs, present=torch.stack([torch.ones_like(paired_B), paired_B], 1))
    logits = F.linear(state, case.rest["lstm_fused_cls.0.weight"], case.rest["lstm_fused_cls.0.bias"])
    return {"prob": logits.sigmoid(), "projected_masked": module.project[1](inputs[1]) * paired_B.unsqueeze(1)}


_CELL = {f"cell.{name}": f"lstm_fusion_layer.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}

component = Fusion(
    "medfuse", MedFuseConfig, MedFuse, rule="anchor: B _, *others: B _ -> B {width}", absent="drop",
    category="missing modality", paper="arXiv:2207.07027",
    reference={"release": Release(names={"project.1": "projection", **_CELL}, unused=("fused_cls.",), read=_read,
                                  replay=_replay)},
)

"""Integrated gradients: what each value of every input adds to a score, on the way from zeros to the case.

The values of a case add up to the difference of its score and that of zeros. Of several networks it is the mean.
Source: Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, arXiv:1703.01365, eq. 1; by captum.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from fusionkit.api import Config, Explanation
from fusionkit.explaining import ChosenCase, RunPart, RunView
from pydantic import Field, PositiveInt
from torch import Tensor


class IntegratedGradientsConfig(Config):
    """Options of `explanation.ig`."""

    steps: PositiveInt = Field(50, description="Points on the way from zeros to the case.", examples=[5])


class IntegratedGradients:
    """A table of all inputs of the chosen cases, and a picture for each image or volume."""

    def __init__(self, config: IntegratedGradientsConfig) -> None:
        self.steps = config.steps

    def explain(self, run: RunView) -> list[dict[str, Any]]:
        """Write table and pictures; gives the rows of the table."""
        entries: list[dict[str, Any]] = []
        for part, item in [(each, item) for each in run.parts for item in each.own(run.chosen)]:
            case, output = part.cases.ids[item.place], run.output(item, part)
            for name, (values, content) in self.attributions(part, item, output.column).items():
                parts = dict(zip(part.cases.columns.get(name, ()), values.tolist(), strict=False))
                entries += [{"case": case, "head": item.head, "explained": output.explained, "input": name, "part": at,
                             "adds": float(f"{adds:.6g}")} for at, adds in {**parts, "all": values.sum()}.items()]
                if values.dim() > 2:
                    title = f"Integrated gradients of {name}, case {case}\n{item.head}: {output.line}"
                    run.folder.picture(partial(figure, content, values.sum(0), title), "ig", case, item.head, name)
        run.folder.table(["case", "head", "explained", "input", "part", "adds"],
                         [[str(cell) for cell in entry.values()] for entry in entries], "ig")
        return entries

    def attributions(self, part: RunPart, item: ChosenCase, column: int) -> dict[str, tuple[Tensor, Tensor]]:
        """By input that the case has: the attribution of each of its values, and the values."""
        from captum.attr import IntegratedGradients as Captum

        names, batch = part.network.inputs, part.batch(item)
        tensors = tuple(batch.inputs[name] for name in names)
        every = [Captum(network.scores(item.head)).attribute(
            tensors, target=column, n_steps=self.steps, internal_batch_size=part.network.settings.batch_size,
            additional_forward_args=(batch.masks,)) for network in part.networks]
        means = [torch.stack(same).mean(0)[0].detach().cpu() for same in zip(*every, strict=True)]
        return {name: (mean, tensor[0].cpu()) for name, mean, tensor in zip(names, means, tensors, strict=True)
                if bool(batch.present[name].all())}


def figure(image: Tensor, values: Tensor, title: str) -> Any:
    """An image, or the slice of a volume with the largest attribution, beside what its positions add."""
    from matplotlib.figure import Figure

    place = int(values.abs().flatten(1).amax(1).argmax()) if values.dim() == 3 else ...
    made, most = Figure(figsize=(7, 4), layout="constrained"), float(values.abs().max()) or 1.0
    made.suptitle(f"{title}, slice {place + 1}" if values.dim() == 3 else title, fontsize=9)
    left, right = made.subplots(1, 2)
    left.imshow(image[0][place].numpy(), cmap="gray")
    made.colorbar(right.imshow(values[place].numpy(), cmap="RdBu_r", vmin=-most, vmax=most), ax=right)
    return made


component = Explanation(
    "ig", IntegratedGradientsConfig, IntegratedGradients, category="gradients", paper="arXiv:1703.01365",
    needs=("captum>=0.8",), label="integrated gradients", requires=("gradients",), writes=("pictures", "tables"))

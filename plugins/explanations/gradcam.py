"""Grad-CAM: which positions of a feature map support a result, drawn over the image or the slices of the volume.

Each channel of a map is weighted by the mean gradient of the score; the positive part of the weighted sum is
interpolated linearly to the size of the input. Of several networks whose mean predicts, it is the mean of their maps.

Source: Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization,
arXiv 1610.02391, eq. 1-2; computed by captum's LayerGradCam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.overlay_plot import Overlay, overlay_figure
from pydantic import Field
from torch import Tensor

from fusionkit.api import Config, Explanation, Floats
from fusionkit.explaining import (
    Batch,
    ChosenCase,
    Diagnostic,
    FeatureMap,
    MapScores,
    NetworkView,
    RunPart,
    RunView,
    Survey,
)

_MODES = {2: "bilinear", 3: "trilinear"}


class GradCamConfig(Config):
    """Options of `explanation.gradcam`."""

    at: list[str] = Field([], description="Where to draw it: nodes, named outputs of a node, paths of modules. Without "
                          "it every encoder on the way from an image or volume.", examples=[["visual"]])


def grad_cam(survey: Survey, place: FeatureMap, head: str, column: int, inputs: Mapping[str, Tensor],
             *, present: Mapping[str, Tensor], size: tuple[int, ...]) -> Floats | None:
    """How much each position of an image supports one column of a head: non-negative, in units of its score.

    None if a component between map and head passes no gradient.

    *Shapes*: `inputs` (1, ...) and `present` (1,), one case; gives `size`, to which the map is interpolated linearly.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    scores = MapScores(survey, place, head).eval()
    tensors = tuple(inputs[value.name] for value in survey.model.plan.inputs)
    try:
        made = LayerGradCam(scores, scores.tap).attribute(
            tensors, target=column, additional_forward_args=(dict(present),), relu_attributions=True)
    except RuntimeError as error:
        if "differentiated Tensors" in str(error) or "does not require grad" in str(error):
            return None
        raise
    enlarged: Tensor = LayerAttribution.interpolate(made, size, interpolate_mode=_MODES[len(size)])
    return enlarged[0, 0].detach().cpu().double().numpy()


class GradCam:
    """One picture for each chosen case, map, and image or volume that the map depends on."""

    def __init__(self, config: GradCamConfig) -> None:
        self.at = config.at

    def faults(self, network: NetworkView) -> list[Diagnostic]:
        """Places that give no map."""
        return [found for name in self.at if isinstance(found := network.survey.at(name), Diagnostic)]

    def explain(self, run: RunView) -> list[dict[str, Any]]:
        """Draw the maps; gives an entry for each picture."""
        if not self.at:
            run.notes.extend(run.network.survey.maps()[1])
        return [entry for part in run.parts for item in part.own(run.chosen) for entry in self._case(run, part, item)]

    def _places(self, survey: Survey) -> Sequence[FeatureMap]:
        named = [survey.at(name) for name in self.at]
        listed = [place for found in named if isinstance(found, list) for place in found]
        return tuple(dict.fromkeys(listed if self.at else survey.maps()[0]))

    def _case(self, run: RunView, part: RunPart, item: ChosenCase) -> Iterator[dict[str, Any]]:
        case, survey = part.cases.ids[item.place], part.network.survey
        batch = part.batch(item)
        output = run.output(item, part)
        if output.value is None:
            run.note(f"case {case!r}: {item.head!r} has no result, since its inputs are missing")
            return
        places = self._places(survey)
        absent = [name for name, mask in batch.present.items() if not bool(mask.all())]
        for name in dict.fromkeys(name for place in places for name in place.inputs):
            if name in absent:
                run.note(f"case {case!r}: {name!r} is missing, so there is nothing to draw on")
        for place in places:
            for name in place.inputs:
                if name not in absent and survey.reaches(place, item.head):
                    yield from _drawn(run, part, item, place, batch, name=name)


def _mean(part: RunPart, place: FeatureMap, item: ChosenCase, column: int, batch: Batch, *, size: tuple[int, ...]
          ) -> Floats | None:
    """The mean of the maps of all networks; None where one has none."""
    found = []
    for network in part.networks:
        heat = grad_cam(network.survey, place, item.head, column, batch.inputs, present=batch.masks, size=size)
        if heat is None:
            return None
        found.append(heat)
    return np.mean(found, axis=0) if len(found) > 1 else found[0]


def _drawn(run: RunView, part: RunPart, item: ChosenCase, place: FeatureMap, batch: Batch, *, name: str
           ) -> Iterator[dict[str, Any]]:
    image = batch.inputs[name][0].cpu().double().numpy()
    case, output = part.cases.ids[item.place], run.output(item, part)
    heat = _mean(part, place, item, output.column, batch, size=image.shape[1:])
    if heat is None:
        run.note(f"{place.name!r}: a component downstream passes no gradient, so it has no Grad-CAM")
        return
    inside = f", module {place.module}" if place.module != place.node else ""
    nothing = "" if heat.max() > 0 else "; no position supports this result"
    several = f", mean of {len(part.networks)} networks" if len(part.networks) > 1 else ""
    channels, *grid = place.sizes
    title = (f"case {case}, {name}: Grad-CAM at node {place.node}{inside} ({channels} x {'x'.join(map(str, grid))})"
             f"{several}{nothing}", f"{item.head}: {output.line}")
    path = run.folder.picture(partial(overlay_figure, Overlay(image, heat, title)), "gradcam", case, item.head, name,
                              place.name)
    heated = run.folder.heat(heat, "gradcam", case, item.head, name, place.name)
    yield {"case": case, "head": item.head, "explained": output.explained, "input": name, "node": place.node,
           "module": place.module, "map": list(place.sizes), "peak": float(f"{heat.max():.6g}"),
           "at": [int(index) for index in np.unravel_index(int(heat.argmax()), heat.shape)], "file": path,
           "heat": heated}


component = Explanation(
    "gradcam", GradCamConfig, GradCam, category="gradients", paper="arXiv:1610.02391", needs=("captum>=0.8",),
    label="Grad-CAM", requires=("maps",), writes=("pictures",), by_default=True, place=10,
)

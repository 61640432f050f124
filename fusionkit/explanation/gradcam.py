"""Grad-CAM by captum: which positions of a feature map support a result, resized to the image.

Source: Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization,
arXiv 1610.02391, eq. 1-2; computed by captum's LayerGradCam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fusionkit.arrays import Floats
from fusionkit.explanation.feature_maps import FeatureMap, Survey, begun

# Axes: B batch, K columns of a head, c channels of a map, ... its spatial axes.
_MODES = {2: "bilinear", 3: "trilinear"}


class Tap(nn.Module):
    """The map that captum hooks, as a tensor of its own, unaffected by in-place operations downstream.

    A map without a gradient, for example after frozen weights, becomes the start of one here.

    Shapes: (B, c, ...); gives the same.
    """

    def forward(self, features: Tensor) -> Tensor:
        """The map."""
        return features.clone() if features.requires_grad else features.detach().clone().requires_grad_()


class Viewed(nn.Module):
    """A network in the form captum needs: tensors in, the scores of one head out, one map passing through `tap`.

    Scores are the head's raw outputs, before softmax or sigmoid, if there is one for each name; else the decoded
    results. A module that is called several times, such as a shared one, is tapped only in the intended call.

    Shapes: inputs (B, ...) in the order of the plan; gives (B, K).
    """

    def __init__(self, survey: Survey, place: FeatureMap, head: str) -> None:
        super().__init__()
        self.model = survey.model
        self.steps = survey.steps
        self.place = place
        self.head = next(planned for planned in survey.model.plan.heads if planned.name == head)
        self.tap = Tap()

    def forward(self, *given: Any) -> Tensor:
        """The scores; arguments are the inputs and, last, the presence masks (B,) by name."""
        *tensors, masks = given
        names = [value.name for value in self.model.plan.inputs]
        slots, columns = begun(self.model, self.steps, dict(zip(names, tensors, strict=True)), dict(masks))
        for number, step in enumerate(self.steps.calls):
            if number == self.place.step:
                with self._tapped(step.module.get_submodule(self.place.inside)):
                    step.call(slots, columns)
            else:
                step.call(slots, columns)
        raw = slots[self.model.outputs[self.head.name]].float()
        if raw.shape != (len(raw), len(self.head.names)):
            raw = self.model.head(self.head.name).decode(raw)
        return raw  # type: ignore[no-any-return]  # slots are untyped

    @contextmanager
    def _tapped(self, module: nn.Module) -> Iterator[None]:
        def through(_: nn.Module, args: Any, output: Any) -> Any:
            if isinstance(output, Tensor):
                return self.tap(output)
            parts = list(output)
            parts[self.place.member] = self.tap(parts[self.place.member])
            return tuple(parts)

        handle = module.register_forward_hook(through)
        try:
            yield
        finally:
            handle.remove()


def grad_cam(survey: Survey, place: FeatureMap, head: str, column: int, inputs: Mapping[str, Tensor],
             *, present: Mapping[str, Tensor], size: tuple[int, ...]) -> Floats | None:
    """How much each position of an image supports one column of a head: non-negative, in units of its score.

    None if a component between map and head passes no gradient.

    *Shapes*: `inputs` (1, ...) and `present` (1,), one case; gives `size`, to which the map is interpolated linearly.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    view = Viewed(survey, place, head).eval()
    tensors = tuple(inputs[value.name] for value in survey.model.plan.inputs)
    try:
        made = LayerGradCam(view, view.tap).attribute(
            tensors, target=column, additional_forward_args=(dict(present),), relu_attributions=True)
    except RuntimeError as error:
        if "differentiated Tensors" in str(error) or "does not require grad" in str(error):
            return None
        raise
    enlarged: Tensor = LayerAttribution.interpolate(made, size, interpolate_mode=_MODES[len(size)])
    return enlarged[0, 0].detach().cpu().double().numpy()

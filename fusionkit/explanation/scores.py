"""The scores of one head as a function of the inputs, in the form that libraries of attributions call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fusionkit.explanation.feature_maps import Begun, FeatureMap, Survey, begun
from fusionkit.inference.calls import ModuleCall

# Axes: B batch, K columns of a head, c channels of a map, ... its spatial axes.


class HeadScores(nn.Module):
    """The scores of one head: its raw outputs, before softmax or sigmoid, if there is one for each name.

    Otherwise they are its decoded results. They can be differentiated with respect to every input; an input that
    changes nothing has a gradient of zero.

    Shapes: inputs (B, ...) in the order of the plan; gives (B, K).
    """

    def __init__(self, survey: Survey, head: str) -> None:
        super().__init__()
        self.model = survey.model
        self.steps = survey.steps
        self.head = next(planned for planned in survey.model.plan.heads if planned.name == head)

    def forward(self, *given: Any) -> Tensor:
        """The scores; arguments are the inputs and, last, their masks by name: of cases (B,), or of tokens (B, N).

        Masks of fewer cases are repeated, as the inputs are where a library runs each case several times.
        """
        *tensors, masks = given
        scores = self.scores(tensors, masks)
        # Exactly zero, and it makes every input one that the scores depend on, as libraries require.
        for tensor in tensors:
            if tensor.requires_grad:
                scores = scores + tensor[:0].sum()
        return scores

    def scores(self, tensors: list[Any], masks: Mapping[str, Tensor]) -> Tensor:
        """The scores as the network gives them."""
        names = [value.name for value in self.model.plan.inputs]
        rows = len(tensors[0])
        repeated = {name: mask.repeat(rows // len(mask), *[1] * (mask.dim() - 1)) for name, mask in masks.items()}
        state = begun(self.model, self.steps, dict(zip(names, tensors, strict=True)), repeated)
        for number, step in enumerate(self.steps.calls):
            self.call(number, step, state)
        raw = state.slots[self.model.outputs[self.head.name]].float()
        if raw.shape != (len(raw), len(self.head.names)):
            raw = self.model.decode_output(self.head.name, raw)
        return raw  # type: ignore[no-any-return]  # slots are untyped

    def call(self, number: int, step: ModuleCall, state: Begun) -> None:
        """Run one call of the network."""
        state.run(step)


class Tap(nn.Module):
    """A map as a tensor of its own, unaffected by in-place operations downstream.

    A map without a gradient, for example after frozen weights, becomes the start of one here.

    Shapes: (B, c, ...); gives the same.
    """

    def forward(self, features: Tensor) -> Tensor:
        """The map."""
        return features.clone() if features.requires_grad else features.detach().clone().requires_grad_()


class MapScores(HeadScores):
    """The scores of one head, one feature map passing through `tap`, a module that libraries can hook.

    A module that is called several times, such as a shared one, is tapped only in the intended call.
    """

    def __init__(self, survey: Survey, place: FeatureMap, head: str) -> None:
        super().__init__(survey, head)
        self.place = place
        self.tap = Tap()

    def call(self, number: int, step: ModuleCall, state: Begun) -> None:
        """Run one call of the network, the intended one with the tap."""
        if number != self.place.step:
            state.run(step)
            return
        with self._tapped(step.module.get_submodule(self.place.inside)):
            state.run(step)

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

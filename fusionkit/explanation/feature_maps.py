"""The feature maps of a network: the module that gives each, its spatial size, and the images it depends on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.kinds import NODE_KINDS
from fusionkit.errors import Diagnostic, did_you_mean
from fusionkit.inference.calls import ModuleCall, ModuleCalls, steps_of
from fusionkit.network.absence import Valid
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Value

MOST_AT_ONCE = 6
"""How many maps of one input are drawn unless `--at` names others: the last ones, closest to the decision."""
_MOST_UNEVEN = 2.5  # 7 rows halved thrice leave 1, which 11 columns do not: small grids are uneven by rounding


@dataclass(frozen=True)
class ModuleOutput:
    """The output of a submodule: `inside` is its path in the component, `sizes` are those of each tensor without batch.

    `surrounding` is the number of axes of the enclosing submodule's input, None if unknown.
    """

    inside: str
    sizes: tuple[tuple[int, ...], ...]
    surrounding: int | None


@dataclass(frozen=True)
class FeatureMap:
    """One map: tensor number `member` of the output of the submodule `inside` in call number `step` of the network.

    `name` is its name for `--at`, `module` the submodule's path, `sizes` are channels and spatial size, `inputs` the
    images or volumes that it depends on.
    """

    name: str
    node: str
    module: str
    step: int
    inside: str
    member: int
    sizes: tuple[int, ...]
    inputs: tuple[str, ...]


class Survey:
    """One run of a network on zeros, in which every submodule is observed."""

    def __init__(self, model: FusionModel) -> None:
        self.model = model
        plan = model.plan
        self.values: tuple[Value, ...] = (*plan.inputs, *(value for node in plan.nodes for value in node.values))
        self.steps: ModuleCalls = steps_of(model, len(self.values))
        self.paths = _paths(model, self.steps.calls)
        self.given: list[tuple[ModuleOutput, ...]] = []
        self._run()
        self.origins = self._origins()

    def _run(self) -> None:
        device = next((tensor.device for tensor in self.model.parameters()), torch.device("cpu"))
        zeros = {value.name: torch.zeros(1, *value.shape.carried, device=device) for value in self.model.plan.inputs}
        state = begun(self.model, self.steps, zeros, {})
        self.model.eval()
        with torch.no_grad():
            for step in self.steps.calls:
                with _watched(step.module) as seen:
                    state.run(step)
                self.given.append(tuple(seen.values()))

    def _origins(self) -> dict[int, frozenset[str]]:
        """The inputs on which the tensor in each slot depends.

        A fusion that returns as many tensors as it reads refines each: the features remain those of their input.
        """
        origins = {slot: frozenset({value.name}) for slot, value in enumerate(self.model.plan.inputs)}
        for step in self.steps.calls:
            own = len(step.reads) == len(step.writes)
            whole = frozenset[str]().union(*(origins[slot] for slot in step.reads))
            for place, slot in enumerate(step.writes):
                origins[slot] = origins[step.reads[place]] if own else whole
        return origins

    def reaches(self, place: FeatureMap, head: str) -> bool:
        """Whether a head's result depends on a map."""
        changed = set(self.steps.calls[place.step].writes)
        for step in self.steps.calls[place.step + 1 :]:
            if changed & set(step.reads):
                changed |= set(step.writes)
        return self.model.outputs[head] in changed

    def maps(self) -> tuple[list[FeatureMap], list[str]]:
        """For every image and volume, one map of each encoder that processes it, and notes.

        That is the encoder's own output if it is a map (the last of several), else the last map inside it. If no
        encoder gives one, for example if a fusion reads the image itself, it is the last map of any node.
        """
        found: list[FeatureMap] = []
        notes = []
        for value in self._images():
            mine = self._on_the_way(value, ("encoder",)) or self._on_the_way(value, NODE_KINDS)[-1:]
            if not mine:
                notes.append(f"no module that processes {value.name!r} gives a map: nothing is drawn on it")
            if len(mine) > MOST_AT_ONCE:
                left = ", ".join(place.name for place in mine[:-MOST_AT_ONCE])
                notes.append(f"{value.name!r} has {len(mine)} maps; the last {MOST_AT_ONCE} are drawn, --at draws the "
                             f"others: {left}")
            found.extend(mine[-MOST_AT_ONCE:])
        return _together(found), notes

    def at(self, name: str) -> list[FeatureMap] | Diagnostic:
        """The maps given by a node, one of its named outputs or the module at a path; or why there is none."""
        slots = [slot for slot, value in enumerate(self.values) if slot >= len(self.model.plan.inputs)
                 and (value.name == name or value.name.startswith(f"{name}."))]
        places = [place for slot in slots if (place := self._written(slot))]
        shapes = [str(self.values[slot].shape) for slot in slots]
        if not places:
            for number, path in enumerate(self.paths):
                if name == path or name.startswith(f"{path}."):
                    inside = name[len(path) + 1 :]
                    shapes += [" ".join(["B", *map(str, sizes)]) for given in self.given[number]
                               if given.inside == inside for sizes in given.sizes]
                    places += [place for given in self.given[number] if given.inside == inside
                               if (place := self._inside(number, given, None))]
        return places or self._no_map(name, shapes)

    def _no_map(self, name: str, shapes: Sequence[str]) -> Diagnostic:
        known = self._known()
        if shapes:
            return Diagnostic("no-map", f"{name!r} gives no map of an image or volume", why=f"it gives {shapes[-1]}",
                              fix=_some("these give one: ", known) if known else "no module of this network gives one")
        if name in dict(self.model.named_modules()):
            return Diagnostic("no-map", f"the module {name!r} is not called separately",
                              fix=_some("these give a map: ", known) if known else None)
        if name in {value.name for value in self.model.plan.inputs}:
            return Diagnostic("no-map", f"{name!r} is an input, and Grad-CAM is of what the network makes of one",
                              fix=_some("these give a map: ", known) if known else None)
        every = [value.name for value in self.values] + [path for path, _ in self.model.named_modules() if path]
        return Diagnostic("unknown-node", f"the network {self.model.plan.name!r} has no node and no module {name!r}",
                          fix=did_you_mean(name, every, _some("these give a map: ", known) if known else None))

    def _known(self) -> list[str]:
        nodes = [place.name for slot in range(len(self.model.plan.inputs), len(self.values))
                 if (place := self._written(slot))]
        return list(dict.fromkeys([*nodes, *(place.name for place in self.maps()[0])]))

    def _images(self) -> list[Value]:
        return [value for value in self.model.plan.inputs if value.shape.spatial]

    def _on_the_way(self, value: Value, kinds: Collection[str]) -> list[FeatureMap]:
        return [place for lane in self._lanes(kinds) if (place := self._last_map(lane, value))]

    def _lanes(self, wanted: Collection[str]) -> list[list[int]]:
        """The calls of each branch of each node up to its last component of the wanted kinds."""
        lanes: dict[tuple[str, str], list[int]] = {}
        for number, step in enumerate(self.steps.calls):
            several = len(self.model.plan.node(step.node).lanes) > 1
            lane = step.path.split(".")[1] if several else ""
            lanes.setdefault((step.node, lane), []).append(number)
        kinds = [step.planned.component.kind for step in self.steps.calls]
        cut = [lane[: 1 + max((at for at, number in enumerate(lane) if kinds[number] in wanted), default=-1)]
               for lane in lanes.values()]
        return [lane for lane in cut if lane]

    def _last_map(self, lane: Sequence[int], value: Value) -> FeatureMap | None:
        for number in reversed(lane):
            step = self.steps.calls[number]
            own = [self._written(slot) for slot in reversed(step.writes)] if number == lane[-1] else []
            inner = (self._inside(number, given, len(value.shape.spatial)) for given in reversed(self.given[number]))
            for place in (*own, *inner):
                if place is not None and value.name in place.inputs and _alike(place.sizes[1:], value.shape.spatial):
                    return place
        return None

    def _written(self, slot: int) -> FeatureMap | None:
        """The map in a slot of the network."""
        number = next(number for number, step in enumerate(self.steps.calls) if slot in step.writes)
        step, value = self.steps.calls[number], self.values[slot] if slot < len(self.values) else None
        if value is None or not value.shape.spatial:
            return None
        place = FeatureMap(value.name, step.node, self.paths[number], number, "", step.writes.index(slot),
                           value.shape.sizes, ())
        return self._coming_from(place, self.origins[slot])

    def _inside(self, number: int, given: ModuleOutput, rank: int | None) -> FeatureMap | None:
        """The last map of a submodule's output; with `rank`, only if it works on maps with that many axes."""
        if rank is not None and given.surrounding not in (None, rank + 2):
            return None
        step = self.steps.calls[number]
        origin = frozenset[str]().union(*(self.origins[slot] for slot in step.reads))
        path = f"{self.paths[number]}.{given.inside}" if given.inside else self.paths[number]
        for member in reversed(range(len(given.sizes))):
            sizes = given.sizes[member]
            if len(sizes) in (3, 4) and (rank is None or len(sizes) == rank + 1):
                return self._coming_from(FeatureMap(path, step.node, path, number, given.inside, member, sizes, ()),
                                         origin)
        return None

    def _coming_from(self, place: FeatureMap, origin: Collection[str]) -> FeatureMap | None:
        """The map with the images that it can be drawn on; None without any, or if it is a single position."""
        inputs = tuple(value.name for value in self._images()
                       if value.name in origin and len(value.shape.sizes) == len(place.sizes))
        grid = place.sizes[1:]
        if not inputs or all(size == 1 for size in grid):
            return None
        return FeatureMap(place.name, place.node, place.module, place.step, place.inside, place.member, place.sizes,
                          inputs)


@dataclass
class Begun:
    """What calls read and write: values and masks of cases by slot, and the masks of masked tokens by input."""

    slots: list[Any]
    masks: list[Tensor | None]
    valid: Valid | None

    def run(self, step: ModuleCall) -> None:
        """One call of the network."""
        step.call(self.slots, self.masks, self.valid)


def begun(model: FusionModel, steps: ModuleCalls, inputs: dict[str, Tensor], present: dict[str, Tensor]) -> Begun:
    """The network before the first call; `present` has masks of cases, (B,), or of tokens, (B, N).

    Masks of inputs that cannot be missing are left out.
    """
    optional = {value.name for value in model.plan.inputs if value.present is not None}
    masks = {name: mask for name, mask in present.items()
             if mask.dim() > 1 or (name in optional and not bool(mask.all()))}
    state = model.begin(inputs, masks)
    extra = [None] * (steps.slots - len(state.slots))
    return Begun([*state.slots, *extra], [*(state.masks or [None] * len(state.slots)), *extra], state.valid)


def _alike(grid: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a spatial size is that of an image downsampled by about the same factor in height and width.

    This excludes channels-last tensors and attention matrices, which have as many axes.
    """
    shrunk = [whole / part for whole, part in zip(size[-2:], grid[-2:], strict=True) if part > 1]
    return not shrunk or max(shrunk) <= _MOST_UNEVEN * min(shrunk)


def _paths(model: FusionModel, calls: Sequence[ModuleCall]) -> list[str]:
    """The path of each call's module; a shared module has one path for all its calls."""
    names = {module: name for name, module in reversed(list(model.named_modules(remove_duplicate=False)))}
    return [names[step.module] for step in calls]


@contextmanager
def _watched(module: nn.Module) -> Iterator[dict[str, ModuleOutput]]:
    """The last output of each submodule while the block runs, in the order in which they finish."""
    seen: dict[str, ModuleOutput] = {}
    took: dict[str, int | None] = {}

    def entered(name: str, args: Sequence[Any]) -> None:
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        took[name] = tensors[0].dim() if tensors else None

    def left(name: str, output: Any) -> None:
        parts = output if isinstance(output, tuple | list) else (output,)
        sizes = tuple(tuple(part.shape[1:]) if isinstance(part, Tensor) else () for part in parts)
        seen.pop(name, None)
        seen[name] = ModuleOutput(name, sizes, took.get(name.rpartition(".")[0]) if name else None)

    handles = []
    for name, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(lambda _, args, name=name: entered(name, args)))
        handles.append(part.register_forward_hook(lambda _, args, output, name=name: left(name, output)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _together(places: Sequence[FeatureMap]) -> list[FeatureMap]:
    """Each map once, with all inputs for which it was found."""
    return list(dict.fromkeys(places))


def _some(before: str, names: Sequence[str]) -> str:
    return before + ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")

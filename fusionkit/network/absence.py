"""Calls a module when rows or tokens of its inputs are missing, by what its component declares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.component import Absent, Component, Encoder
from fusionkit.layers.known_masks import all_of, any_of, computed, constant, is_whole, places_of, whole
from fusionkit.layers.masking import row_mask
from fusionkit.layers.modes import running_statistics, training_norms
from fusionkit.planning.plan import Lane
from fusionkit.shapes.layouts import MaskedTokens, TensorShape, TokenAxis, names_of
from fusionkit.shapes.presence import Maybe, Presence

# Axes: B batch, M inputs of the node, N tokens.
Output = Tensor | tuple[Tensor, ...]
Mask = Tensor | None
Valid = Mapping[str, Tensor]
"""The masks (B, N) of the network's inputs that have masked tokens, by name."""


def evaluate(present: Maybe, masks: Mapping[str, Tensor]) -> Mask:
    """The mask (B,) of a presence, None if everything is present."""
    if present is None:
        return None
    if present.rule == "input":
        return masks.get(present.input)
    return _combine(present, [evaluate(part, masks) for part in present.parts])


def evaluate_all(presences: Sequence[Maybe], given: Mapping[str, Tensor], tabled: Collection[int]
                 ) -> list[Mask] | None:
    """The masks (B,) of several presences, None if nobody needs any.

    Where every mask is whole, only those in the places `tabled` are needed, which components with weights of their own
    for absence want to see.
    """
    if not all(map(is_whole, given.values())):
        return [evaluate(each, given) for each in presences]
    if not tabled:
        return None
    everyone = whole(next(iter(given.values())).detach())
    return [everyone if place in tabled and each is not None and each.rule == "input" and each.input in given else None
            for place, each in enumerate(presences)]


def reads_table(lane: Lane) -> bool:
    """Whether a component of a branch is told which inputs are there, and not given the rows that are."""
    return any(call.component.absent != "skip" for call in lane.calls)


def _combine(present: Presence, parts: Sequence[Mask]) -> Mask:
    known = [part for part in parts if part is not None and not is_whole(part)]
    if not known or (present.rule == "any" and len(known) < len(parts)):
        return None
    return any_of(known) if present.rule == "any" else all_of(known)


def tokens_valid(of: TokenAxis, valid: Valid) -> Tensor:
    """The mask (B, N) of an axis of masked tokens."""
    some = valid[names_of(of)[0]]
    parts = [constant(True, (some.shape[0], part), some.device) if isinstance(part, int) else
             valid[part] if isinstance(part, str) else computed(partial(_of_windows, size=part.size), valid[part.of])
             for part in of]
    return parts[0] if len(parts) == 1 else computed(lambda *masks: torch.cat(masks, 1), *parts)


def _of_windows(mask_BN: Tensor, size: int) -> Tensor:
    padded = torch.nn.functional.pad(mask_BN, (0, -mask_BN.shape[1] % size))
    return padded.reshape(padded.shape[0], padded.shape[1] // size, size).any(2)


@dataclass(frozen=True)
class Absence:
    """How one component handles missing rows, and which of its inputs have masked tokens.

    `tokens` says whose tokens each input has, None for one that is not masked; it is empty if none is. `several`: the
    component takes a list of masks, not one. `cells` is the input of the network whose blank cells it asks for.
    """

    semantics: Absent
    tokens: tuple[TokenAxis | None, ...] = ()
    several: bool = False
    cells: str = ""

    @staticmethod
    def of(lane: Lane) -> list[Absence]:
        """Those of the calls of a branch."""
        found = []
        for place, call in enumerate(lane.calls):
            tokens = tuple(shape.of if isinstance(shape, MaskedTokens) else None for shape in call.shapes)
            found.append(Absence(call.component.absent, tokens if any(tokens) else (), call.component.several,
                                 "" if place else cells_of(lane)))
        return found

    @property
    def takes_masks(self) -> bool:
        """Whether the component may be given masks of tokens or of cells."""
        return bool(self.tokens or self.cells)

    def call(self, module: nn.Module, args: Sequence[Tensor], columns: Sequence[Mask],
             valid: Valid | None = None) -> Output:
        """The module's output; rows that stay missing are zero."""
        more = self.valid(valid) if self.takes_masks else {}
        if "known" in more:
            args = [args[0].where(more["known"], 0.0)]
        if all(column is None for column in columns):
            return module(*args, **more)  # type: ignore[no-any-return]  # a plugin's module may be unannotated
        if self.semantics != "skip":
            return module(*args, present=_table(args, columns), **more)  # type: ignore[no-any-return]
        mask = _all(columns)
        return module(*args, **more) if is_whole(mask) else self._skip(module, args, mask, more)

    def prepared(self, args: Sequence[Tensor], columns: Sequence[Mask]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The arguments for a call with norms in evaluation mode: positional, and `present` if needed."""
        if all(column is None for column in columns):
            return list(args), {}
        if self.semantics != "skip":
            return list(args), {"present": _table(args, columns)}
        mask = _all(columns)
        return [_keep(arg, mask) for arg in args], {}

    def valid(self, valid: Valid | None) -> dict[str, Any]:
        """The keyword `valid` for the module if an input has masked tokens, and `known` if it asks for that."""
        if self.cells:
            return {"known": valid[self.cells]} if valid and self.cells in valid else {}
        if not self.tokens:
            return {}
        assert valid is not None, "masked tokens without their masks; please report"
        parts = [None if of is None else tokens_valid(of, valid) for of in self.tokens]
        return {"valid": parts if self.several else parts[0]}

    def finished(self, output: Output, columns: Sequence[Mask]) -> Output:
        """The output of a module that was called with `prepared` arguments; rows that stay missing are zero."""
        if self.semantics != "skip" or all(column is None for column in columns):
            return output
        return _zeroed(output, _all(columns))

    def output_mask(self, columns: Sequence[Mask]) -> Mask:
        """The mask of the output: which rows are present after the call."""
        known = [column for column in columns if column is not None]
        if self.semantics == "fill" or not known:
            return None
        if self.semantics == "identity":
            return columns[0]
        if self.semantics in ("drop", "neutral"):
            return any_of(known) if len(known) == len(columns) else None
        return _all(columns)

    def _skip(self, module: nn.Module, args: Sequence[Tensor], mask_B: Tensor, more: Mapping[str, Any]) -> Output:
        if module.training and training_norms(module):
            return self._gathered(module, args, mask_B, more)
        return _zeroed(module(*[_keep(arg, mask_B) for arg in args], **more), mask_B)

    def _gathered(self, module: nn.Module, args: Sequence[Tensor], mask_B: Tensor, more: Mapping[str, Any]) -> Output:
        """Run on present rows only, so that the statistics of a norm never include a missing row.

        With fewer than two present rows there are no batch statistics: the norms then use their running
        ones, and the parameters still take part, as distributed training requires.
        """
        rows = places_of(mask_B)
        if len(rows) < 2:
            with running_statistics(module):
                return _zeroed(module(*[_keep(arg, mask_B) for arg in args], **more), mask_B)
        kept = {name: _selected(value, rows) for name, value in more.items()}
        output = module(*[arg.index_select(0, rows) for arg in args], **kept)
        if isinstance(output, Tensor):
            return _scattered(output, rows, mask_B.shape[0])
        return tuple(_scattered(part, rows, mask_B.shape[0]) for part in output)


def cells_of(lane: Lane) -> str:
    """The value whose blank cells the first component of a branch asks for, '' if it does not."""
    first = lane.calls[0]
    asks = (isinstance(first.component, Encoder) and first.component.asks_known(first.config)
            and lane.reads[0].shape.layout == "vector")
    return lane.reads[0].name if asks else ""


def unpadded(component: Component, shapes: Sequence[TensorShape], args: Sequence[Tensor]) -> dict[str, Any]:
    """The keyword `valid` for a call without padding; nothing if no input has masked tokens.

    Shapes: as `shapes` say, (B, N, c) for masked tokens.
    """
    parts = [torch.ones(arg.shape[:2], dtype=torch.bool, device=arg.device) if isinstance(shape, MaskedTokens) else None
             for shape, arg in zip(shapes, args, strict=True)]
    if all(part is None for part in parts):
        return {}
    return {"valid": parts if component.several else parts[0]}


def _all(columns: Sequence[Mask]) -> Tensor:
    known = [column for column in columns if column is not None]
    return known[0] if len(known) == 1 else all_of(known)


def _table(args: Sequence[Tensor], columns: Sequence[Mask]) -> Tensor:
    first = columns[0]
    if all(column is None or (column is first and place) or is_whole(column) for place, column in enumerate(columns)):
        return whole(constant(True, (len(args[0]), len(columns)), args[0].device))
    everyone = constant(True, args[0].shape[:1], args[0].device)
    return computed(_beside, *[everyone if column is None else column for column in columns])


def _beside(*columns: Tensor) -> Tensor:
    return torch.stack(columns, 1)


def _selected(valid: Any, rows: Tensor) -> Any:
    """Some rows of the masks of one input, or of several."""
    if isinstance(valid, Tensor):
        return computed(_chosen, valid, rows)
    return valid and [_selected(part, rows) for part in valid]


def _chosen(mask: Tensor, rows: Tensor) -> Tensor:
    return mask.index_select(0, rows)


def _keep(value: Tensor, mask_B: Tensor) -> Tensor:
    return torch.where(row_mask(mask_B, value), value, torch.zeros((), dtype=value.dtype, device=value.device))


def _zeroed(output: Output, mask_B: Tensor) -> Output:
    if isinstance(output, Tensor):
        return _keep(output, mask_B) if output.dim() else output
    return tuple(_keep(part, mask_B) if part.dim() else part for part in output)


def _scattered(part: Tensor, rows: Tensor, count: int) -> Tensor:
    if not part.dim():
        return part
    return part.new_zeros((count, *part.shape[1:])).index_copy(0, rows, part)

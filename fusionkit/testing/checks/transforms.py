"""The check of transforms: changes that follow from options, draws and the values of a case alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fusionkit.components.config import Config
from fusionkit.components.transform import Cell, Transform, TransformMethod
from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import Batch
from fusionkit.errors import RunError, Span, UserError
from fusionkit.registry.lookup import discover
from fusionkit.registry.named import Chosen, component_named
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Mapping as TreeMapping
from fusionkit.syntax.writer import write
from fusionkit.testing.faults import Fault
from fusionkit.training.augmented import Augmented, ChangedTable

_SIZES = {"image": (2, 7, 11), "volume": (2, 5, 7, 11), "one slice": (2, 1, 7, 11)}
_IDS = ("P1", "P2", "P3")
_TABLE = ChangedTable(
    [Cell("size", (0,), 1.0, (0.0,)), Cell("stage", (1, 2), 0.0, (0.5, 1.0), marked=True), Cell("site", (3, 4))],
    np.array([[-1, 1, 0, 0, 1], [0.5, 2, 0, 1, 0], [2, 3, 0, 0, 0]], np.float32), np.ones((3, 5), bool), (0, 1, 2))
_EPOCHS = 12
_COMPARED = 4
"""Of the epochs that change something, those in which the change is made again, alone and in another order."""
_DRAW = "draw all numbers from the argument `random`, and noise by noise()"


def transform(component: Transform, config: Config) -> Fault | None:
    """What is wrong with a transform under some options."""
    if component.acts == "preset":
        return _preset(component, config)
    if not isinstance(component.module(config), TransformMethod):
        return Fault("it makes no TransformMethod", "derive its class from fusionkit.api.TransformMethod")
    chance = config.model_dump().get("chance", 1.0)
    chosen = Chosen(component, config if chance else config.model_copy(update={"chance": 1.0}), Span("kit", 1, 1))
    try:
        found = [_of_layout(chosen, layout) for layout in (("table",) if component.acts == "cells" else _SIZES)]
    except RunError as error:
        raise error.__cause__ or error from None
    faults = [each for each in found if isinstance(each, Fault)]
    if faults:
        return faults[0]
    if not any(found) and config == _defaults(component):
        return Fault(f"in {_EPOCHS} epochs it changes nothing with default options",
                     "override `move` where it acts in space, `apply` on the intensity, `change` on cells")
    return None


def _preset(component: Transform, config: Config) -> Fault | None:
    made = component.module(config)
    if not isinstance(made, Mapping) or not made:
        return Fault(f"it gives {made!r}", "return the options of transforms by their names")
    for name, options in made.items():
        try:
            tree = read(write(dict(options)), "kit") if options else None
            component_named(f"transform.{name}", tree if isinstance(tree, TreeMapping) else None, discover(),
                            Span("kit", 1, 1), Transform)
        except UserError as error:
            return Fault(f"its transform {name!r} is refused: {error.diagnostics[0].message}",
                         error.diagnostics[0].fix or "correct its options")
    return None


def _of_layout(chosen: Chosen[Transform], layout: str) -> bool | Fault:
    """Whether inputs of a layout are changed, or what is wrong."""
    generator = torch.Generator().manual_seed(0)
    if layout == "table":
        values = torch.from_numpy(_TABLE.vectors)
    else:
        channels, *sizes = _SIZES[layout]
        values = torch.rand(len(_IDS), chosen.declared.channels or channels, *sizes, generator=generator) * 3 - 1
    changed, kept = 0, values.clone()
    for epoch in range(_EPOCHS):
        torch.manual_seed(epoch)
        whole = _made(chosen, values, epoch)
        changed += not torch.equal(whole, kept)
        compared = changed <= _COMPARED
        torch.manual_seed(epoch + 1)
        backwards = _made(chosen, values.flip(0), epoch, _IDS[::-1]).flip(0) if compared else whole
        alone = torch.cat([_made(chosen, values[row, None], epoch, (id,))
                           for row, id in enumerate(_IDS)]) if compared else whole
        if not torch.equal(values, kept):
            return Fault(f"it changes its argument in place ({layout})", "work on a copy")
        if not bool(whole.isfinite().all()):
            return Fault(f"values of a case of layout {layout!r} become NaN or infinite", "check divisions and powers")
        if compared and not torch.equal(whole, _made(chosen, values, epoch)):
            return Fault(f"it changes the same case otherwise a second time ({layout})", _DRAW)
        if not torch.equal(whole, backwards) or not torch.equal(whole, alone):
            return Fault(f"a case alone, or in another order of the batch, is changed otherwise ({layout})",
                         "change each case by its own numbers and values only")
    return changed > 0


def _made(chosen: Chosen[Transform], values: Tensor, epoch: int, ids: tuple[str, ...] = _IDS) -> Tensor:
    places = torch.tensor([_IDS.index(id) for id in ids])
    augmented = Augmented(Augmentation({"x": (chosen,)}), _IDS, {}, seed=0, tables={"x": _TABLE})
    return augmented(Batch({"x": values}, {}, {}, {}, places), epoch).inputs["x"]


def _defaults(component: Transform) -> Config | None:
    required = any(option.is_required() for option in component.config.model_fields.values())
    return None if required else component.config.model_validate({})

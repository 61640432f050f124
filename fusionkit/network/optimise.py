"""Copies of networks for inference only, rewritten to run faster; results are equal up to rounding."""

from __future__ import annotations

import copy
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_PAIRS = {(nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d)}
_Network = TypeVar("_Network", bound=nn.Module)


def optimize(model: _Network) -> _Network:
    """A faster copy of a network for inference, whose results are equal up to rounding.

    A module with a method `optimized()` is replaced by its result: an equivalent module for evaluation. Elsewhere, a
    batch norm that follows a convolution in an `nn.Sequential` is folded into it. Modules with hooks are not changed,
    since a hook would see something else.

    The copy is in evaluation mode. Its parameters have other names, so save the network itself.

    Raises: RuntimeError from the copy's `train()`, which would train something other than the network.
    """
    result = _rewritten(copy.deepcopy(model).eval(), {}).eval()
    result.__dict__["train"] = partial(_refuse_training, result)
    return result  # type: ignore[return-value]  # of the same class, or what its own `optimized` returns


def _rewritten(module: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    """The module with all its submodules rewritten; `done` keeps shared modules shared."""
    if id(module) in done:
        return done[id(module)]
    offer = getattr(module, "optimized", None)
    if callable(offer) and not any(map(_has_hooks, module.modules())):
        done[id(module)] = offer()
        return done[id(module)]
    done[id(module)] = module
    if type(module).forward is nn.Sequential.forward:
        _fold_norms(module)
    for name, child in list(module.named_children()):
        rewritten = _rewritten(child, done)
        if rewritten is not child:
            module.add_module(name, rewritten)
    return module


def _fold_norms(row: nn.Module) -> None:
    """Fold batch norms of a sequence into the convolutions before them; an identity takes their place."""
    layers: list[tuple[str, Any]] = list(row._modules.items())
    for (name, convolution), (following, norm) in pairwise(layers):
        # By exact class: a subclass, such as a parametrised convolution, may compute something else.
        pair = type(convolution), type(norm)
        if pair in _PAIRS and norm.running_mean is not None and not (_has_hooks(convolution) or _has_hooks(norm)):
            row.add_module(name, fuse_conv_bn_eval(convolution, norm))
            row.add_module(following, nn.Identity())


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _refuse_training(model: nn.Module, mode: bool = True) -> nn.Module:
    """The `train` of a rewritten network, which only allows evaluation mode."""
    if mode:
        raise RuntimeError("this copy by `fusionkit.optimize` is for inference only; train the original network and "
                           "optimise it again")
    return type(model).train(model, False)

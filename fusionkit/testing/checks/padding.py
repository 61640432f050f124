"""The check of components that take masked tokens: padding, its contents and its amount change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fusionkit.components.config import ComponentError
from fusionkit.network.absence import tokens_valid
from fusionkit.shapes.layouts import MaskedTokens, TensorShape, masked_shape, members
from fusionkit.shapes.rule import Binding, Mismatch
from fusionkit.testing.checks.behaviour import difference, equal, mixed
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import Probe, results

# Axes: B batch, N tokens.
_BATCH, _MORE = 5, 3
_CONTENTS = (1e4, -3.0)
_FIX = "leave padding out of every sum, maximum and softmax: fusionkit.api.fill_padding, mean_valid, softmax_present"


def padding(probe: Probe) -> Fault | None:
    """Padding, its contents and its amount change no result and no gradient; without any, a mask changes nothing."""
    masked = _masked(probe)
    if masked is None:
        return None
    return _content(masked) or _amount(masked) or _alone(masked) or _full(masked) or _order(masked)


def fits(probe: Probe) -> bool:
    """Whether a probe has tokens that may be masked."""
    return _masked(probe) is not None


def with_padding(probe: Probe) -> tuple[Probe, dict[str, Any]] | None:
    """The probe with masked tokens and the keyword `valid` for a batch of it; None where it has none."""
    masked = _masked(probe)
    return None if masked is None else (masked, _keywords(masked, _valid(masked)))


@dataclass(frozen=True)
class _Trial:
    """The results of a call, as far as they are of tokens that are real, and the gradients of weights and inputs."""

    outputs: list[Tensor]
    weights: list[Tensor]
    inputs: list[Tensor]

    def parts(self) -> Sequence[tuple[str, list[Tensor]]]:
        """Everything that padding must not change, by its name in a report."""
        return (("result", self.outputs), ("gradient of a parameter", self.weights),
                ("gradient of an input", self.inputs))


def _masked(probe: Probe) -> Probe | None:
    """The probe with masked tokens wherever its rule takes them; None where it has none, or they are refused."""
    named = [(f"input {place}", shape) for place, shape in enumerate(probe.inputs, start=1)]
    bound = probe.component.parsed.bind(named, dict(probe.config))
    if not isinstance(bound, Binding):
        return None
    shapes: list[TensorShape] = []
    for port, name, shape in bound.inputs:
        first = (port.axes or ())[0]
        # Inputs whose axis has one name have the same tokens.
        of = str(first.value) if first.kind == "name" else name
        shapes.append(masked_shape(shape.sizes, (of,), first.layout) if first.masked else shape)
    if not any(isinstance(shape, MaskedTokens) for shape in shapes):
        return None
    made = replace(probe, inputs=tuple(shapes))
    try:
        return made if made.built is not None and not isinstance(made.promised(), Mismatch) else None
    except ComponentError:
        return None


def _valid(probe: Probe, more: int = 0, full: bool = False) -> dict[str, Tensor]:
    """A mask (B, N) for each name of tokens: all of them, one, half of them, none, all but one."""
    found = {}
    for shape in probe.inputs:
        if isinstance(shape, MaskedTokens):
            count = shape.positions
            real = [count] * _BATCH if full else [count, 1, -(-count // 2), 0, max(count - 1, 1)]
            found[str(shape.of[0])] = torch.arange(count + more) < torch.tensor(real)[:, None]
    return found


def _keywords(probe: Probe, valid: dict[str, Tensor]) -> dict[str, Any]:
    parts = [tokens_valid(shape.of, valid) if isinstance(shape, MaskedTokens) else None for shape in probe.inputs]
    return {"valid": parts if probe.component.several else parts[0]}


def _run(probe: Probe, content: float, *, more: int = 0, training: bool = False, dtype: torch.dtype) -> _Trial:
    valid = _valid(probe, more)
    inputs = []
    for x, shape in zip(probe.data(_BATCH, dtype=dtype), probe.inputs, strict=True):
        if isinstance(shape, MaskedTokens):
            wide, mask = torch.cat([x, x.new_zeros(_BATCH, more, *x.shape[2:])], 1), tokens_valid(shape.of, valid)
            x = wide.where(mask.reshape(*mask.shape, *[1] * (x.dim() - 2)), content)
        inputs.append(x.requires_grad_())
    module = probe.module().to(dtype).train(training)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        outputs = _real(probe, results(module(*inputs, **_keywords(probe, valid))), valid)
    total = mixed(outputs)
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    given = [grad[:, : shape.positions] if isinstance(shape, MaskedTokens) else grad
             for grad, shape in zip(map(_gradient, inputs), probe.inputs, strict=True)]
    return _Trial([part.detach() for part in outputs], [_gradient(x) for x in module.parameters()], given)


def _gradient(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad


def _real(probe: Probe, outputs: Sequence[Tensor], valid: dict[str, Tensor]) -> list[Tensor]:
    """The results, those of masked tokens only where these are real: (tokens of all cases, width)."""
    promised = probe.promised()
    assert promised is not None and not isinstance(promised, Mismatch), f"{probe}: {promised}; please report"
    return [part[tokens_valid(shape.of, valid)] if isinstance(shape, MaskedTokens) else part
            for part, (_, shape) in zip(outputs, members(promised), strict=True)]


def _content(probe: Probe) -> Fault | None:
    for training in (False, True):
        wanted = _run(probe, 0.0, training=training, dtype=torch.float32)
        for content in _CONTENTS:
            found = _run(probe, content, training=training, dtype=torch.float32)
            for (name, one), (_, other) in zip(found.parts(), wanted.parts(), strict=True):
                if not equal(one, other):
                    return Fault(f"padding that holds {content:g} changes the {name}"
                                 f"{' in training' if training else ''}", _FIX)
        if not all(bool(part.isfinite().all()) for _, parts in wanted.parts() for part in parts):
            return Fault("a case without a token gives a result or a gradient that is not finite",
                         "give zeros there: fusionkit.api.mean_valid, max_valid, softmax_present")
    return None


def _amount(probe: Probe) -> Fault | None:
    dtype = probe.widest
    found, wanted = (_run(probe, -3.0, more=more, dtype=dtype) for more in (_MORE, 0))
    for (name, one), (_, other) in zip(found.parts(), wanted.parts(), strict=True):
        apart = difference(one, other, dtype)
        if apart:
            return Fault(f"with {_MORE} more tokens of padding the {name} differs by {apart}", _FIX)
    return None


def _alone(probe: Probe) -> Fault | None:
    """The case of one token, without the others and so without padding."""
    dtype, valid = probe.widest, _valid(probe)
    module, inputs, row = probe.module().to(dtype), probe.data(_BATCH, dtype=dtype), slice(1, 2)
    alone = [x[row, :1] if isinstance(shape, MaskedTokens) else x[row]
             for x, shape in zip(inputs, probe.inputs, strict=True)]
    own = {name: mask[row, :1] for name, mask in valid.items()}
    promised = probe.promised()
    with torch.no_grad():
        wanted = _real(probe, results(module(*alone, **_keywords(probe, own))), own)
        together = results(module(*inputs, **_keywords(probe, valid)))
    assert promised is not None and not isinstance(promised, Mismatch), f"{probe}: {promised}; please report"
    found = [part[row][tokens_valid(shape.of, valid)[row]] if isinstance(shape, MaskedTokens) else
             part[row] if part.dim() else wanted[place]
             for place, (part, (_, shape)) in enumerate(zip(together, members(promised), strict=True))]
    apart = difference(found, wanted, dtype)
    return Fault(f"the result of a case of one token in a padded batch differs by {apart} from that of this case alone",
                 _FIX) if apart else None


def _full(probe: Probe) -> Fault | None:
    dtype = probe.widest
    module, valid = probe.module().to(dtype), _valid(probe, full=True)
    with torch.no_grad():
        inputs = probe.data(_BATCH, dtype=dtype)
        found = results(module(*inputs, **_keywords(probe, valid)))
        apart = difference(found, results(module(*inputs)), dtype)
    return Fault(f"with a mask without padding the result differs by {apart} from that without a mask",
                 "do the same arithmetic in both cases") if apart else None


def _order(probe: Probe) -> Fault | None:
    """With the claim `symmetric`: the order of the tokens of a case does not matter either."""
    promised = probe.promised()
    if "symmetric" not in probe.component.claims or isinstance(promised, MaskedTokens):
        return None
    dtype, turn = probe.widest, torch.Generator().manual_seed(4)
    module, inputs = probe.module().to(dtype), probe.data(_BATCH, dtype=dtype)
    orders = {str(shape.of[0]): torch.randperm(shape.positions, generator=turn) for shape in probe.inputs
              if isinstance(shape, MaskedTokens)}
    valid = _valid(probe)
    turned = [x[:, orders[str(shape.of[0])]] if isinstance(shape, MaskedTokens) else x
              for x, shape in zip(inputs, probe.inputs, strict=True)]
    with torch.no_grad():
        wanted = results(module(*inputs, **_keywords(probe, valid)))
        other = {name: mask[:, orders[name]] for name, mask in valid.items()}
        apart = difference(results(module(*turned, **_keywords(probe, other))), wanted, dtype)
    return Fault(f"with the tokens of each case in another order the result differs by {apart}",
                 "treat all tokens alike, or do not claim 'symmetric'") if apart else None

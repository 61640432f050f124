"""Masks on a device whose values the CPU knows too, so that nobody waits for the device to ask which rows are present.

Which inputs a case has is known on the CPU when its batch is made. A mask that is copied to a device keeps what it was
copied from, and masks that are computed from such masks are computed on the CPU as well, where that takes no time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

_NAME, _WHOLE = "known_on_cpu", "known_to_be_whole"


def sent(mask: Tensor, device: torch.device | str, non_blocking: bool = False) -> Tensor:
    """A mask, or indices, on a device, with what the CPU knows of it."""
    there = mask.to(device, non_blocking=non_blocking)
    known = on_cpu(mask)
    return there if known is None else kept(there, known)


def kept(mask: Tensor, known: Tensor) -> Tensor:
    """The mask, which has these values on the CPU; the same values with another shape are fine."""
    if mask.device.type not in ("cpu", "meta") and not torch.compiler.is_compiling():
        # Changed in place later, it would no longer be what is known of it.
        setattr(mask, _NAME, (known, _version(mask)))
    return mask


def constant(value: bool, sizes: Sequence[int], device: torch.device) -> Tensor:
    """A mask of all True, or of all False."""
    mask = torch.full(tuple(sizes), value, dtype=torch.bool, device=device)
    return mask if device.type in ("cpu", "meta") else kept(mask, torch.full(tuple(sizes), value, dtype=torch.bool))


def on_cpu(mask: Tensor) -> Tensor | None:
    """The values of a mask on the CPU; None where only the device knows them."""
    if mask.device.type == "cpu":
        return mask
    if torch.compiler.is_compiling():
        return None
    known, version = getattr(mask, _NAME, (None, None))
    return known if version == _version(mask) else None


def places_of(mask: Tensor, column: int | None = None) -> Tensor:
    """The places at which a mask is True, in order, on its device.

    Without waiting for the device where the CPU knows them: `x[places_of(mask)]` in place of `x[mask]`.

    Shapes: (B,) gives (n,), and (B, N) the n places in it flattened, or those in one `column`; int64.
    """
    known = on_cpu(mask)
    asked = mask if known is None else known
    if column is not None:
        asked = asked[:, column]
    return sent(asked.flatten().nonzero().squeeze(1), mask.device, non_blocking=True)


def count_of(mask: Tensor) -> int:
    """How many places of a mask are True, without waiting for the device where the CPU knows them."""
    known = on_cpu(mask)
    return int((mask if known is None else known).count_nonzero())


def _is_traced() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]  # public, and without types


def is_whole(mask: Tensor) -> bool:
    """Whether a mask is known to be True everywhere: what it would choose may then be taken as it is.

    False where only the device knows, and where the program is traced, which would hold for this mask alone.
    """
    if torch.compiler.is_compiling():
        return False
    if getattr(mask, _WHOLE, None) == _version(mask):
        return True
    known = mask if mask.is_cpu else on_cpu(mask)
    # Tensors without values are of other types, or wrapped.
    if type(known) is not Tensor or _is_traced() or is_functorch_wrapped_tensor(known):
        return False
    return b"\0" not in known.numpy().tobytes()


def whole(mask: Tensor) -> Tensor:
    """A mask that is True everywhere, which says so from now on, see `is_whole`.

    For masks that nobody outside has: the values of an array of NumPy may change without the tensor's knowing.
    """
    if not torch.compiler.is_compiling() and not _is_traced():
        setattr(mask, _WHOLE, _version(mask))
    return mask


def listed(rows: Tensor) -> list[Any]:
    """The values of a mask or of indices as a list, without waiting for the device where the CPU knows them."""
    known = on_cpu(rows)
    found: list[Any] = (rows if known is None else known).tolist()
    return found


def told(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers of the CPU as a tensor on a device, which `torch.tensor(values, device=device)` would wait for."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def computed(rule: Callable[..., Tensor], *masks: Tensor) -> Tensor:
    """`rule(*masks)`, known on the CPU if all of them are."""
    made = rule(*masks)
    if made.device.type in ("cpu", "meta"):
        return made
    known = [on_cpu(mask) for mask in masks]
    return made if any(part is None for part in known) else kept(made, rule(*known))


def any_of(masks: Sequence[Tensor]) -> Tensor:
    """Where any of several masks (B,) is True: (B,)."""
    return computed(lambda *parts: torch.stack(parts).any(0), *masks)


def all_of(masks: Sequence[Tensor]) -> Tensor:
    """Where all of several masks (B,) are True: (B,)."""
    return computed(lambda *parts: torch.stack(parts).all(0), *masks)


def both(first: Tensor, second: Tensor) -> Tensor:
    """Where two masks are True, with the sizes that broadcasting gives."""
    return computed(torch.logical_and, first, second)


def _version(mask: Tensor) -> int:
    """How often a tensor was changed in place, which tensors of inference mode do not count."""
    return 0 if mask.is_inference() else mask._version

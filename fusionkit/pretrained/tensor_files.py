"""Files of weights: safetensors; `.pt` files only if they contain plain tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from pickle import UnpicklingError  # only the error

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.files import check_regular

_SHOWN = 4
_FIX = "use weights of the same component with the same options; 'path#prefix' selects a part of a file"
_STATES = ("state_dict", "model_state", "model_state_dict", "model")
"""Keys under which checkpoints store the tensors of a network."""
_KINDS = {"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
          "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
"""The types of numbers in a safetensors file; files with rarer ones are read."""
_SUMMED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_described: ContextVar[bool] = ContextVar("described", default=False)


@contextmanager
def without_numbers() -> Iterator[None]:
    """Within, files of weights give tensors on the meta device, made of what a file says of each, without numbers."""
    token = _described.set(True)
    try:
        yield
    finally:
        _described.reset(token)


def reads_numbers() -> bool:
    """Whether files of weights are read, and not only what they say of their tensors."""
    return not _described.get()


def read_tensors(path: Path, span: Span | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a `.pt` file that contains nothing else.

    Within `without_numbers` they are on the meta device.
    Raises: GraphError with `unreadable-weights`.
    """
    try:
        check_regular(path)
        if path.suffix == ".safetensors":
            return dict(load_file(path)) if reads_numbers() else _on_meta(path)
        loaded = torch.load(path, map_location="cpu" if reads_numbers() else "meta", weights_only=True)
    except (OSError, ValueError) as error:
        raise _unreadable(path, span, getattr(error, "strerror", None) or str(error), "check the path") from None
    except SafetensorError as error:
        raise _unreadable(path, span, str(error), "save the weights again; the file is damaged or of another kind"
                          ) from None
    except UnpicklingError:  # torch's own message advises loading it anyway, objects included
        raise _unreadable(path, span, "it is damaged, or contains objects, which could run code when they are loaded",
                          "save its tensors as .safetensors; files with objects are not loaded") from None
    except Exception as error:
        raise _unreadable(path, span, str(error).splitlines()[0] if str(error) else type(error).__name__,
                          "save its tensors as .safetensors; files with objects are not loaded") from None
    state = next((loaded[key] for key in _STATES if key in loaded), loaded) if isinstance(loaded, dict) else {}
    pairs = state.items() if isinstance(state, dict) else ()
    tensors = {str(name): value for name, value in pairs if isinstance(value, Tensor)}
    if not tensors:
        raise _unreadable(path, span, "it contains no named tensors", "save a state dict")
    return tensors


def _on_meta(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        kinds = {name: _KINDS.get(part.get_dtype()) for name, part in parts.items()}
        return {name: file.get_tensor(name).to("meta") if kinds[name] is None else
                torch.empty(part.get_shape(), dtype=kinds[name], device="meta") for name, part in parts.items()}


def _unreadable(path: Path, span: Span | None, why: str, fix: str) -> GraphError:
    return GraphError(Diagnostic("unreadable-weights", f"cannot read the weights {str(path)!r}", span, why, fix))


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], owner: str, span: Span | None = None,
              fix: str = _FIX) -> None:
    """Set every tensor of a module, exactly; within `without_numbers` it is only looked whether this can be done.

    Raises: GraphError with `wrong-weights` if a name is missing or unexpected, a size differs, or the numbers are
    of another kind (integer, boolean, complex) or not finite.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    sizes = [f"{name} is {list(tensors[name].shape)}, needed {list(own[name].shape)}"
             for name in own if name in tensors and own[name].shape != tensors[name].shape]
    kinds = [f"{name} is {_kind(tensors[name])}, needed {_kind(own[name])}" for name in own
             if name in tensors and _converts_wrongly(tensors[name].dtype, own[name].dtype)]
    # A network may contain such numbers by design (a mask of minus infinity); trained weights may not.
    infinite = [f"{name} ({_count_not_finite(value)} of {value.numel()})" for name, value in tensors.items()
                if name in own and _count_not_finite(value) and not _count_not_finite(own[name])]
    faults = [f"{label} {_some(names)}" for label, names in
              (("missing", missing), ("unexpected", extra), ("of another size:", sizes),
               ("of another kind of number:", kinds), ("NaN or infinite:", infinite)) if names]
    if faults:
        raise GraphError(Diagnostic("wrong-weights", f"the weights do not fit {owner}", span, why="; ".join(faults),
                                    fix=fix))
    if reads_numbers():
        module.load_state_dict(dict(tensors))


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _converts_wrongly(given: torch.dtype, needed: torch.dtype) -> bool:
    """Whether a copy would change the kind of numbers (float, integer, boolean, complex), not just their precision."""
    return (given.is_floating_point, given.is_complex, given == torch.bool) != (
        needed.is_floating_point, needed.is_complex, needed == torch.bool)


def _count_not_finite(tensor: Tensor) -> int:
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.is_meta:
        return 0
    # NaN and infinity stay in a sum, which takes a tenth of the time; a sum may also become infinite by its size.
    if tensor.dtype in _SUMMED and math.isfinite(tensor.sum(dtype=torch.float64)):
        return 0
    return int(tensor.numel() - torch.isfinite(tensor).sum())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

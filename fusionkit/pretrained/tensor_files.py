"""Files of weights: safetensors; `.pt` files only if they contain plain tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # only the error

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.files import check_regular

_SHOWN = 4
_FIX = "use weights of the same component with the same options; 'path#prefix' selects a part of a file"
_STATES = ("state_dict", "model_state", "model_state_dict", "model")
"""Keys under which checkpoints store the tensors of a network."""


def read_tensors(path: Path, span: Span | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a `.pt` file that contains nothing else.

    Raises: GraphError with `unreadable-weights`.
    """
    try:
        check_regular(path)
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
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


def _unreadable(path: Path, span: Span | None, why: str, fix: str) -> GraphError:
    return GraphError(Diagnostic("unreadable-weights", f"cannot read the weights {str(path)!r}", span, why, fix))


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], owner: str, span: Span | None = None,
              fix: str = _FIX) -> None:
    """Set every tensor of a module, exactly.

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
    return int(tensor.numel() - torch.isfinite(tensor).sum())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

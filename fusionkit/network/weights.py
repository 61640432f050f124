"""Reads and writes weights: safetensors; `.pt` files only if they contain plain tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # only the error

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.files import check_regular, inside, replacing
from fusionkit.graph.nodes import Node

_SHOWN = 4
_STATES = ("state_dict", "model_state", "model_state_dict", "model")
"""Keys under which checkpoints store the tensors of a network."""


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the module's state as safetensors, atomically."""
    save_tensors(module.state_dict(), path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name as safetensors, atomically."""
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as aside:
        save_file(state, aside)


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


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], owner: str, span: Span | None = None) -> None:
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
                                    fix="use weights of the same component with the same options; "
                                        "'path#prefix' selects a part of a file"))
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


def load_node(module: nn.Module, node: Node, folder: Path | None, fold: int | None = None) -> None:
    """Load a node's initial weights from its `weights: path#prefix`, inside the graph file's folder.

    For a `fold`, the file of the same name in `fold-N` beside it is taken where there is one.

    Without a folder the path was typed on the command line and may be anywhere. A module that supports files with
    other names has `adapt_weights(tensors) -> tensors`, which converts them.

    Raises: GraphError with `unreadable-weights`, `wrong-weights` or `outside-folder`.
    """
    assert node.weights is not None
    name, _, prefix = node.weights.partition("#")
    path = Path(name) if folder is None else inside(folder, name)
    if path is None:
        raise GraphError(Diagnostic("outside-folder", f"the weights {name!r} are outside the graph's folder", node.span,
                                    why=f"a graph file may only use files inside {str(folder)!r}",
                                    fix="copy or link the file into that folder"))
    of_fold = path.parent / f"fold-{fold}" / path.name
    tensors = read_tensors(of_fold if fold is not None and of_fold.is_file() else path, node.span)
    if prefix:
        start = prefix.rstrip(".") + "."
        tensors = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        if not tensors:
            raise GraphError(Diagnostic("wrong-weights", f"no tensor of {name!r} begins with {start!r}", node.span,
                                        fix="check the names in the file; the prefix ends before a dot"))
    adapt = getattr(module, "adapt_weights", None)
    load_into(module, adapt(tensors) if adapt else tensors, f"node {node.name!r}", node.span)

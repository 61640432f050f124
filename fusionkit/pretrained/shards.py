"""Weights that are published in several files: the index that says which of them holds each tensor.

The form is that of `model.safetensors.index.json` as transformers writes it: an object whose `weight_map` gives, for
every tensor, the file beside it that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.pretrained.json_files import object_in

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS, INDEXED = ".safetensors", ".index.json"
INDEX = SAFETENSORS + INDEXED
_SHOWN = 4


@dataclass(frozen=True)
class WeightFiles:
    """The files of weights: `named` alone, or the shards that this index names, with the tensors of each."""

    named: Path
    shards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file with numbers, shards in the order of their names."""
        return tuple(self.named.parent / name for name in sorted(self.shards)) or (self.named,)


def files_at(path: Path, span: Span | None = None) -> WeightFiles:
    """The file of weights at a path, or the shards that it names if it is an index; these need not exist.

    Raises: GraphError with `unreadable-weights` for what is no index, `outside-folder` for a shard elsewhere.
    """
    if path.name.endswith(INDEXED) and not path.name.endswith(INDEX):
        raise _unreadable(path, span, f"it is no index of {SAFETENSORS} files",
                          "download the release with safetensors; other files can run code when they are loaded")
    if not path.name.endswith(INDEX) or not path.is_file():
        return WeightFiles(path)
    return _shards_of(path, object_in(path, span), span)


def _shards_of(index: Path, content: Mapping[str, Any], span: Span | None) -> WeightFiles:
    placed = content.get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise _unreadable(index, span, "it has no 'weight_map', the file of each tensor",
                          "download the index again; it is damaged or of another kind")
    tensors: dict[str, list[str]] = {}
    for tensor, name in placed.items():
        if not isinstance(name, str) or not name.endswith(SAFETENSORS):
            raise _unreadable(index, span, f"it places {tensor!r} in {name!r}, which is no {SAFETENSORS} file",
                              "download the release with safetensors; other files can run code when they are loaded")
        if name in ("..", ".") or name != PurePosixPath(name).name or name != PureWindowsPath(name).name:
            raise GraphError(Diagnostic(
                "outside-folder", f"{str(index)!r} places {tensor!r} in {name!r}", span,
                "the files that an index names lie beside it", "write bare names of files beside the index"))
        tensors.setdefault(name, []).append(tensor)
    return WeightFiles(index, {name: tuple(held) for name, held in tensors.items()})


def check_there(files: WeightFiles, span: Span | None) -> None:
    """Raises: GraphError with `unreadable-weights` for shards that are missing, by name."""
    missing = [path.name for path in files.paths if not path.is_file()]
    if files.shards and missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise GraphError(Diagnostic(
            "unreadable-weights", f"{str(files.named.parent)!r} lacks {len(missing)} of {len(files.shards)} shards: "
            f"{', '.join(missing[:_SHOWN])}{more}", span, f"{files.named.name!r} places tensors in each of them",
            "download them from where the weights were published, into that folder"))


def read_files(files: WeightFiles, span: Span | None) -> dict[str, Tensor]:
    """The tensors of the file, or of all shards: those that the index places in each.

    Raises: GraphError with `unreadable-weights`, for shards that are missing by their names.
    """
    from fusionkit.pretrained.tensor_files import read_tensors

    if not files.shards:
        return read_tensors(files.named, span)
    found: dict[str, Tensor] = {}
    for path in files.paths:
        held, wanted = read_tensors(path, span), files.shards[path.name]
        lacking = [name for name in wanted if name not in held]
        if lacking:
            more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
            raise _unreadable(path, span, f"it lacks {', '.join(lacking[:_SHOWN])}{more}, which {files.named.name!r} "
                              "places in it", "download index and shards again; they are of different releases")
        found |= {name: held[name] for name in wanted}
    return found


def _unreadable(path: Path, span: Span | None, why: str, fix: str) -> GraphError:
    return GraphError(Diagnostic("unreadable-weights", f"cannot read {str(path)!r}", span, why, fix))

"""Matches Keras layer names with those of a release: nested models, other counters, layers without names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from fusionkit.conversion.name_mapping import Part, converted, joined, pairs

_COUNTED = re.compile(r"(.*?)(?:_(\d+))?")
_Named = dict[str, str]
"""From the release's name of a tensor to the file's."""


def arranged(parts: Iterable[Part], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file renamed to the names in the parts' releases; all others under their own names.

    A part is searched for in the whole model and in every nested model: its layers under their own names, under
    names with Keras's counters starting from another number, and, if a file only numbers layers by kind, in the
    order given by the release. The reading with the most tensors of the right size is used.
    """
    taken: set[str] = set()
    found: dict[str, Tensor] = {}
    for part in parts:
        fitting = _Fitting(part, tensors)
        best = max((fitting.kept(reading) for reading in _readings(fitting)), key=len)
        found |= {joined(part.prefix, name): tensors[source] for name, source in best.items()}
        taken.update(best.values())
    return found | {name: value for name, value in tensors.items() if name not in taken and name not in found}


class _Fitting:
    """The tensors that a part needs, and those of a file with the right size for it."""

    def __init__(self, part: Part, tensors: Mapping[str, Tensor]) -> None:
        start = f"{part.prefix}." if part.prefix else ""
        self.part, self.tensors = part, tensors
        self.ours = {theirs.removeprefix(start): ours for ours, theirs in pairs(part) if theirs is not None}
        self.sizes = {joined(part.path, name): value.shape for name, value in part.module.state_dict().items()}

    def kept(self, named: _Named) -> _Named:
        """The tensors whose name is one of the part's and whose size matches."""
        return {name: source for name, source in named.items() if name in self.ours and self._fits(name, source)}

    def _fits(self, name: str, source: str) -> bool:
        ours = self.ours[name]
        try:
            size: tuple[int, ...] = converted(self.part, ours, self.tensors[source]).shape
        except (RuntimeError, ValueError, IndexError):
            return False
        return bool(size == self.sizes[ours])


def _readings(fitting: _Fitting) -> Iterator[_Named]:
    """Every possible reading of the file for a part."""
    for start in _models(fitting.tensors):
        inside = {name.removeprefix(start): name for name in fitting.tensors if name.startswith(start)}
        flat = {name: source for name, source in inside.items() if name.count(".") == 1}
        yield flat
        yield _recounted(fitting, flat)
        yield _ordered(flat, fitting.part.release.ordered)


def _models(names: Iterable[str]) -> list[str]:
    """The name prefixes of the model and of nested models, '' first."""
    return sorted({"", *(f"{name.rsplit('.', 2)[0]}." for name in names if name.count(".") > 1)})


def _counted(name: str) -> tuple[str, int, str]:
    """conv2d_7.kernel as conv2d, 7, kernel; a name without a number is the first."""
    layer, _, variable = name.rpartition(".")
    match = _COUNTED.fullmatch(layer)
    assert match is not None
    return match[1], int(match[2] or 0), variable


def _recounted(fitting: _Fitting, flat: _Named) -> _Named:
    """With the counters of each kind shifted so that most layers fit; in a tie, to the smallest number."""
    kinds = {name.partition("_0.")[0] for name in fitting.ours if "_0." in name}
    found = {name: source for name, source in flat.items() if _counted(name)[0] not in kinds}
    for kind in kinds:
        here = {_counted(name)[1:]: source for name, source in flat.items() if _counted(name)[0] == kind}
        moved: list[_Named] = [fitting.kept({f"{kind}_{number - first}.{variable}": source
                               for (number, variable), source in here.items() if number >= first})
                 for first in sorted({number for number, _ in here})]
        most: _Named = {}
        for names in moved:
            most = names if len(names) > len(most) else most
        found |= most
    return found


def _ordered(flat: _Named, ordered: Mapping[str, Sequence[str]]) -> _Named:
    """With layers that are only numbered named by their position within their kind."""
    found: _Named = {}
    for name, source in flat.items():
        kind, number, variable = _counted(name)
        if number < len(ordered.get(kind, ())):
            found[f"{ordered[kind][number]}.{variable}"] = source
    return found

"""How a component corresponds to its authors' code: the recorded case and the name mapping that a plugin declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

class Recorded(Protocol):
    """A recorded case of the authors' code: its results, to be reproduced."""

    name: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, Tensor]
    """Every array of the file, by its name there."""
    rest: Mapping[str, Tensor]
    """The parameters of the authors' code without a counterpart in the component, by their names there."""

    def drawn(self, key: str, shape: Sequence[int]) -> Tensor:
        """Standard-normal numbers that a key determines, such as the noise of a pass; cases do not store them."""
        ...


@dataclass(frozen=True)
class Release:
    """How a component corresponds to its authors' code (the release): names, layouts, settings and results.

    `names` maps prefixes of our parameter names to prefixes of the release's; `{i}` matches any one part between
    dots, '' everything, and the longest match wins. If it depends on the options, it is a function of them.
    `layout(name, tensor)` converts a tensor of the release to that of our parameter `name`.
    `unused` are prefixes of the release's names that do not affect any of its results, `own` those of ours that it
    does not have and that keep their initial values, `options` the settings with which the component reproduces the
    release, and `read(shapes, meta)` returns the options that follow from the shapes of the release's tensors, by
    name, and the metadata of a case.
    `sizes(inputs, meta)` returns the sizes of our inputs, without the batch axis, if a case's own inputs differ from
    what our ports take; a `replay` then arranges them.
    `ordered` lists the release's layer names by kind, in the order of its network, for files that number
    layers by kind instead of naming them: {'conv2d': (...)}.
    `taps` maps a result of or inside the release to the path of our submodule that gives it, '' for the whole module.
    `replay(module, inputs, case)` returns the release's results by name, if `forward` does not return exactly these.

    Of files that others wrote: `strip` are prefixes that names may have in front, of which the longest is removed once;
    `rename` are whole parts between dots that other versions spell differently, {'mlp.fc1': 'mlp.linear1'}; `same` maps
    prefixes of names, with `{i}` as in `names`, to a second name of the same tensor.
    """

    names: Mapping[str, str] | Callable[[Any], Mapping[str, str]]
    layout: Callable[[str, Tensor], Tensor] | None = None
    unused: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[Mapping[str, Sequence[int]], Mapping[str, Any]], Mapping[str, Any]] | None = None
    sizes: Callable[[Sequence[Sequence[int]], Mapping[str, Any]], Sequence[Sequence[int]]] | None = None
    ordered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    taps: Mapping[str, str] = field(default_factory=dict)
    replay: Callable[[Any, Sequence[Tensor], Recorded], Mapping[str, Tensor]] | None = None
    strip: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)

    def plain(self, name: str) -> str:
        """A name of a file as `names` has it: without what `strip` removes, spelt as in `rename`."""
        longest = max((prefix for prefix in self.strip if name.startswith(prefix)), key=len, default="")
        dotted = f".{name[len(longest):]}."
        for theirs, ours in self.rename.items():
            dotted = dotted.replace(f".{theirs}.", f".{ours}.")
        return dotted[1:-1]

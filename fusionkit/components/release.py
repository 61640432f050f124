"""How a component corresponds to published code: the recorded case and the name mapping that a plugin declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

class Recorded(Protocol):
    """A recorded case of a release: numbers that it computed, to be computed again."""

    name: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, Tensor]
    """Every array of the file, by its name there."""
    rest: Mapping[str, Tensor]
    """The release's own parameters that belong to no parameter of the component, by their names there."""


@dataclass(frozen=True)
class Release:
    """How a component corresponds to its authors' release: names, layouts, settings and results.

    `names` maps how a parameter's name begins here to how it begins there; `{i}` stands for any one part between
    dots, '' for the whole, and of several that fit the longest counts. Where it depends on the options, it is a
    function of them. `layout(name, tensor)` turns a tensor of the release into that of our parameter `name`.
    `unused` are beginnings of the release's names on which none of its results depends, `own` those of ours that it
    does not have and that stay as constructed, `options` the settings under which the component computes what the
    release does, and `read(shapes, meta)` the options that follow from the shapes of the release's tensors, by name,
    and what a case says of itself.
    `sizes(inputs, meta)` gives the sizes of our inputs, without the batch axis, where a case's own inputs are not
    what our ports take; a `replay` then arranges them.
    `ordered` gives the release's names of layers by their kind, in the order of its network, for files that number
    layers by kind and do not name them: {'conv2d': (...)}.
    `taps` maps a result of or inside the release to the path of our submodule that gives it, '' the whole module.
    `replay(module, inputs, case)` gives the release's results by name, where `forward` does not give just these.
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

"""The training method that settings name, with its options checked where they are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fusionkit.components.training import Training, TrainingMethod
from fusionkit.errors import Diagnostic, Span, UserError, did_you_mean
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Leaf, Mapping, Tree
from fusionkit.syntax.typed_components import TypedList, parse_components

if TYPE_CHECKING:
    from fusionkit.components.config import Config
    from fusionkit.registry.lookup import Registry

NONE = "none"
_PREFIX = f"{Training.kind}."


@dataclass(frozen=True, eq=False)
class ChosenMethod:
    """A training method with its options."""

    declared: Training
    config: Config

    def create(self) -> TrainingMethod:
        """The method for one training, which has no state yet."""
        made: TrainingMethod = self.declared.module(self.config)
        return made


def method_named(method: str, tree: Tree | None, registry: Registry) -> ChosenMethod | None:
    """The method of the setting `method`, None for `none`; `tree` is what a graph file says, if it is from there.

    Raises: UserError with `bad-method`, `unknown-method`, or the errors of the options and the package, each at its
    place in the file or the flag.
    """
    if method == NONE:
        return None
    if isinstance(tree, Mapping):
        use, options = tree.get("use"), tree.get("with")
        named = str(use.value) if isinstance(use, Leaf) else ""
        return _chosen(named if named.startswith(_PREFIX) else _PREFIX + named,
                       options if isinstance(options, Mapping) else None, registry, use.span if use else tree.span)
    listed = TypedList("--method" if tree is None else "method", "bad-method", "training method",
                       "ogm, or training.ogm{alpha: 0.5}", Training.kind)
    specs, found = parse_components(method, listed)
    if not found and len(specs) > 1:
        found = [Diagnostic("bad-method", "there are several training methods", specs[1].span,
                            why="a training has one", fix="choose one")]
    if found:
        raise UserError([each if tree is None else replace(each, span=tree.span) for each in found])
    return _chosen(specs[0].use, specs[0].options, registry, specs[0].span if tree is None else tree.span)


def _chosen(use: str, options: Mapping | None, registry: Registry, span: Span) -> ChosenMethod:
    known = [name for name in registry.ids if name.startswith(_PREFIX)]
    if use not in known and registry.known_for(use) is None:
        names = [NONE, *(name.removeprefix(_PREFIX) for name in known)]
        raise UserError(Diagnostic("unknown-method", f"there is no training method {use.removeprefix(_PREFIX)!r}", span,
                                   fix=did_you_mean(use.removeprefix(_PREFIX), names)))
    declared = registry.load(use, span, of=Training)
    config, faults = check_options(declared.config, options, use, span)
    if config is None:
        raise UserError(faults)
    return ChosenMethod(declared, config)

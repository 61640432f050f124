"""The section `augment` of a data file: by which transforms training cases are changed, and which inputs move alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, ValidationError

from fusionkit.components.config import Config
from fusionkit.components.transform import Transform
from fusionkit.data.fields import DataFieldReader, shown
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.readers.bag import POSITIONS
from fusionkit.errors import Diagnostic, Span, UserError, did_you_mean
from fusionkit.registry.named import Chosen, component_named
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree, find, to_plain

if TYPE_CHECKING:
    from fusionkit.registry.lookup import Registry

TOGETHER, SWAP, MIXUP = "together", "swap", "mixup"
OWN = (TOGETHER, SWAP, MIXUP)
"""The keys of the section that are no inputs."""
_FIX = "write for example 'ct: {rotate: [15, 5, 5], noise: {chance: 0.2}}', or the name of a preset"


class MixupOptions(Config):
    """How training cases are joined in pairs."""

    alpha: PositiveFloat = Field(0.2, le=10, description="Both parameters of the beta distribution of the shares.")
    chance: float = Field(0.5, ge=0, le=1, description="Probability that a case is joined with another in an epoch.")


@dataclass(frozen=True)
class Augmentation:
    """What is changed: the transforms of each input by its name, in their order, and the inputs that move alike.

    `swap` has two values by column that change places where a case is mirrored left for right.
    """

    inputs: AbstractMapping[str, tuple[Chosen[Transform], ...]] = field(default_factory=dict)
    together: tuple[tuple[str, ...], ...] = ()
    swap: AbstractMapping[str, tuple[str, str]] = field(default_factory=dict)
    mixup: MixupOptions | None = None

    def group(self, name: str) -> tuple[str, ...]:
        """The inputs that move as this one does, itself among them."""
        return next((group for group in self.together if name in group), (name,))

    def groups(self) -> list[tuple[str, ...]]:
        """The inputs that move alike, each once."""
        return list(dict.fromkeys(self.group(name) for name in self.inputs))

    def moving(self, group: Sequence[str]) -> tuple[Chosen[Transform], ...]:
        """The transforms in space of a group: those of the first input that has any."""
        every = ([chosen for chosen in self.inputs.get(name, ()) if chosen.declared.acts == "space"] for name in group)
        return tuple(next(filter(None, every), ()))

    def told(self, read: Collection[str], unplaced: Collection[str],
             alike: AbstractMapping[str, bool] = MappingProxyType({})) -> list[str]:
        """What it does, a line for each input that is read.

        `unplaced` are those whose files do not tell the size of a voxel; `alike` says of bags whether their items are
        changed alike, or each by itself.
        """
        lines = []
        for name in dict.fromkeys((*self.inputs, *(each for group in self.together for each in group))):
            if name not in read:
                continue
            group = self.group(name)
            moving = self.moving(group)
            own = [each for each in self.inputs.get(name, ()) if each.declared.acts != "space"]
            words = [_said(each) for each in (*moving, *own)] or ["nothing"]
            others = [other for other in group if other != name and other in read]
            notes = [f"moves with {' and '.join(others)}"] if moving and others else []
            notes += ["all slices alike" if alike[name] else "each item by itself"] if name in alike else []
            notes += ["a voxel counts as 1 mm, since the files do not tell"] if moving and name in unplaced else []
            lines.append(f"augment {name}: {', '.join(words)}" + "".join(f"; {note}" for note in notes))
        if self.mixup is not None:
            lines.append(f"augment: {self.mixup.chance:.0%} of the cases of an epoch are joined with another (mixup)")
        return lines

    def to_plain(self) -> dict[str, Any]:
        """Everything that decides the changes, written out in full."""
        plain = {name: {chosen.declared.name: chosen.config.model_dump(mode="json") for chosen in several}
                 for name, several in self.inputs.items()}
        swap = {column: list(pair) for column, pair in self.swap.items()}
        return plain | ({TOGETHER: [list(group) for group in self.together]} if self.together else {}) | (
            {SWAP: swap} if swap else {}) | ({MIXUP: self.mixup.model_dump(mode="json")} if self.mixup else {})


def _said(chosen: Chosen[Transform]) -> str:
    """A transform with its main option and its chance."""
    options = chosen.config.model_dump(mode="json")
    main = options.get(chosen.declared.short) if chosen.declared.short != "chance" else None
    values = [f"{each:.3g}" for each in (main if isinstance(main, list) else [main])] if main is not None else []
    chance = options["chance"]
    return " ".join([chosen.declared.name, *(["..".join(values) if len(values) < 3 else "/".join(values)] if values
                                             else []), *([f"({chance:.0%})"] if chance < 1 else [])])


def read_augmentation(form: DataFieldReader, inputs: AbstractMapping[str, InputSpec], registry: Registry
                      ) -> Augmentation | None:
    """The section of a data file, None without one; every error is added to the form's."""
    tree = form.tree.get("augment")
    if tree is None:
        return None
    if not isinstance(tree, Mapping):
        form.note("bad-value", f"'augment' must be a mapping from input to transforms, not {shown(tree)}", tree.span,
                  fix=_FIX)
        return None
    found, together = {}, _together(form, tree.get(TOGETHER), inputs)
    for name, part in tree.items():
        if name not in OWN and _known(form, name, tree.keys[name], inputs):
            found[name] = _InputReader(form, name, registry, cells=not inputs[name].source.files).read(part)
    made = Augmentation(found, together, _swap(form, tree.get(SWAP)), _mixup(form, tree.get(MIXUP)))
    for group in together:
        _check_alike(form, made, group, tree.get(TOGETHER) or tree)
    return made


def _known(form: DataFieldReader, name: str, span: Span, inputs: AbstractMapping[str, InputSpec], *,
           in_space: bool = False) -> bool:
    if name not in inputs:
        form.note("unknown-name", f"'augment' names {name!r}, which is no input", span,
                  fix=did_you_mean(name, inputs, f"the inputs are {', '.join(inputs)}"))
    elif inputs[name].source.gives != "array" or inputs[name].source is POSITIONS:
        what = "positions" if inputs[name].source is POSITIONS else inputs[name].source.gives
        form.note("bad-value", f"'augment' names {name!r}, which is {what}", span,
                  why="images, volumes and the cells of a table can be changed", fix="remove it")
    elif in_space and not inputs[name].source.files:
        form.note("bad-value", f"{TOGETHER!r} names {name!r}, which is read from columns", span,
                  why="images and volumes can move", fix="remove it")
    elif in_space and inputs[name].bag is not None:
        form.note("bad-value", f"{TOGETHER!r} names {name!r}, which has several items for a case", span,
                  why="items of two inputs are not known to belong together",
                  fix="remove it; slices of one volume move alike by themselves")
    else:
        return True
    return False


def _together(form: DataFieldReader, tree: Tree | None, inputs: AbstractMapping[str, InputSpec]
              ) -> tuple[tuple[str, ...], ...]:
    if tree is None:
        return ()
    groups = [to_plain(group) for group in tree] if isinstance(tree, Items) else []
    if not groups or any(not isinstance(group, list) or len(group) < 2 for group in groups):
        form.note("bad-value", f"{TOGETHER!r} must be a list of lists of inputs, not {shown(tree)}", tree.span,
                  fix=f"write '{TOGETHER}: [[ct, pet]]'")
        return ()
    assert isinstance(tree, Items)
    seen: set[str] = set()
    for group, place in zip(groups, tree, strict=True):
        for name, item in zip(group, place if isinstance(place, Items) else (), strict=False):
            if _known(form, str(name), item.span, inputs, in_space=True) and name in seen:
                form.note("bad-value", f"{TOGETHER!r} has {name!r} twice", item.span,
                          fix="an input moves with one group; remove it from the other")
            seen.add(str(name))
    return tuple(tuple(map(str, group)) for group in groups)


def _mixup(form: DataFieldReader, tree: Tree | None) -> MixupOptions | None:
    if tree is None or (isinstance(tree, Leaf) and tree.value in (False, None, "off")):
        return None
    if isinstance(tree, Leaf) and tree.value is True:
        return MixupOptions.model_validate({})
    fix = f"write '{MIXUP}: {{alpha: 0.2, chance: 0.5}}'"
    if not isinstance(tree, Mapping):
        form.note("bad-value", f"{MIXUP!r} must be a mapping of options, not {shown(tree)}", tree.span, fix=fix)
        return None
    try:
        return MixupOptions.model_validate(to_plain(tree))
    except ValidationError as problem:
        for error in problem.errors(include_url=False):
            key = str(error["loc"][0]) if error["loc"] else ""
            form.note("bad-option", f"option {key!r} of {MIXUP!r} is not accepted", find(tree, (key,)),
                      why=str(error["msg"]), fix=fix)
        return None


def _swap(form: DataFieldReader, tree: Tree | None) -> dict[str, tuple[str, str]]:
    if tree is None:
        return {}
    found = to_plain(tree) if isinstance(tree, Mapping) else {}
    pairs = {column: tuple(map(str, pair)) for column, pair in found.items()
             if isinstance(pair, list) and len(pair) == 2 and pair[0] != pair[1]}
    if not pairs or len(pairs) < len(found):
        form.note("bad-value", f"{SWAP!r} must be a mapping from column to two values, not {shown(tree)}", tree.span,
                  fix=f"write '{SWAP}: {{side: [left, right]}}'")
        return {}
    return {column: (pair[0], pair[1]) for column, pair in pairs.items()}


def _check_alike(form: DataFieldReader, made: Augmentation, group: Sequence[str], tree: Tree) -> None:
    """Inputs that move together have one set of transforms in space."""
    ways = {name: tuple((chosen.declared.id, chosen.config) for chosen in several)
            for name in group if (several := made.moving([name]))}
    different = [name for name, way in ways.items() if way != next(iter(ways.values()))]
    if different:
        first = next(iter(ways))
        form.note("bad-value", f"{first!r} and {different[0]!r} move together, but by different transforms", tree.span,
                  why=f"{first!r} has {_listed(ways[first])}, {different[0]!r} {_listed(ways[different[0]])}",
                  fix="write those in space on one of them, or alike on both")


def _listed(way: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(f"{id} {config.model_dump(mode='json')}" for id, config in way)


class _InputReader:
    """Reads the transforms of one input."""

    def __init__(self, form: DataFieldReader, name: str, registry: Registry, *, cells: bool) -> None:
        self.form, self.name, self.registry, self.cells = form, name, registry, cells

    def read(self, tree: Tree) -> tuple[Chosen[Transform], ...]:
        """The transforms in their order: those of the preset first."""
        if isinstance(tree, Leaf) and isinstance(tree.value, str):
            tree = Mapping({"preset": tree}, {"preset": tree.span}, tree.span)
        if not isinstance(tree, Mapping):
            self._refuse(f"'augment' of {self.name!r} must name transforms or a preset, not {shown(tree)}", tree.span)
            return ()
        preset, taken = self._preset(tree)
        chance = tree.get("chance")
        written = {key: part for key, part in tree.items() if key not in (*taken, "preset", "chance")}
        found = []
        for name in dict.fromkeys((*preset, *written)):
            base = {option: _leaf(value, tree.span) for option, value in preset.get(name, {}).items()}
            if chance is not None:
                base["chance"] = chance
            made = self._transform(name, base, written.get(name), tree)
            found += [made] if made is not None else []
        return tuple(found)

    def _preset(self, tree: Mapping) -> tuple[AbstractMapping[str, AbstractMapping[str, Any]], Collection[str]]:
        """The options of the transforms of the preset, if one is named, and the keys that are its own options."""
        named = tree.get("preset")
        if named is None:
            return {}, ()
        if not isinstance(named, Leaf) or not isinstance(named.value, str):
            self._refuse(f"'preset' of {self.name!r} must be a name, not {shown(named)}", named.span)
            return {}, ()
        try:
            declared = self.registry.load(f"transform.{named.value}", named.span, of=Transform)
            if declared.acts != "preset":
                self._refuse(f"{declared.id} is no preset", named.span,
                             f"write '{self.name}: {{{named.value}: {{...}}}}' for a single transform")
                return {}, ()
            own = {key: part for key, part in tree.items() if key in declared.config.model_fields}
            keys = {key: tree.keys[key] for key in own}
            chosen = component_named(declared.id, Mapping(own, keys, tree.span), self.registry, named.span, Transform)
        except UserError as error:
            self.form.found.extend(error.diagnostics)
            return {}, ()
        return chosen.declared.module(chosen.config), tuple(own)

    def _transform(self, name: str, base: dict[str, Tree], written: Tree | None, tree: Mapping
                   ) -> Chosen[Transform] | None:
        """One transform with the preset's options and those that are written; None if it is turned off."""
        span = tree.keys.get(name, tree.span)
        if isinstance(written, Leaf) and written.value in (False, None, "off"):
            return None
        try:
            declared = self.registry.load(f"transform.{name}", span, of=Transform)
            if declared.acts == "preset":
                self._refuse(f"{declared.id} is a preset", span, f"write '{self.name}: {{preset: {name}}}'")
                return None
            if (declared.acts == "cells") != self.cells:
                self._refuse_kind(declared.id, span)
                return None
            if isinstance(written, Mapping):
                options = Mapping({**base, **written.entries}, written.keys, written.span)
            elif written is None or (isinstance(written, Leaf) and written.value is True):
                options = Mapping(base, {}, span)
            elif declared.short:
                options = Mapping({**base, declared.short: written}, {declared.short: written.span}, written.span)
            else:
                self._refuse(f"the options of {declared.id} must be a mapping, not {shown(written)}", written.span)
                return None
            return component_named(declared.id, options, self.registry, span, Transform)
        except UserError as error:
            self.form.found.extend(error.diagnostics)
            return None

    def _refuse_kind(self, id: str, span: Span) -> None:
        """A transform of images on columns, or the other way round."""
        images, cells = "images and volumes", "cells of tables"
        changes, read = (images, "columns") if self.cells else (cells, "files")
        fix = "'jitter', 'blank' and 'corrupt' change cells" if self.cells else "'rotate', 'noise' and others do"
        self._refuse(f"{id} changes {changes}, and {self.name!r} is read from {read}", span, fix)

    def _refuse(self, message: str, span: Span, fix: str = _FIX) -> None:
        self.form.found.append(Diagnostic("bad-value", message, span, fix=fix))


def _leaf(value: Any, span: Span) -> Tree:
    """A plain value of a preset as a tree, located where the preset is named."""
    if isinstance(value, list | tuple):
        return Items(tuple(_leaf(item, span) for item in value), span)
    return Leaf(value, span, str(value))

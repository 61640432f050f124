"""A component as the value of an option: which ones are taken, their shapes, and the modules that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from pydantic import Field
from pydantic_core import core_schema

from fusionkit.components.config import ComponentError, Config
from fusionkit.components.failures import listed
from fusionkit.components.kinds import COMPONENT_USE
from fusionkit.shapes.layouts import Bundle, Shape, TensorShape, shape_of
from fusionkit.shapes.rule import Binding, Mismatch, given_back, result_shape

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from torch import nn

    from fusionkit.components.component import Absent, Component

KINDS, ABSENT = "component_kinds", "component_absent"
"""Keys in the JSON schema of an option that takes components: of which kinds, and with which absence semantics."""
_BATCH = 3
"""Cases in a trial run; more than one, so that a lost batch axis is noticed."""


@dataclass(frozen=True, repr=False)
class Inner:
    """A component with its options as the value of an option: `{use: fusion.gmu, with: {width: 16}}`, or the bare id.

    A module makes it in its constructor, for the shapes that it gives it, and assigns it to an attribute as any other
    module: `self.fusion = config.fusion.module(shapes)`. It calls it as the component's declaration says; `absent` is
    what that does with missing inputs.

    `component` and `config` are None until the component was looked up, which planning does; `Inner.of` needs no
    look-up.
    """

    use: str
    options: Mapping[str, Any] = field(default_factory=dict)
    component: Component | None = field(default=None, compare=False)
    config: Config | None = field(default=None, compare=False)
    # The shapes that trial runs gave, by those of the inputs; a copy with other options begins without any.
    _seen: dict[tuple[TensorShape, ...], Shape] = field(init=False, default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, component: Component, **options: Any) -> Self:
        """A component at hand, with options: for tests, and in networks built in Python.

        Raises: pydantic.ValidationError for wrong options.
        """
        return cls(component.id, options, component, component.config.model_validate(options))

    def __repr__(self) -> str:
        # As one types it: messages and tables show the values of options.
        return self.use + (f"{{{', '.join(f'{name}: {value}' for name, value in self.options.items())}}}"
                           if self.options else "")

    @property
    def absent(self) -> Absent:
        """What the component does with missing inputs, such as `drop`: then its module takes the keyword `present`."""
        return self._found[0].absent

    @property
    def _found(self) -> tuple[Component, Config]:
        if self.component is None or self.config is None:
            raise ComponentError(f"{self.use} was not looked up", fix="in Python, give Inner.of(component, ...)")
        return self.component, self.config

    def output(self, inputs: Sequence[TensorShape]) -> Shape:
        """The shape that the component gives for inputs of these shapes, in the order of its ports.

        Raises: ComponentError if it cannot read them.
        """
        bound = self._bound(inputs)
        shape: Shape | None = self._guarded(
            lambda component, config: component.output(config, inputs) if component.output else
            result_shape(bound, dict(config)))
        if shape is None:
            return self._tried(inputs)
        if bound.alternative.result != "same":
            return shape
        ports = enumerate((port for port, _, _ in bound.inputs), start=1)
        return given_back(shape, [port.name if port.name and not port.variadic else f"f{place}"
                                  for place, port in ports])

    def module(self, inputs: Sequence[TensorShape]) -> nn.Module:
        """The component's module for inputs of these shapes, with weights of its own at every call.

        Raises: ComponentError if it cannot read them, or refuses its options.
        """
        self._bound(inputs)
        module: nn.Module = self._guarded(lambda component, config: component.module(config, list(inputs)))
        return module

    def _guarded(self, work: Callable[[Component, Config], Any]) -> Any:
        try:
            return work(*self._found)
        except ComponentError as error:
            raise ComponentError(f"{self.use}: {error}", error.why, error.fix) from error

    def _bound(self, inputs: Sequence[TensorShape]) -> Binding:
        component, config = self._found
        named = [(f"input {place}", shape) for place, shape in enumerate(inputs, start=1)]
        bound = component.parsed.bind(named, dict(config))
        if isinstance(bound, Mismatch):
            raise ComponentError(f"{self.use} cannot read {listed(named)}",
                                 f"{bound.why}; the rule is '{component.parsed}'", bound.fix)
        return bound

    def _tried(self, inputs: Sequence[TensorShape]) -> Shape:
        """The shape of the actual output, by a run on the meta device; a tuple has the named outputs f1, f2, ..."""
        import torch

        known = self._seen.get(tuple(inputs))
        if known is not None:
            return known
        with torch.device("meta"), torch.no_grad():
            given = self.module(inputs).eval()(*[torch.zeros(_BATCH, *shape.sizes) for shape in inputs])
        seen: Shape = shape_of(tuple(given.shape[1:])) if isinstance(given, torch.Tensor) else Bundle(tuple(
            (f"f{place}", shape_of(tuple(part.shape[1:]))) for place, part in enumerate(given, 1)))
        self._seen[tuple(inputs)] = seen
        return seen

    def as_data(self) -> dict[str, Any]:
        """As a graph states it; once it was looked up, with every option."""
        options = dict(self.options) if self.config is None else self.config.model_dump(mode="json")
        return {"use": self.use, "with": options} if options else {"use": self.use}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(cls.as_data))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        return {}  # `inner` says what it takes; schemas for editors list these components


def _read(value: Any) -> Inner:
    """A component as a graph states it.

    Raises: ValueError, which the options class shows as one of this option.
    """
    if isinstance(value, Inner):
        return value
    example = "a component, {use: kind.name, with: {option: value}} or kind.name"
    data = {"use": value} if isinstance(value, str) else value
    if not isinstance(data, Mapping) or not isinstance(data.get("use"), str):
        raise ValueError(f"it must be {example}")
    strange = sorted(str(key) for key in data if key not in ("use", "with"))
    if strange:
        raise ValueError(f"it has the key {strange[0]!r}; it must be {example}")
    options = data.get("with")
    if not COMPONENT_USE.fullmatch(data["use"]):
        raise ValueError(f"{data['use']!r} is not the id of a component; it must be {example}")
    if options is not None and not isinstance(options, Mapping):
        raise ValueError("'with' must be a mapping from option to value")
    return Inner(data["use"], dict(options or {}))


def inner(*kinds: str, description: str, default: str | None = None, absent: Sequence[Absent] = ()) -> Any:
    """The field of an option that takes a component of some kinds: `fusion: Inner = inner("fusion", description=...)`.

    With `list[Inner]` it takes several. `default` is the id of one that needs no options; without it the option is
    required. `absent` are the absence semantics that the owner can deal with, without it all.
    """
    extra: Any = {KINDS: list(kinds), **({ABSENT: list(absent)} if absent else {})}
    if default is None:
        return Field(description=description, json_schema_extra=extra)
    return Field(Inner(default), description=description, json_schema_extra=extra)


@dataclass(frozen=True)
class Place:
    """One component in options: the option's name, its position in a list or None, and what the option takes."""

    option: str
    position: int | None
    value: Inner
    kinds: tuple[str, ...]
    absent: tuple[str, ...]


def places_in(config: Config) -> Iterator[Place]:
    """Every component in options, one level deep."""
    for name, about in type(config).model_fields.items():
        taken = takes(about)
        if taken is None:
            continue
        value = getattr(config, name)
        several = value if isinstance(value, list | tuple) else [value]
        yield from (Place(name, place if several is value else None, each, *taken)
                    for place, each in enumerate(several) if isinstance(each, Inner))


def takes(about: FieldInfo) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The kinds and the absence semantics of the components that an option takes; None if it takes none."""
    extra = about.json_schema_extra
    if not isinstance(extra, dict) or KINDS not in extra:
        return None
    return tuple(extra[KINDS]), tuple(extra.get(ABSENT, ()))  # type: ignore[arg-type]  # as `inner` wrote them


def with_parts(config: Config, parts: Mapping[tuple[str, int | None], Inner]) -> Config:
    """The options with other components at some places."""
    changed: dict[str, Any] = {}
    for (name, position), value in parts.items():
        if position is None:
            changed[name] = value
        else:
            several = changed.setdefault(name, list(getattr(config, name)))
            several[position] = value
    return config.model_copy(update=changed) if changed else config


def inside(config: Config) -> Iterator[Inner]:
    """Every component in options, at any depth."""
    for place in places_in(config):
        yield place.value
        if place.value.config is not None:
            yield from inside(place.value.config)


@runtime_checkable
class Fetching(Protocol):
    """The value of an option from which a component reads its weights."""

    def without_fetching(self) -> Self:
        """The value from which none are read."""


def without_fetching(config: Config) -> Config:
    """The options with which no weights are read, also in components inside: a file will set them.

    `pretrained` is turned off, and a folder of weights only describes its network.
    """
    parts = {(place.option, place.position): replace(place.value, config=without_fetching(place.value.config))
             for place in places_in(config) if place.value.config is not None}
    off: dict[str, Any] = {"pretrained": False} if getattr(config, "pretrained", False) else {}
    fetching = {name: getattr(config, name) for name in type(config).model_fields}
    off |= {name: value.without_fetching() for name, value in fetching.items() if isinstance(value, Fetching)}
    made = with_parts(config, parts)
    return made.model_copy(update=off) if off else made

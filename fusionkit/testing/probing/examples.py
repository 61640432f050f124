"""An example of a component in use: required options, inputs that it takes, its cost, and a graph with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fusionkit.components.component import Component
from fusionkit.components.config import ComponentError
from fusionkit.components.declaration import Declaration
from fusionkit.components.kinds import KIND_TABLE
from fusionkit.components.transform import Transform
from fusionkit.network.measure import probe
from fusionkit.planning.plan import Call
from fusionkit.shapes.layouts import Bundle, Shape, TensorShape, features_of, is_loss, members, shape_of, stated
from fusionkit.shapes.rule import Mismatch, Named, Port, given_back, result_shape
from fusionkit.syntax.typed_components import typed_form
from fusionkit.syntax.writer import write
from fusionkit.testing.probing.options import Choice, NoExampleError, choices
from fusionkit.testing.probing.sizes import layouts

_NODES = {"encoder": "encoded", "fusion": "fused", "head": "result"}
_CHANNELS = (1, 3)
_GRIDS = {"image": (128, 128), "volume": (64, 64, 64)}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


@dataclass(frozen=True)
class Example:
    """A component as a graph uses it, with required options only.

    `inputs` and `outputs` are shapes by name, `parameters` the numbers in its weights, `multiply_adds` the work of
    one case, `losses` its auxiliary losses. Where no inputs could be guessed, these are empty and
    `problem` says why.
    """

    component: Declaration
    options: Mapping[str, Any]
    sources: Any = None
    inputs: Mapping[str, TensorShape] = field(default_factory=dict)
    outputs: Mapping[str, TensorShape] = field(default_factory=dict)
    parameters: int = 0
    multiply_adds: int = 0
    losses: tuple[str, ...] = ()
    problem: str = ""

    @property
    def part(self) -> dict[str, Any]:
        """What to paste into a graph or data file: a node by its name, or the setting that names the component."""
        kind = KIND_TABLE[self.component.kind]
        if kind.by_command or kind.by_head or self.shown_only:
            return {}  # no file names it
        options = {"with": dict(self.options)} if self.options else {}
        if KIND_TABLE[self.component.kind].in_data:
            return {self.setting: {"scan": self._named}}
        path = self.setting.split(".")
        if path != [""]:
            written: Any = {"use": self.component.id} | options
            for key in reversed(path):
                written = {key: written}
            return dict(written)
        return {_NODES[self.component.kind]: {"use": self.component.id, "from": self.sources} | options}

    @property
    def _named(self) -> dict[str, Any]:
        """What an input of a data file names the component by."""
        if not isinstance(self.component, Transform):
            return {"read": self.component.name, **self.options}
        return {"preset": self.component.name, **self.options} if self.component.acts == "preset" else {
            self.component.name: dict(self.options)}

    @property
    def shown_only(self) -> bool:
        """Whether it is a metric that is shown and selects no epoch."""
        return not getattr(self.component, "monitor", True)

    @property
    def setting(self) -> str:
        """Where a file or command names the component, '' for one that is a node."""
        return KIND_TABLE[self.component.kind].setting

    @property
    def snippet(self) -> str:
        """The text of `part`, or the command or the declaration that names the component."""
        if KIND_TABLE[self.component.kind].by_head:
            return f'Head(..., task="{self.component.name}")'
        if self.shown_only:
            return f"fusionkit evaluate RUN --metric {typed_form(self.component.name, dict(self.options))}"
        if KIND_TABLE[self.component.kind].by_command:
            named = typed_form(self.component.name, dict(self.options))
            return f"fusionkit {self.setting} " + (f'"{named}"' if self.options else named)
        return write(self.part, width=1000).strip()

    def graph(self) -> dict[str, Any]:
        """A whole graph around the component, from the inputs of the example to a head.

        A map or tokens are pooled for the head; of several results it reads the first.
        """
        inputs = self.inputs or {"x": shape_of((5,))}
        graph: dict[str, Any] = {"fusionkit": 1, "inputs": {name: stated(shape) for name, shape in inputs.items()},
                                 "nodes": {}}
        last, shape = next(iter(inputs.items()))
        if self.setting and not KIND_TABLE[self.component.kind].in_graph:
            pass
        elif self.setting:
            graph |= self.part
        else:
            graph["nodes"] |= self.part
            (node,), (member, shape) = self.part, next(iter(self.outputs.items()), ("", shape))
            last = f"{node}.{member}" if member else node
        if self.component.kind == "head":
            return graph
        if shape.layout != "vector":
            graph["nodes"]["pooled"] = {"use": "encoder.pool", "from": last}
            last = "pooled"
        graph["nodes"]["result"] = {"use": "head.regress", "from": last, "with": {"values": ["value"]}}
        return graph

    def as_json(self) -> dict[str, Any]:
        """The example as plain data."""
        inputs, outputs = ([{"name": name, "layout": shape.layout, "sizes": list(shape.sizes)}
                            for name, shape in group.items()] for group in (self.inputs, self.outputs))
        return {"options": dict(self.options), "inputs": inputs, "outputs": outputs, "parameters": self.parameters,
                "multiply_adds": self.multiply_adds, "problem": self.problem}


def example_of(component: Declaration, sizes: Mapping[str, Sequence[int]] | None = None) -> Example:
    """The first of the kit's inputs that the component takes with default options.

    `sizes`, by layout, are tried in place of the kit's own first: {'vector': (64,)}.
    """
    sources = _sources(component.parsed.ports) if isinstance(component, Component) and component.rule else None
    try:
        choice = choices(component, _recommended(component))[0]
    except NoExampleError as error:
        return Example(component, _needed(component), sources, problem=str(error))
    if not isinstance(component, Component) or KIND_TABLE[component.kind].setting:
        return Example(component, choice.written)
    problem = "its rule leaves no sizes to try"
    for shapes in _candidates(component, choice, sizes or {}):
        try:
            return _tried(component, choice, shapes)
        except Exception as error:  # a plugin may raise anything
            problem = str(error).strip().partition("\n")[0] or type(error).__name__
    return Example(component, choice.written, sources, problem=problem)


def needed_options(component: Component) -> dict[str, Any]:
    """The required options of a component with values that it takes; none is tried on an input."""
    try:
        return dict(choices(component, _recommended(component))[0].written)
    except NoExampleError:
        return _needed(component)


def _recommended(component: Declaration) -> dict[str, Any]:
    """The first example of each required option: what users see, where the kit may probe with something smaller."""
    return {name: field.examples[0] for name, field in component.config.model_fields.items()
            if field.is_required() and field.examples}


def _candidates(component: Component, choice: Choice, sizes: Mapping[str, Sequence[int]]
                ) -> Iterator[Sequence[TensorShape]]:
    """The requested sizes, then the kit's, then the same layouts with the channels of images: grey or colour."""
    tried = [shapes for layout in layouts(component, choice) for shapes in layout.sizes[0]]
    yield from dict.fromkeys(tuple(shape_of(tuple(sizes[shape.layout])) for shape in shapes) for shapes in tried
                             if all(shape.layout in sizes for shape in shapes))
    yield from tried
    for channels in _CHANNELS:
        yield from dict.fromkeys(tuple(_picture(shape, channels) for shape in shapes) for shapes in tried)


def _picture(shape: TensorShape, channels: int) -> TensorShape:
    grid = _GRIDS.get(shape.layout)
    return shape_of((channels, *grid)) if grid else shape


def _tried(component: Component, choice: Choice, shapes: Sequence[TensorShape]) -> Example:
    """The example with these inputs, after building and running the component once on the meta device."""
    sources, names = _sources(component.parsed.ports, len(shapes)), _names(component.parsed.ports, len(shapes))
    named = tuple(zip(names, shapes, strict=True))
    output = _output(component, choice, named)
    seen = probe(Call(component, choice.config, named, output or Bundle(())))
    if output is None:
        given = [shape_of(sizes[1:]) for sizes in seen.shapes]
        output = given[0] if seen.single else Bundle(tuple((f"f{i}", shape) for i, shape in enumerate(given, 1)))
    outputs = dict(features_of(output)) or dict(members(output))
    losses = tuple(name for name, _ in members(output) if is_loss(name))
    return Example(component, choice.written, sources, dict(named), outputs, seen.parameters, seen.multiply_adds,
                   losses)


def _output(component: Component, choice: Choice, named: Sequence[Named]) -> Shape | None:
    """The declared outputs of the component, with the names that a graph gives them."""
    options = dict(choice.config)
    bound = component.parsed.bind(named, options)
    if isinstance(bound, Mismatch):
        raise ComponentError(bound.why)
    if component.output:
        return component.output(choice.config, [shape for _, shape in named])
    output = result_shape(bound, options)
    if bound.alternative.result == "same" and output is not None:
        return given_back(output, [name if port.variadic or not port.name else port.name
                                   for port, name, _ in bound.inputs])
    return output


def _names(ports: Sequence[Port], count: int) -> list[str]:
    """A name for each input: that of its port, and ordinals where one port takes several."""
    if len(ports) == 1 and not ports[0].variadic:
        return [ports[0].name or "x"]
    fixed = [port.name or "x" for port in ports if not port.variadic]
    free = [name for name in _ORDINALS if name not in fixed]
    return [*fixed, *free[:count - len(fixed)]]


def _sources(ports: Sequence[Port], count: int = 2) -> Any:
    """The value of `from:`."""
    names = _names(ports, max(count, len(ports)))
    if len(names) == 1:
        return names[0]
    return names if ports[-1].variadic or not ports[0].name else dict(zip(names, names, strict=True))


def _needed(component: Declaration) -> dict[str, Any]:
    return {name: "..." for name, option in component.config.model_fields.items() if option.is_required()}

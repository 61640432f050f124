"""Whole well-typed graphs: every installed component, 2 to 30 nodes, one to four inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fusionkit.components.component import Component
from fusionkit.components.kinds import NODE_KINDS
from fusionkit.shapes.layouts import MaskedTokens, Scalar, TensorShape, features_of, masked_shape
from fusionkit.shapes.rule import Binding, Port
from fusionkit.testing.random_graphs.adapters import adapted
from fusionkit.testing.random_graphs.draft import ComponentUse, Draft, Stream, follow, lane_names, plain
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.inputs import MOST_INPUTS, bind, one_form, port_shapes, written_out
from fusionkit.testing.random_graphs.menu import Menu
from fusionkit.testing.random_graphs.options import options_of
from fusionkit.testing.random_graphs.sizes import LARGEST, shapes

MOST_NODES = 30
_SIZES = ((2, 5), (2, 8), (3, 10), (8, 24))
_TRIES = 12


@dataclass(frozen=True)
class _Feed:
    """The source of one input of a component: an existing tensor, or a new input; steps that make it fit."""

    stream: Stream
    fitted: Stream
    steps: tuple[ComponentUse, ...] = ()
    new: bool = False


def graphs(menu: Menu | None = None, *, using: str | None = None, most_nodes: int = MOST_NODES,
           optional: bool = False, masked: bool = False) -> SearchStrategy[DrawnGraph]:
    """Graphs of everything on the menu, by default all installed components.

    `using` names a component that every graph has; with `optional` every graph has an optional input, with `masked`
    one of masked tokens.
    """
    return _graphs(menu or Menu(), using, most_nodes, optional=optional, masked=masked)


@st.composite
def _graphs(draw: DrawFn, menu: Menu, using: str | None, most_nodes: int, *, optional: bool, masked: bool
            ) -> DrawnGraph:
    size = draw(st.integers(*draw(st.sampled_from([pair for pair in _SIZES if pair[1] <= most_nodes] or [(2, 2)]))))
    drawing = _Drawing(draw, menu, optional, masked)
    every = menu.of_kind(*NODE_KINDS)
    taking = [name for name in every if menu.component(name).masked] if masked else []
    first = using or draw(st.sampled_from(taking if taking and drawing.sometimes(2) else every))
    if not first.startswith("uncertainty.") and not drawing.insist(first, _TRIES if using else _TRIES // 2) and using:
        reject()
    drawing.grow(size)
    drawing.finish(most_nodes)
    data: dict[str, Any] = {"fusionkit": 1, "inputs": drawing.draft.inputs, "nodes": drawing.draft.nodes}
    methods = [using] if using and using.startswith("uncertainty.") else menu.of_kind("uncertainty")
    if methods and (using in methods or drawing.sometimes(3)):
        method = draw(st.sampled_from(methods))
        options = draw(options_of(menu.component(method), menu.values.get(method)))
        data["uncertainty"] = {"use": method} | ({"with": options} if options else {})
    return DrawnGraph(data, menu.registry, compact=draw(st.booleans()))


class _Drawing:
    """Adds nodes to a draft, each a component on the menu whose rule takes existing tensors."""

    def __init__(self, draw: DrawFn, menu: Menu, optional: bool, masked: bool) -> None:
        self.draw = draw
        self.menu = menu
        self.draft = Draft(menu)
        shape = draw(shapes(("tokens",)) if masked else shapes())
        if shape.layout == "tokens" and (masked or self.sometimes(2)):
            shape = MaskedTokens(shape.sizes, (self.draft.input_name(),))
        self.draft.add_input(shape, optional or self.sometimes(3))

    def sometimes(self, times: int) -> bool:
        """True with probability of about 1 in `times`; a counterexample shrinks to False."""
        return self.draw(st.integers(1, times)) == times

    def insist(self, name: str, tries: int) -> bool:
        """Place a component, with new inputs of increasing size."""
        return any(self.place(name, scale=attempt * (LARGEST + 1) // tries, least=attempt % 2 == 1)
                   for attempt in range(tries))

    def grow(self, size: int) -> None:
        """Place components until the graph, with a head for each loose end, has about this many nodes."""
        for _ in range(2 * size):
            if len(self.draft.nodes) + len(self.draft.loose()) >= size:
                return
            self.place(self.draw(st.sampled_from(self.menu.of_kind(*NODE_KINDS))))

    def finish(self, most_nodes: int) -> None:
        """Connect every loose end to a head: some through fusions, each of the others to a separate one."""
        fusions, heads = self.menu.of_kind("fusion"), self.menu.of_kind("head")
        while loose := self.draft.loose():
            room = len(self.draft.nodes) + 2 * len(loose) < most_nodes
            joined = room and len(loose) > 1 and fusions and not self.sometimes(4)
            if joined and self.place(self.draw(st.sampled_from(fusions))):
                continue
            if not (room and heads and self.place(self.draw(st.sampled_from(heads)), only=loose[0])):
                self._plain_head(loose[0])

    def _plain_head(self, owner: str) -> None:
        stream = next(stream for stream in self.draft.streams if stream.owner == owner)
        head: ComponentUse = ("head.regress", {"values": ["y"]})
        steps: list[ComponentUse] = [head] if stream.shape.layout == "vector" else [("encoder.pool", {}), head]
        lane = follow(self.menu, steps, [stream], self.menu.limits)
        assert lane is not None, f"no head takes {stream}; please report"
        self.draft.add_node(steps, [lane], stream.reference)

    def place(self, name: str, scale: int | None = None, only: str | None = None, least: bool = False) -> bool:
        """Add a node with a component if possible; `only` names the input or node that it has to read."""
        component = self.menu.component(name)
        step: ComponentUse = (name, self.draw(options_of(component, self.menu.values.get(name), least)))
        free = (only, scale) == (None, None)
        form = self.draw(st.sampled_from(("ports", "ports", "bundle", "each"))) if free else "ports"
        if form == "each" and len(component.parsed.ports) == 1 and component.kind != "head" and self._each(step):
            return True
        if form == "bundle" and self._bundle(step):
            return True
        options = dict(component.config.model_validate(step[1]))
        feeds = self._feeds(component, options, scale, only)
        return feeds is not None and self._on_ports(component, step, feeds)

    def _on_ports(self, component: Component, step: ComponentUse, feeds: Sequence[_Feed]) -> bool:
        fitted = [feed.fitted for feed in feeds]
        if follow(self.menu, [step], fitted, self.draft.left) is None:
            return False
        if len(feeds) == 1 and feeds[0].steps and self.draw(st.booleans()):
            streams, steps = [self._there(feeds[0])], [*feeds[0].steps, step]
        else:
            streams, steps = [self._ready(feed) for feed in feeds], [step]
        steps = self._tail(steps, [streams])
        lane = follow(self.menu, steps, streams, self.draft.left)
        if lane is None or not self.draft.has_distinct_names(steps, [lane]):
            return False
        self.draft.add_node(steps, [lane], self._source(component, streams, steps[0] == step), **self._keys(steps))
        return True

    def _source(self, component: Component, streams: Sequence[Stream], own_ports: bool) -> Any:
        """The value of `from`; sometimes by port, where the ports have names."""
        ports = written_out(component.parsed.alternatives[0], len(streams))[: len(streams)]
        if own_ports and ports[0].name and self.draw(st.booleans()):
            by_port: dict[str, list[str]] = {}
            for port, stream in zip(ports, streams, strict=True):
                by_port.setdefault(str(port.name), []).append(stream.reference)
            order = self.draw(st.permutations(list(by_port)))
            return plain(streams, {port: by_port[port] for port in order})
        written = plain(streams)
        return [written] if isinstance(written, str) and self.sometimes(4) else written

    def _bundle(self, step: ComponentUse) -> bool:
        """Read all outputs of a node, by its bare name."""
        bundles = self.draft.bundles()
        if not bundles:
            return False
        group = self.draw(st.sampled_from(bundles))
        steps = self._tail([step], [group])
        lane = follow(self.menu, steps, group, self.draft.left)
        if lane is None or not self.draft.has_distinct_names(steps, [lane]):
            return False
        self.draft.add_node(steps, [lane], group[0].owner, **self._keys(steps))
        return True

    def _each(self, step: ComponentUse) -> bool:
        """One module for each of several tensors, or a shared one for tensors of equal shape."""
        whole = self.draft.bundles() if self.sometimes(2) else []
        if whole:
            chosen = self.draw(st.sampled_from(whole))
        else:
            count = self.draw(st.integers(1, 3))
            chosen = self.draw(st.permutations(self.draft.streams))[:count]
        share = self.draw(st.booleans())
        if share:
            chosen = [stream for stream in chosen if self.menu.shares(*step, chosen[0].shape, stream.shape)]
        if not chosen:
            return False
        alike = not share or len({stream.shape for stream in chosen}) == 1
        steps = self._tail([step], [[stream] for stream in chosen], heads=False) if alike else [step]
        lanes, left = [], self.draft.left
        for stream in chosen:
            lane = follow(self.menu, steps, [stream], left)
            if lane is None:
                return False
            for trial in lane.trials:
                left = left.less(trial.cost)
            lanes.append(lane)
        names = lane_names(chosen)
        entire = len(chosen) > 1 and bool(whole) and names is not None and chosen in whole
        source: Any = chosen[0].owner if entire and self.draw(st.booleans()) else plain(chosen)
        if names is None or self.sometimes(4):
            names = [f"part{place}" for place in range(1, len(chosen) + 1)]
            source = {name: stream.reference for name, stream in zip(names, chosen, strict=True)}
        named = [replace(lane, name=name) for lane, name in zip(lanes, names, strict=True)]
        if not self.draft.has_distinct_names(steps, named):
            return False
        self.draft.add_node(steps, named, source, each=True, **({"share": True} if share else {}),
                            **self._keys(steps))
        return True

    def _tail(self, steps: Sequence[ComponentUse], groups: Sequence[Sequence[Stream]],
              heads: bool = True) -> list[ComponentUse]:
        """The steps, and sometimes further ones in a chain, as long as every group of tensors fits."""
        longer = list(steps)
        kinds = NODE_KINDS if heads else ("encoder", "fusion")
        choice = self.menu.of_kind(*kinds)
        while choice and not longer[-1][0].startswith("head.") and len(longer) < 4 and self.sometimes(4):
            name = self.draw(st.sampled_from(choice))
            step = (name, self.draw(options_of(self.menu.component(name), self.menu.values.get(name))))
            if any(follow(self.menu, [*longer, step], group, self.draft.left) is None for group in groups):
                break
            longer.append(step)
        return longer

    def _keys(self, steps: Sequence[ComponentUse]) -> dict[str, Any]:
        """Keys that do not affect shapes."""
        keys: dict[str, Any] = {"freeze": True} if self.sometimes(8) else {}
        if not keys and self.sometimes(6):
            keys["rate"] = self.draw(st.sampled_from((0.5, 0.01, 3)))
        if "freeze" not in keys and self.sometimes(6):
            keys["unfreeze"] = self.draw(st.sampled_from((2, 3, 1)))
        if steps[-1][0].startswith("head.") and self.sometimes(4):
            keys["loss"] = self.draw(st.sampled_from((0.3, 2, 0)))
        return keys

    def _feeds(self, component: Component, options: Mapping[str, Any], scale: int | None,
               only: str | None) -> list[_Feed] | None:
        """Sources for every port of one alternative of the rule."""
        alternative = self.draw(st.sampled_from(component.parsed.alternatives))
        written = written_out(alternative, 1 if only else self.draw(st.sampled_from((2, 3, 1, 4))))
        ports = [self.draw(one_form(port)) for port in written]
        feeds: list[_Feed] = []
        for place in range(len(ports)):
            owner = only if place == 0 else None
            feed = self._feed(component, ports[: place + 1], feeds, options, scale, only=owner)
            if feed is None:
                return None
            feeds.append(feed)
        return feeds

    def _feed(self, component: Component, ports: list[Port], before: Sequence[_Feed], options: Mapping[str, Any],
              scale: int | None, *, only: str | None) -> _Feed | None:
        """One tensor for the last of the ports; loose ends first."""
        shapes_before = [feed.fitted.shape for feed in before]
        known = bind(ports[:-1], shapes_before, options)
        if not isinstance(known, Binding):
            return None
        used = {feed.stream.reference for feed in before}
        again = bool(used) and self.sometimes(12)
        found = [feed for stream in self.draft.streams
                 if (only or stream.owner) == stream.owner and (again or stream.reference not in used)
                 and (feed := self._fit(component, stream, ports, shapes_before, known, options=options))]
        loose = set(self.draft.loose())
        groups = [[feed for feed in found if (feed.stream.owner in loose) is is_loose and bool(feed.steps) is changed]
                  for is_loose in (True, False) for changed in (False, True)]
        ways = [group for group in groups if group]
        nothing = Stream("", "", Scalar(()), False)
        new = [_Feed(nothing, nothing, new=True)]
        fresh = len(self.draft.inputs) + sum(feed.new for feed in before) < MOST_INPUTS and only is None
        if fresh and (scale is not None or not ways or self.sometimes(3)):
            ways = [new]
        if not ways:
            return None
        feed = self.draw(st.sampled_from(self.draw(st.sampled_from(ways))))
        if not feed.new:
            return feed
        made = self._new_input(component, ports[-1], known, options, scale)
        last = ports[-1]
        first = (last.axes or ())[0]
        tied = first.kind == "name" and str(first.value) in known.sizes
        if not (last.of_items or last.layout or (first.masked and not tied and self.sometimes(2))):
            return made
        name = self.draft.input_name(sum(feed.new for feed in before))
        stream = replace(made.stream, shape=masked_shape(made.stream.shape.sizes, (name,), last.layout))
        return _Feed(stream, stream, new=True)

    def _fit(self, component: Component, stream: Stream, ports: Sequence[Port], before: Sequence[TensorShape],
             known: Binding, *, options: Mapping[str, Any]) -> _Feed | None:
        """A tensor, with adapting steps if it does not fit."""
        steps = adapted(self.menu, component, stream, ports[-1], known, options=options)
        if steps is None:
            return None
        lane = follow(self.menu, steps, [stream], self.draft.left) if steps else None
        if steps and lane is None:
            return None
        shape = features_of(lane.output)[0][1] if lane else stream.shape
        if not isinstance(bind(ports, [*before, shape], options), Binding):
            return None
        filled = any(self.menu.component(use).absent == "fill" for use, _ in steps)
        return _Feed(stream, replace(stream, shape=shape, optional=stream.optional and not filled), tuple(steps))

    def _new_input(self, component: Component, port: Port, known: Binding, options: Mapping[str, Any],
                   scale: int | None) -> _Feed:
        shape = self.draw(port_shapes(port, known, options, scale))
        stream = Stream("", "", shape, component.absent != "none" and self.sometimes(3))
        return _Feed(stream, stream, new=True)

    def _there(self, feed: _Feed) -> Stream:
        """The tensor of a feed, before its steps."""
        return self.draft.add_input(feed.stream.shape, feed.stream.optional) if feed.new else feed.stream

    def _ready(self, feed: _Feed) -> Stream:
        """The tensor of a feed, after adding its steps as a node."""
        stream = self._there(feed)
        if not feed.steps:
            return stream
        lane = follow(self.menu, feed.steps, [stream], self.menu.limits)
        assert lane is not None, f"{feed} was tried before; please report"
        return self.draft.add_node(feed.steps, [lane], stream.reference)[0]

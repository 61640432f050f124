"""Remembers what running a component on the meta device has shown, for who plans one graph after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from fusionkit.components.component import Component
from fusionkit.network.measure import Measurement, measure, probe, shape_seen
from fusionkit.planning.plan import Call, Plan
from fusionkit.planning.resolve import Use, declared_output
from fusionkit.shapes.layouts import Bundle, Shape, TensorShape

MOST = 2048
"""How many results are kept; the oldest unused ones go first. One takes a few hundred bytes."""


class PlanningMemo:
    """The results of probes by component, options and shapes: `witness` for `infer`, and `measure`, without repetition.

    Keep one as long as the components stay the same: a component is known by its identity, and files that its options
    name are taken not to change. Not for several threads.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[Component, Measurement]] = OrderedDict()
        self._computed: OrderedDict[Hashable, tuple[Component, Shape]] = OrderedDict()

    def witness(self, use: Use, shapes: Sequence[TensorShape]) -> Shape:
        """The shape of a component's actual output, as `network.measure.witness` gives it."""
        given = tuple(("", shape) for shape in shapes)
        return shape_seen(self.probe(Call(use.component, use.config, given, Bundle(()))))

    def output(self, use: Use, shapes: Sequence[TensorShape]) -> Shape:
        """The shape that a component computes itself, as `declared_output` gives it; one that raised is asked again."""
        key = (id(use.component), use.config.model_dump_json(), tuple(shapes))
        known = self._computed.get(key)
        if known is None:
            known = self._computed[key] = (use.component, declared_output(use, shapes))
            if len(self._computed) > MOST:
                self._computed.popitem(last=False)
        self._computed.move_to_end(key)
        return known[1]

    def measure(self, plan: Plan) -> Plan:
        """The plan with the cost of every node; raises what `network.measure.measure` raises."""
        return measure(plan, self.probe)

    def probe(self, call: Call, path: str = "probe", on: Sequence[TensorShape] | None = None) -> Measurement:
        """The result of `network.measure.probe`; one that raised is tried again."""
        shapes = call.shapes if on is None else on
        key = (id(call.component), call.config.model_dump_json(), tuple(call.shapes), tuple(shapes))
        known = self._known.get(key)
        if known is None:
            # The component is kept too, so that its id stays its own.
            known = self._known[key] = (call.component, probe(call, path, on))
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known[1]

"""Every installed component: graphs that have it, its options, and inputs that its rule does not take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import DRAWN, MENU, few

from fusionkit.components.kinds import NODE_KINDS
from fusionkit.shapes.rule import Binding
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.graphs import graphs
from fusionkit.testing.random_graphs.inputs import accepted, takes_all
from fusionkit.testing.random_graphs.options import options_of
from fusionkit.testing.random_graphs.properties import plan_is_true, refused_in_place
from fusionkit.testing.random_graphs.wrong import WrongGraph, violations

IDS = MENU.ids
WITH_RULE = MENU.of_kind(*NODE_KINDS)


@pytest.mark.parametrize("name", IDS)
def test_graphs_are_drawn_that_have_it(name: str):
    @few(1)
    @given(graphs(MENU, using=name, most_nodes=4))
    def prove(graph: DrawnGraph) -> None:
        DRAWN.note("component", graph)
        assert name in graph.uses
        plan_is_true(graph)

    prove()


@pytest.mark.parametrize("name", WITH_RULE)
def test_drawn_inputs_fit_its_rule(name: str):
    component = MENU.component(name)

    @few(5)
    @given(st.data())
    def prove(data: st.DataObject) -> None:
        options = dict(component.config.model_validate(data.draw(options_of(component, MENU.values.get(name)))))
        shapes = data.draw(accepted(component, options))
        bound = component.parsed.bind([(f"x{number}", shape) for number, shape in enumerate(shapes)], options)
        assert isinstance(bound, Binding)

    prove()


@pytest.mark.parametrize("name", [name for name in WITH_RULE if not takes_all(MENU.component(name))])
def test_an_input_that_its_rule_does_not_take_is_refused_in_its_place(name: str):
    @few(2)
    @given(violations(name, MENU))
    def prove(wrong: WrongGraph) -> None:
        DRAWN.note("violation")
        refused_in_place(wrong)

    prove()

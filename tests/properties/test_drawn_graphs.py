"""Properties of graphs composed from every installed component; docs/properties.md says what is proven."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import nesting_components
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import DRAWN, MENU, ROUNDS, drawn

from fusionkit.testing.random_graphs import learning, properties, step_division, training
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.graphs import graphs
from fusionkit.testing.random_graphs.step_division import comparing

ANY = graphs(MENU, using=ROUNDS.using)
SMALL = graphs(MENU, using=ROUNDS.using, most_nodes=8)
MASKED = graphs(MENU, using=ROUNDS.using, masked=True)
OPTIONAL = graphs(MENU, using=ROUNDS.using, optional=True)
NESTED = st.one_of(*[graphs(MENU, using=ROUNDS.using or component.id, most_nodes=8)
                     for component in nesting_components.COMPONENTS])
WITH_LOSSES = st.one_of(*[graphs(MENU, using=ROUNDS.using or name, most_nodes=10)
                          for name in ("fusion.infonce", "fusion.orthogonal", "fusion.jensen_shannon")])
STEPPED = st.sampled_from(comparing(MENU.registry, MENU.ids)).flatmap(
    lambda name: graphs(MENU, using=name, most_nodes=8))
NAMES = st.permutations([f"{stem}{number}" for number, stem in enumerate(["a", "z_", "N", "ct", "b_", "x0_"] * 12)])


@drawn(14)
@given(ANY)
def test_the_plan_says_what_the_network_does(graph: DrawnGraph):
    DRAWN.note("plan", graph)
    properties.plan_is_true(graph)


@drawn(5)
@given(ANY, st.randoms(use_true_random=False))
def test_the_order_of_lines_is_free(graph: DrawnGraph, chance: random.Random):
    DRAWN.note("order", graph)
    properties.order_is_free(graph, lambda items: chance.sample(items, len(items)))


@drawn(5)
@given(ANY, NAMES)
def test_names_are_free(graph: DrawnGraph, names: list[str]):
    DRAWN.note("names", graph)
    properties.names_are_free(graph, names)


@drawn(5)
@given(ANY, st.data())
def test_a_branch_changes_nothing_beside_it(graph: DrawnGraph, data: st.DataObject):
    DRAWN.note("branch", graph)
    properties.branches_are_apart(graph, data.draw(st.sampled_from(list(graph.data["inputs"]))))


@drawn(12)
@given(ANY)
def test_every_weight_learns(graph: DrawnGraph):
    DRAWN.note("learning", graph)
    learning.it_learns(graph)


@drawn(11)
@given(OPTIONAL, st.integers(0, 99))
def test_what_is_absent_is_unread(graph: DrawnGraph, seed: int):
    DRAWN.note("absence", graph)
    learning.absence_is_unread(graph, seed)


@drawn(11)
@given(MASKED, st.integers(0, 99))
def test_padding_is_unread(graph: DrawnGraph, seed: int):
    DRAWN.note("padding", graph)
    learning.padding_is_unread(graph, seed)


@drawn(6)
@given(STEPPED, st.integers(0, 99))
def test_a_step_is_whole_however_it_is_divided(graph: DrawnGraph, seed: int):
    DRAWN.note("steps", graph)
    step_division.steps_are_whole(graph, seed)


@drawn(5)
@given(ANY)
def test_predictions_are_sound(graph: DrawnGraph):
    DRAWN.note("prediction", graph)
    learning.it_predicts(graph)


@drawn(4)
@given(ANY)
def test_a_copy_is_a_network_of_its_own(graph: DrawnGraph):
    DRAWN.note("copies", graph)
    properties.copies_are_apart(graph)


@drawn(4)
@given(ANY)
def test_a_saved_network_is_the_same_network(graph: DrawnGraph):
    DRAWN.note("saving", graph)
    with tempfile.TemporaryDirectory() as folder:
        properties.saving_keeps(graph, Path(folder))


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.10 loads its own archives so
@drawn(3)
@given(SMALL)
def test_an_exported_network_is_the_same_network(graph: DrawnGraph):
    DRAWN.note("export", graph)
    properties.export_keeps(graph)


@drawn(5)
@given(SMALL)
def test_nodes_learn_in_their_epochs_and_a_resumed_run_is_the_same(graph: DrawnGraph):
    DRAWN.note("runs", graph)
    with tempfile.TemporaryDirectory() as folder:
        training.it_learns_by_node(graph, Path(folder))


@drawn(5)
@given(st.one_of(ANY, WITH_LOSSES))
def test_a_stage_is_a_part_of_the_network(graph: DrawnGraph):
    DRAWN.note("stages", graph)
    training.its_stage_is_a_part(graph)


@drawn(5)
@given(NESTED, st.randoms(use_true_random=False))
def test_components_in_components_are_as_others(graph: DrawnGraph, chance: random.Random):
    DRAWN.note("nesting", graph)
    properties.plan_is_true(graph)
    properties.order_is_free(graph, lambda items: chance.sample(items, len(items)))
    learning.it_learns(graph)
    with tempfile.TemporaryDirectory() as folder:
        properties.saving_keeps(graph, Path(folder))

"""What the property of learning excuses: weights that reach a loss through votes alone, names of saved weights."""

from __future__ import annotations

from fusionkit.network.build import build_plan, plan
from fusionkit.testing.random_graphs.learning import _still_after_a_step, without_slope

SCORES = {"use": "encoder.project", "with": {"width": 3}}
HEAD = {"use": "head.regress", "with": {"values": ["a"]}}


def cut(**nodes: dict) -> set[str]:
    return without_slope(plan({"fusionkit": 1, "inputs": {"x": {"vector": [5]}, "y": {"vector": [7]}}, "nodes": nodes}))


def test_what_only_votes_read_has_no_slope():
    assert cut(first={**SCORES, "from": "x"}, second={"chain": ["encoder.mlp", SCORES], "from": "y"},
               votes={"use": "fusion.late_vote", "from": ["first", "second"]},
               last={"chain": [SCORES], "from": "votes"}, result={**HEAD, "from": "last"}) == {
                   "first", "second.0", "second.1"}


def test_what_a_head_reads_beside_the_votes_has_one():
    assert cut(first={**SCORES, "from": "x"}, second={**SCORES, "from": "y"},
               votes={"use": "fusion.late_vote", "from": ["first", "second"]},
               alone={**HEAD, "from": "first"}, result={**HEAD, "from": "votes"}) == {"second"}


def test_one_module_for_several_tensors_has_one_where_any_of_them_has():
    shared = {**SCORES, "from": ["x", "z"], "each": True, "share": True}
    nodes = {"both": shared, "votes": {"use": "fusion.late_vote", "from": ["both.x", "both.z"]},
             "alone": {**HEAD, "from": "both.z"}, "result": {**HEAD, "from": "votes"}}
    made = plan({"fusionkit": 1, "inputs": {"x": {"vector": [5]}, "z": {"vector": [5]}}, "nodes": nodes})
    assert without_slope(made) == set()


def test_weights_may_be_saved_under_other_names():
    network = build_plan(plan({"fusionkit": 1, "inputs": {"x": {"vector": [5]}}, "nodes": {
        "first": {**SCORES, "from": "x"}, "result": {**HEAD, "from": "first"}}}))

    def renamed(module, state, prefix, metadata):
        for name in [name for name in state if name.startswith(f"{prefix}first.")]:
            state[name.replace("first.", "first.release.", 1)] = state.pop(name)

    network.register_state_dict_post_hook(renamed)
    assert any(name.startswith("first.release.") for name in network.state_dict())
    assert _still_after_a_step(network, 0) == set()

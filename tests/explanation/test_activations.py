"""Features and gates of all cases, means over them, and what t-SNE makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusionkit_plugins.explanations.tsne import LEAST, embed, perplexity_of, why_not
from made_networks import Cases, network

from fusionkit.errors import RunError
from fusionkit.explanation.activations import features_of, gates_of
from fusionkit.explanation.case_means import means
from fusionkit.explanation.feature_maps import Survey
from fusionkit.inference.predict import Settings

KIND = {"use": "head.classify", "from": "joined", "with": {"classes": ["a", "b"]}}
OPTIONAL = {name: {"vector": [3], "optional": True} for name in ("left", "middle", "right")}
SETTINGS = Settings(batch_size=3)


@pytest.mark.parametrize("options", [
    {"use": "fusion.gmu", "with": {"width": 5}}, {"use": "fusion.weighted_sum"},
    {"use": "fusion.weighted_sum", "with": {"groups": 3}},
    {"use": "fusion.weighted_sum", "with": {"groups": "features"}},
])
def test_gates_add_up_to_one_over_what_is_there(options: dict[str, object]) -> None:
    model = network(OPTIONAL, {"joined": {"from": list(OPTIONAL), **options}, "kind": KIND})
    with torch.no_grad():
        for parameter in model.get_submodule("joined").parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    gone = torch.tensor([True, False, True, True, False, True, True])
    (gates,) = gates_of(Survey(model), Cases(model, present={"left": gone}), SETTINGS)
    assert gates.inputs == ("left", "middle", "right")
    assert gates.values.shape == (7, 3)
    np.testing.assert_allclose(gates.values.sum(1), 1, atol=1e-6)
    assert (gates.values[~gone.numpy(), 0] == 0).all()
    assert (gates.there[:, 0] == gone.numpy()).all()
    assert len(np.unique(gates.values[0].round(6))) == 3


def test_gates_are_those_of_the_fusion_at_work() -> None:
    model = network(OPTIONAL, {"joined": {"use": "fusion.gmu", "from": ["left", "middle"], "with": {"width": 5}},
                               "kind": KIND, "other": {**KIND, "from": "right"}})
    cases = Cases(model)
    (gates,) = gates_of(Survey(model), cases, SETTINGS)
    with torch.no_grad():
        wanted = model.get_submodule("joined").gates([cases.inputs["left"], cases.inputs["middle"]]).mean(2)
    np.testing.assert_allclose(gates.values, wanted.numpy(), atol=1e-6)


def test_gates_of_a_wrong_shape_are_the_fault_of_their_component() -> None:
    model = network(OPTIONAL, {"joined": {"use": "fusion.wrong_gates", "from": list(OPTIONAL)}, "kind": KIND})
    with pytest.raises(RunError, match=r"gates of fusion.wrong_gates are \(3,\); .* \(3, 3, ...\)"):
        gates_of(Survey(model), Cases(model), SETTINGS)


def test_features_are_means_over_positions() -> None:
    model = network({"scan": {"image": [1, 5, 7]}, "words": {"tokens": [11, 3], "optional": True}}, {
        "seen": {"use": "encoder.conv", "from": "scan", "with": {"widths": [2], "output": "map"}},
        "small": {"use": "encoder.pool", "from": "seen"}, "said": {"use": "encoder.mlp", "from": "words",
                                                                   "with": {"width": 5}},
        "told": {"use": "encoder.pool", "from": "said"}, "joined": {"use": "fusion.concat", "from": ["small", "told"]},
        "kind": KIND})
    gone = torch.tensor([True, False, True, True, False, True, True])
    cases = Cases(model, present={"words": gone})
    values = [value for node in model.plan.nodes for value in node.features if value.name in ("seen", "said", "small")]
    features = features_of(Survey(model), cases, values, SETTINGS)
    with torch.no_grad():
        maps = model.get_submodule("seen")(cases.inputs["scan"])
        tokens = model.get_submodule("said")(cases.inputs["words"])
    np.testing.assert_allclose(features["seen"].values, maps.mean((2, 3)).numpy(), atol=1e-6)
    np.testing.assert_allclose(features["small"].values, features["seen"].values, atol=1e-6)
    np.testing.assert_allclose(features["said"].values[gone.numpy()], tokens.mean(1).numpy()[gone.numpy()], atol=1e-6)
    assert (features["said"].there == gone.numpy()).all()


def test_means_have_intervals_over_patients() -> None:
    values = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, np.nan]])
    there = np.array([[True, True], [True, True], [True, True], [True, False]])
    whole, part = means(values, there, None)
    assert (whole.value, part.value) == (3.0, 3.0)
    assert whole.low is not None and whole.high is not None
    assert 0 <= whole.low < 3 < whole.high <= 6
    one, _ = means(values, there, ["same"] * 4)
    assert one.low is None and "one patient" in str(one.note)
    (none,) = means(values[:, :1], np.zeros(4, dtype=bool), None)
    assert none.value is None


def test_a_picture_keeps_groups_together_and_is_the_same_again() -> None:
    generator = np.random.default_rng(0)
    features = np.concatenate([generator.normal(size=(8, 5)), generator.normal(size=(8, 5)) + 40])
    points = embed(features, seed=3)
    assert points.shape == (16, 2)
    np.testing.assert_array_equal(points, embed(features, seed=3))
    centres = points[:8].mean(0), points[8:].mean(0)
    reach = max(np.linalg.norm(part - centre, axis=1).max() for part, centre in zip(np.split(points, 2), centres,
                                                                                    strict=True))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * reach


def test_what_cannot_be_drawn_is_said() -> None:
    assert "too few" in str(why_not(np.zeros((LEAST - 1, 3))))
    assert "same features" in str(why_not(np.ones((LEAST, 3))))
    assert "not finite" in str(why_not(np.full((LEAST, 3), np.nan)))
    fine = np.random.default_rng(0).normal(size=(LEAST, 1))
    assert why_not(fine) is None
    assert embed(fine).shape == (LEAST, 2)
    assert perplexity_of(LEAST) == 3
    assert perplexity_of(1000) == 30

"""Grad-CAM against maps worked out by hand, through every kind of place, and enlarged to where it belongs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.explanations.gradcam import grad_cam
from made_networks import network
from torch import Tensor

from fusionkit.explanation.feature_maps import FeatureMap, Survey
from fusionkit.network.model import FusionModel

HEAD = {"use": "head.classify", "with": {"classes": ["a", "b", "c"]}}


def weighing(inputs: dict[str, Any], **node: Any) -> FusionModel:
    """A network whose only map is a 1x1 convolution and a ReLU: class k = sum_c head[k, c] mean(map_c)."""
    model = network(inputs, {"seen": {"use": "encoder.weighing", "from": next(iter(inputs)), **node},
                             "kind": {**HEAD, "from": "seen"}})
    with torch.no_grad():
        model.get_parameter("seen.map.weight").copy_(torch.tensor([[1.0], [-2.0]]).reshape(
            model.get_parameter("seen.map.weight").shape))
        model.head("kind").layers[1].weight.copy_(torch.tensor([[3.0, 1.0], [-1.0, 0.5], [0.0, -4.0]]))
    return model


def at(survey: Survey, name: str) -> FeatureMap:
    found = survey.at(name)
    assert isinstance(found, list)
    return found[0]


def by_hand(image: Tensor, head: tuple[float, float]) -> Tensor:
    """relu(sum_c w_c map_c), w_c = head_c / positions, the map being relu(x), relu(-2 x)."""
    maps = torch.stack([image.relu(), (-2 * image).relu()])
    weights = torch.tensor(head) / image.numel()
    return torch.einsum("c,c...->...", weights, maps).relu()


@pytest.mark.parametrize("sizes", [(5, 7), (3, 5, 7)])
@pytest.mark.parametrize(("column", "head"), [(0, (3.0, 1.0)), (1, (-1.0, 0.5)), (2, (0.0, -4.0))])
def test_a_linear_network_has_the_map_that_the_equation_gives(
    sizes: tuple[int, ...], column: int, head: tuple[float, float]
) -> None:
    layout = "image" if len(sizes) == 2 else "volume"
    model = weighing({"scan": {layout: [1, *sizes]}})
    image = torch.randn(1, 1, *sizes, generator=torch.Generator().manual_seed(3))
    survey = Survey(model)
    (place,) = survey.maps()[0]
    assert place.name == "seen.act"
    found = grad_cam(survey, place, "kind", column, {"scan": image}, present={"scan": torch.tensor([True])}, size=sizes)
    assert found is not None
    torch.testing.assert_close(torch.from_numpy(found).float(), by_hand(image[0, 0], head))


def test_what_runs_in_place_behind_a_map_does_not_change_it() -> None:
    """The convolution's own output, before the ReLU that overwrites it: gradients only where the ReLU lets them."""
    model = weighing({"scan": {"image": [1, 5, 7]}})
    image = torch.randn(1, 1, 5, 7, generator=torch.Generator().manual_seed(3))
    survey = Survey(model)
    found = grad_cam(survey, at(survey, "seen.map"), "kind", 0, {"scan": image}, present={}, size=(5, 7))
    plain = torch.stack([image[0, 0], -2 * image[0, 0]])
    weights = torch.tensor([3.0, 1.0]) / 35 * (plain > 0).float().mean((1, 2))
    assert found is not None
    torch.testing.assert_close(torch.from_numpy(found).float(), torch.einsum("c,chw->hw", weights, plain).relu())


def test_frozen_encoders_have_the_same_map() -> None:
    image = {"scan": torch.randn(1, 1, 5, 7)}
    found = []
    for freeze in (False, True):
        survey = Survey(weighing({"scan": {"image": [1, 5, 7]}}, freeze=freeze))
        assert survey.model.get_parameter("seen.map.weight").requires_grad is not freeze
        made = grad_cam(survey, survey.maps()[0][0], "kind", 0, image, present={}, size=(5, 7))
        assert made is not None
        found.append(torch.from_numpy(made))
    assert torch.equal(*found)
    assert float(found[0].max()) > 0


@pytest.mark.parametrize("layout", ["image", "volume"])
def test_a_network_that_sees_a_corner_lights_up_there(layout: str) -> None:
    sizes = (12, 20) if layout == "image" else (8, 12, 20)
    model = network({"scan": {layout: [1, *sizes]}}, {
        "seen": {"use": "encoder.corner", "from": "scan"}, "kind": {**HEAD, "from": "seen"}})
    with torch.no_grad():
        model.head("kind").layers[1].weight.fill_(1.0)
    survey = Survey(model)
    (place,) = survey.maps()[0]
    assert place.sizes[1:] == tuple(size // 2 for size in sizes)
    found = grad_cam(survey, place, "kind", 0, {"scan": torch.ones(1, 1, *sizes)}, present={}, size=sizes)
    assert found is not None and found.shape == sizes
    corner = tuple(slice(size // 2, None) for size in sizes)
    assert found[corner].min() > 0
    rest = found.copy()
    rest[corner] = 0
    # The border of a linear enlargement is soft: half a step of the map, here one position.
    edge = tuple(slice(size // 2 - 1, None) for size in sizes)
    rest[edge] = 0
    assert rest.max() == 0


@pytest.mark.parametrize("share", [False, True])
def test_each_stream_is_seen_by_its_own_call(share: bool) -> None:
    """The map of a stream depends on its own image, also where one module reads both."""
    model = network({"t1": {"image": [1, 5, 7]}, "t2": {"image": [1, 5, 7]}}, {
        "streams": {"use": "encoder.weighing", "from": ["t1", "t2"], "each": True, "share": share},
        "joined": {"use": "fusion.concat", "from": "streams"}, "kind": {**HEAD, "from": "joined"}})
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("map.weight"):
                weight.copy_(torch.tensor([1.0, -2.0]).reshape(weight.shape))
        model.head("kind").layers[1].weight.copy_(torch.tensor([[3.0, 1.0, 2.0, 5.0]] * 3))
    images = {"t1": torch.randn(1, 1, 5, 7), "t2": torch.randn(1, 1, 5, 7)}
    survey = Survey(model)
    for place, head in zip(survey.maps()[0], ((3.0, 1.0), (2.0, 5.0)), strict=True):
        (name,) = place.inputs
        found = grad_cam(survey, place, "kind", 1, images, present={}, size=(5, 7))
        assert found is not None
        torch.testing.assert_close(torch.from_numpy(found).float(), by_hand(images[name][0, 0], head))


def test_another_input_may_be_absent() -> None:
    model = network({"scan": {"image": [1, 5, 7], "optional": True}, "table": {"vector": [2], "optional": True}}, {
        "seen": {"use": "encoder.weighing", "from": "scan"},
        "joined": {"use": "fusion.sum", "from": ["seen", "table"]}, "kind": {**HEAD, "from": "joined"}})
    survey = Survey(model)
    inputs = {"scan": torch.randn(1, 1, 5, 7), "table": torch.full((1, 2), float("nan"))}
    masks = {"scan": torch.tensor([True]), "table": torch.tensor([False])}
    found = grad_cam(survey, survey.maps()[0][0], "kind", 0, inputs, present=masks, size=(5, 7))
    assert found is not None
    assert torch.from_numpy(found).isfinite().all()


def test_a_component_that_stops_gradients_is_told() -> None:
    model = network({"scan": {"image": [1, 5, 7]}}, {
        "seen": {"use": "encoder.weighing", "from": "scan"}, "cut": {"use": "encoder.stopping", "from": "seen"},
        "kind": {**HEAD, "from": "cut"}})
    survey = Survey(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    image = {"scan": torch.randn(1, 1, 5, 7)}
    assert grad_cam(survey, survey.maps()[0][0], "kind", 0, image, present={}, size=(5, 7)) is None

"""Components as options of components: planned, built, drawn, saved and shown as any other."""

from dataclasses import replace
from pathlib import Path

import nesting_components as nesting
import pytest
import torch
from jsonschema import Draft202012Validator

from fusionkit.api import Config, Encoder, Fusion, Inner, TensorShape, Vector, inner
from fusionkit.cli.commands.plugins_show import option_rows
from fusionkit.components.component import Component
from fusionkit.components.config import ComponentError
from fusionkit.drawing.svg import svg
from fusionkit.network.build import build_plan, plan
from fusionkit.network.folder import load, lock, save_network
from fusionkit.network.instantiate import make_module
from fusionkit.planning.json_schema import graph_schema
from fusionkit.planning.plan import Call
from fusionkit.planning.write_graph import written
from fusionkit.registry.inner import checked
from fusionkit.registry.lookup import discover
from fusionkit.testing.conformance import check_component, checks_of

TRACED = {"compile", "export", "onnx"}
GMU = {"use": "fusion.gmu", "with": {"width": 3}}
RESIDUAL, MIXTURE, TWICE = nesting.COMPONENTS


def graph(use: str, options: dict) -> dict:
    return {"fusionkit": 1, "inputs": {"a": {"vector": [5]}, "b": {"vector": [5], "optional": True}}, "nodes": {
        "fused": {"use": use, "from": ["a", "b"], "with": options},
        "kind": {"use": "head.classify", "from": "fused", "with": {"classes": ["x", "y"]}}}}


def planned(use: str = "fusion.residual", **options):
    return plan(graph(use, options), registry=nesting.registry())


def test_the_network_has_the_modules_of_both_under_plain_names() -> None:
    made = planned(fusion=GMU)
    names = [name for name in build_plan(made).state_dict() if name.startswith("fused")]
    alone = [name for name in build_plan(plan(graph("fusion.gmu", {"width": 3}))).state_dict() if "fused" in name]
    assert {name for name in names if ".fusion." in name} == {name.replace("fused", "fused.fusion") for name in alone}
    assert made.node("fused").values[0].shape == Vector((3,))
    assert made.node("fused").cost.parameters == sum(
        value.numel() for name, value in build_plan(made).named_parameters() if name.startswith("fused"))
    assert made.node("fused").uses == "fusion.residual (fusion.gmu)"


def test_a_bare_id_and_a_default_need_no_options() -> None:
    assert planned(fusion="fusion.mean").node("fused").uses == planned().node("fused").uses == \
        "fusion.residual (fusion.mean)"


def test_components_stand_in_components() -> None:
    made = planned(fusion={"use": "fusion.residual", "with": {"fusion": GMU}})
    assert made.node("fused").uses == "fusion.residual (fusion.residual (fusion.gmu))"
    assert any(name.startswith("fused.fusion.fusion.gate") for name in build_plan(made).state_dict())


def test_each_of_several_has_weights_of_its_own() -> None:
    network = build_plan(planned("fusion.mixture", experts=[GMU, GMU]))
    first, second = network.fused.experts
    assert not torch.equal(first.gate.weight, second.gate.weight)
    again = build_plan(planned("fusion.mixture", experts=[GMU, GMU]))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_rule_that_only_a_run_can_tell_is_run() -> None:
    class Nothing(Config):
        """No options."""

    class Halves(torch.nn.Module):
        def __init__(self, config: Nothing, inputs: list[TensorShape]) -> None:
            super().__init__()

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features[:, : features.shape[1] // 2]

    halves = Inner.of(Encoder("halves", Nothing, Halves, rule="B _ -> ?"))
    assert halves.output([Vector((8,))]) == Vector((4,)) and halves.absent == "skip"
    assert halves.output([Vector((6,))]) == Vector((3,))


def test_a_run_that_told_a_shape_is_not_repeated_but_for_other_options() -> None:
    built = []

    class Wanted(Config):
        """How many features are kept."""

        features: int = 3

    class First(torch.nn.Module):
        def __init__(self, config: Wanted, inputs: list[TensorShape]) -> None:
            super().__init__()
            built.append(config.features)
            self.kept = config.features

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features[:, :self.kept]

    component = Encoder("first", Wanted, First, rule="B _ -> ?")
    three = Inner.of(component)
    assert three.output([Vector((7,))]) == three.output([Vector((7,))]) == Vector((3,)) and built == [3]
    assert three.output([Vector((2,))]) == Vector((2,)) and built == [3, 3]
    assert replace(three, config=Wanted(features=5)).output([Vector((7,))]) == Vector((5,)) and built == [3, 3, 5]


def test_without_a_look_up_it_says_what_to_do() -> None:
    with pytest.raises(ComponentError, match=r"fusion\.gmu was not looked up"):
        Inner("fusion.gmu").module([Vector((3,))])
    with pytest.raises(ComponentError, match=r"fusion\.sum: its inputs have 5 and 7 features"):
        checked(RESIDUAL, {"fusion": "fusion.sum"}, discover()).fusion.output([Vector((5,)), Vector((7,))])


def test_a_network_is_saved_with_all_options_and_loads(tmp_path: Path) -> None:
    made = planned("fusion.mixture", experts=["fusion.mean", GMU])
    network = build_plan(made, 3).eval()
    save_network(network, tmp_path)
    options = written(made)["nodes"]["fused"]["with"]["experts"][1]["with"]
    assert options == {"width": 3, "norm": "softmax", "bias": True}
    again = load(tmp_path, nesting.registry())
    inputs = {"a": torch.randn(4, 5), "b": torch.randn(4, 5)}
    present = {"b": torch.tensor([True, False, True, False])}
    assert torch.equal(network(inputs, present)["kind"], again(inputs, present)["kind"])
    assert "fusionkit" in lock(made)["packages"]


def test_weights_that_follow_fetch_nothing_inside_either() -> None:
    class Pretrained(Config):
        """Whether to fetch."""

        pretrained: bool = False

    def fetch(config: Pretrained, inputs: list[TensorShape]) -> torch.nn.Module:
        assert not config.pretrained
        return torch.nn.Linear(3, 3)

    class Holding(Config):
        """Holds one."""

        part: Inner = inner("encoder", description="The part.")

    part = Inner.of(Encoder("fetching", Pretrained, fetch, rule="B _ -> same"), pretrained=True)
    holder = Fusion("holding", Holding, lambda config, inputs: config.part.module(inputs), rule="B _ -> same")
    call = Call(holder, Holding(part=part), (("a", Vector((3,))),), Vector((3,)))
    make_module(call, "probe", 0, weights_follow=True)
    with pytest.raises(Exception, match="AssertionError"):
        make_module(call, "probe", 0, weights_follow=False)


def test_the_picture_and_the_page_show_it() -> None:
    assert "fusion.gmu{width: 3}" in svg(planned(fusion=GMU))
    assert [row[:3] for row in option_rows(RESIDUAL)] == [("fusion", "component (fusion)", "default fusion.mean")]
    assert next(option_rows(MIXTURE))[:3] == ("experts", "list of component (fusion)", "required")


@pytest.mark.parametrize(("use", "options", "good"), [
    ("fusion.residual", {"fusion": "fusion.mean"}, True), ("fusion.residual", {"fusion": GMU}, True),
    ("fusion.residual", {"fusion": {"use": "fusion.residual", "with": {"fusion": GMU}}}, True),
    ("fusion.mixture", {"experts": ["fusion.mean", GMU]}, True), ("fusion.mixture", {"experts": "fusion.mean"}, False),
    ("fusion.residual", {"fusion": "encoder.mlp"}, False),
    ("fusion.residual", {"fusion": {"uses": "fusion.mean"}}, False),
    ("fusion.residual", {"fusion": {"use": "fusion.gmu", "with": {"width": "wide"}}}, False),
])
def test_the_schema_for_editors_knows_it(use: str, options: dict, good: bool) -> None:
    schema = graph_schema(nesting.registry())
    assert Draft202012Validator(schema).is_valid(graph(use, options)) is good
    assert "component_kinds" not in str(schema)


@pytest.mark.parametrize("component", nesting.COMPONENTS, ids=lambda component: component.id)
def test_the_kit_tries_it(component: Component) -> None:
    findings = check_component(component, [name for name in checks_of(component) if name not in TRACED])
    assert {finding.result for finding in findings} <= {"ok"}, [str(finding) for finding in findings]

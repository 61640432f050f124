"""Numbers that can only be a slip are refused before time or memory is spent on them; every refusal says what to do."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from fusionkit.cli.parser import main
from fusionkit.components.component import Encoder
from fusionkit.components.config import ComponentError, Config
from fusionkit.errors import Diagnostic, GraphError, UserError
from fusionkit.interface.check import check
from fusionkit.interface.plan import plan
from fusionkit.network import instantiate
from fusionkit.planning import shape_inference
from fusionkit.training.settings import LARGEST, TrainingSettings, read_settings

ROOT = Path(__file__).parents[2]
GRAPH: dict[str, Any] = {
    "fusionkit": 1, "inputs": {"a": {"vector": [7]}},
    "nodes": {"t": {"use": "encoder.mlp", "from": "a", "with": {"width": 3}},
              "k": {"use": "head.classify", "from": "t", "with": {"classes": ["x", "y"]}}}}


def faults(graph: dict[str, Any], **more: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(UserError) as caught:
        check(graph, **more)
    return caught.value.diagnostics


def with_node(**node: Any) -> dict[str, Any]:
    return {**GRAPH, "nodes": {**GRAPH["nodes"], "t": {"use": "encoder.mlp", "from": "a", **node}}}


@pytest.mark.parametrize(("use", "layout", "options"), [
    ("encoder.mlp", {"vector": [7]}, {"hidden": [4] * 1001}),
    ("encoder.mlp", {"vector": [7]}, {"width": 10**30}),
    ("encoder.kan", {"vector": [7]}, {"intervals": 10**9}),
    ("encoder.kan", {"vector": [7]}, {"hidden": [4] * 20_000}),
    ("encoder.conv", {"image": [1, 8, 8]}, {"blocks": 10**9}),
    ("encoder.conv", {"image": [1, 8, 8]}, {"widths": [4] * 20_000}),
    ("encoder.penet", {"volume": [1, 24, 32, 32]}, {"blocks": [3, 4, 6, 10**9]}),
    ("fusion.token_self", {"tokens": [3, 4]}, {"layers": 10**9}),
    ("fusion.perceiver", {"tokens": [3, 4]}, {"depth": 10**9}),
    ("fusion.mbt", {"tokens": [3, 4]}, {"layers": 10**9}),
])
def test_a_count_that_would_not_end_is_a_wrong_option(use: str, layout: dict[str, Any], options: dict[str, Any]
                                                      ) -> None:
    found = faults({**GRAPH, "inputs": {"a": layout},
                    "nodes": {"t": {"use": use, "from": "a", "with": options}, "k": GRAPH["nodes"]["k"]}})
    assert [(each.code, bool(each.fix)) for each in found] == [("bad-option", True)]


@pytest.mark.parametrize("method", ["mc_dropout", "mc_ensemble"])
def test_samples_and_members_have_a_bound(method: str) -> None:
    uncertainty = {"use": f"uncertainty.{method}", "with": {"samples": 10**12}}
    assert [each.code for each in faults({**GRAPH, "uncertainty": uncertainty})] == ["bad-option"]


def test_a_component_that_grows_without_bound_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Empty(Config):
        pass

    class Endless(torch.nn.Module):
        def __init__(self, config: Config, inputs: Any) -> None:
            super().__init__()
            while True:
                self.add_module(f"n{len(self._modules)}", torch.nn.Linear(3, 3))

    monkeypatch.setattr(instantiate, "MAX_PARTS", 100)
    own = Encoder("endless", Empty, Endless, rule="B _ -> same")
    found = faults(with_node(use="encoder.endless"), components=[own])
    assert [each.code for each in found] == ["component"]
    assert "more than 100 layers" in found[0].message and found[0].fix
    assert not torch.nn.modules.module._global_module_registration_hooks


def test_more_weights_than_a_machine_holds() -> None:
    found = faults(with_node(**{"with": {"width": 10**9, "hidden": [10**9]}}))
    assert [each.code for each in found] == ["component"]
    assert "weights" in found[0].message and found[0].fix


def test_a_graph_of_too_many_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape_inference, "MAX_CALLS", 5)
    chain = [{"use": "encoder.project"}] * 6
    nodes = {"t": {"chain": chain, "from": "a"}, "k": GRAPH["nodes"]["k"]}
    assert [each.code for each in faults({**GRAPH, "nodes": nodes})] == ["graph-limit"]


@pytest.mark.parametrize("name", sorted(LARGEST))
@pytest.mark.parametrize("value", [10**20, 10**400])
def test_settings_have_a_bound(name: str, value: int) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(None, {name: value})
    (found,) = caught.value.diagnostics
    assert (found.code, bool(found.fix)) == ("bad-option", True)


def test_every_whole_number_among_the_settings_has_a_bound() -> None:
    whole = {name for name, field in TrainingSettings.model_fields.items() if "int" in str(field.annotation)}
    assert whole <= set(LARGEST)


@pytest.mark.parametrize("argv", [
    ["build", "breast-cancer", "--seed", "-1"], ["build", "breast-cancer", "--seed", "1" + "0" * 30],
    ["demo", "--seed", "-1"], ["demo", "--cases", "1000000000"],
])
def test_numbers_of_the_command_line_have_a_bound(argv: list[str]) -> None:
    try:
        code = main(argv)
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2


def test_check_and_plan_find_what_training_refuses() -> None:
    wrong = {**with_node(**{"with": {"widht": 3}}), "training": {"epochs": -4, "bogus": 3, "threads": 10**20}}
    codes = [each.code for each in faults(wrong)]
    assert sorted(codes) == ["bad-option", "bad-option", "unknown-option", "unknown-option"]
    with pytest.raises(GraphError) as caught:
        plan({**GRAPH, "training": {"epochs": 2, "warmup_epochs": 5.0}})
    assert [each.code for each in caught.value.diagnostics] == ["bad-option"]


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/etc/passwd", "nowhere.safetensors", "a.pt#x"])
def test_check_finds_wrong_weights_of_every_node(path: str, tmp_path: Path) -> None:
    nodes = {"t": {"use": "encoder.mlp", "from": "a", "weights": path},
             "u": {"use": "encoder.mlp", "from": "t", "weights": path},
             "k": {"use": "head.classify", "from": "u", "with": {"classes": ["x", "y"]}}}
    from fusionkit.syntax.writer import write
    (tmp_path / "g.yaml").write_text(write({**GRAPH, "nodes": nodes}))
    with pytest.raises(GraphError) as caught:
        check(tmp_path / "g.yaml")
    found = caught.value.diagnostics
    assert len(found) == 2 and {each.code for each in found} <= {"outside-folder", "unreadable-weights"}


def test_a_refusal_without_advice_of_its_own_names_the_page_of_the_component() -> None:
    import torch

    class Nothing(Config):
        pass

    class Unhappy(torch.nn.Identity):
        def __init__(self, config: Config, inputs: Any) -> None:
            raise ComponentError("no")

    own = Encoder("unhappy", Nothing, Unhappy, rule="B _ -> same")
    (found,) = faults(with_node(use="encoder.unhappy"), components=[own])
    assert found.code == "component" and found.fix is not None and "plugins show encoder.unhappy" in found.fix


def test_every_refusal_of_a_bundled_component_says_what_to_do() -> None:
    lacking = [f"{path.name}:{node.lineno}" for path in sorted((ROOT / "plugins").rglob("*.py"))
               for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
               if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ComponentError"
               and len(node.args) < 3 and not any(keyword.arg == "fix" for keyword in node.keywords)]
    assert not lacking

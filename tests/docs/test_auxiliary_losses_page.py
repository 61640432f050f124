"""docs/auxiliary-losses.md: its nodes plan, its settings are settings, it names every such fusion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import fusionkit
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.training.settings import read_settings

PAGE = (Path(__file__).parents[2] / "docs" / "auxiliary-losses.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"(?:^    .*\n)+", PAGE, re.M)]
NODES = [block for block in BLOCKS if all("use" in node for node in block.values())]
SOURCES = {"lungs": "ct", "clinic": "ehr", "ct_scores": "ct", "ehr_scores": "ehr", "all_scores": "both"}
BEFORE: dict[str, Any] = {
    "both": {"use": "fusion.concat", "from": ["ct", "ehr"]},
    "fused": {"use": "fusion.mean", "from": ["lungs", "clinic"]},
    **{name: {"use": "encoder.mlp", "from": source, "with": {"width": 2}} for name, source in SOURCES.items()}}


def needed(nodes: dict[str, Any]) -> dict[str, Any]:
    """The nodes with all that they read, and heads for those that nothing reads."""
    every, pending = dict(nodes), list(nodes.values())
    while pending:
        text = str(pending.pop()["from"])
        for name in (name for name in BEFORE if re.search(rf"\b{name}\b", text) and name not in every):
            every[name] = BEFORE[name]
            pending.append(BEFORE[name])
    read_by = " ".join(str(node["from"]) for node in every.values())
    loose = [name for name, node in every.items() if not node["use"].startswith("head.") and name not in read_by]
    return every | {f"of_{name}": {"use": "head.regress", "from": name, "with": {"values": ["y"]}} for name in loose}


@pytest.mark.parametrize("nodes", NODES, ids=lambda nodes: next(iter(nodes)))
def test_a_block_of_nodes_plans(nodes):
    inputs = {name: {"vector": [7], "optional": True} for name in ("ct", "ehr")}
    plan = fusionkit.plan({"fusionkit": 1, "inputs": inputs, "nodes": needed(nodes)}, measured=False)
    assert {node.name for node in plan.nodes} >= set(nodes)


def test_its_settings_are_settings():
    found = [read_settings(read(str(block["training"])), registry=discover()) for block in BLOCKS
             if "training" in block]
    assert [settings.method.partition("{")[0] for settings in found] == ["ogm", "mmpareto"]
    assert all(settings.named("method") is not None for settings in found)


def test_every_fusion_of_the_category_has_a_section():
    names = [entry.id for entry in discover().entries if entry.category == "auxiliary loss"]
    assert len(names) >= 5 and all(f"\n## {name}\n" in PAGE for name in names)
    assert len(NODES) == 4

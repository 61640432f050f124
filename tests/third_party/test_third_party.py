"""Networks of others, wrapped in one file each: the kit accuses them of nothing that is right."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from fusionkit.registry.lookup import discover
from fusionkit.testing.conformance import Kit, checks_of

HERE = Path(__file__).parent
NEEDS = {"hf_bert": ("transformers",), "hf_vit": ("transformers",), "monai_densenet": ("monai",),
         "monai_swin": ("monai", "einops")}
KNOWN = {"monai_swin": {"device"}}
"""Faults that are true: the constructor of SwinUNETR's encoder reads values of a tensor, which meta tensors lack."""

pytestmark = pytest.mark.slow  # a minute each, and packages of which most environments have none


@pytest.mark.parametrize("name", NEEDS)
def test_a_network_of_others_is_accused_of_nothing_that_is_right(name: str) -> None:
    missing = [need for need in NEEDS[name] if find_spec(need) is None]
    if missing:
        pytest.skip(f"{name}: {' and '.join(missing)} not installed")
    component, = discover(files=[HERE / f"{name}.py"]).providers[-1].components
    kit = Kit(component)
    findings = [kit.finding(check) for check in checks_of(component)]
    assert {finding.check for finding in findings if finding.result != "ok"} == KNOWN.get(name, set()), "\n".join(
        str(finding) for finding in findings if finding.result != "ok")

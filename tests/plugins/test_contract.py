"""Every bundled component holds to the contract, on inputs that the kit makes and on those of the table of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache

import pytest
import torch
from rows import ROWS, Row

from fusionkit.components.declaration import Declaration
from fusionkit.components.kinds import GRAPH_KINDS, NODE_KINDS
from fusionkit.registry.lookup import discover
from fusionkit.testing.conformance import CHECKS, Kit, checks_of
from fusionkit.testing.faults import Finding

REGISTRY = discover()
TRACED = {name for name, check in CHECKS.items() if check.on in ("first", "mapped")}
OF_THE_COMPONENT = {"declaration", "options", "bounds", "state", "copies", "device", "waits", "memory",
                    "channels-last"}
"""Checks that do not depend on a row: what they look at, the kit's own choices of options show as well."""
OF_THE_FIRST_ROW = {"state", "copies", "memory"}
"""Those of them that are quick: code is followed (compile, export, onnx) in the full tier alone."""
OF_EVERY_LAYOUT = {"evaluation", "dtype", "autocast", "variance"}
"""Checks that sizes rarely decide: the kit's own inputs have every layout, and the first row is of a size in use."""
OF_THE_ROWS = {"rows", "dtype", "autocast", "variance", "gradients", "values", "state", "copies", "memory"}
"""Checks that the first row does, which for a component of one kind of layout need not be done a second time."""
OF_EVERY_ROW = {"ports", "rule", "values", "gradients"}
"""Checks of every row, however many a component has."""


SMALLER = {"encoder.timm": {"model": "test_resnet"}, "encoder.e3d_msca": {"kernels": [1, 3], "width": 5},
           "encoder.resnet3d": {"depth": 10, "width": 4}, "encoder.nnunet": {"features_per_stage": [4, 6]},
           "fusion.healnet": {"width": 8, "latents": 3, "depth": 2, "cross_heads": 2, "heads": 2},
           "fusion.mbt": {"width": 8, "heads": 2}, "fusion.mult": {"width": 8, "layers": 1, "heads": 2},
           "fusion.perceiver": {"width": 8, "latents": 3, "depth": 1, "heads": 2}, "encoder.aspp": {"width": 16},
           "encoder.tabicl": {"embed_dim": 16, "col_num_blocks": 1, "row_num_blocks": 1, "col_nhead": 2, "row_nhead": 2}}
"""Where the example that users are shown is a large network: a small one, which every check is done on."""

IMPORTED_FOR_SECONDS = {"encoder.monai"}
"""What imports a large package for several seconds: of the full tier alone; the quick one has its recorded numbers."""


@cache
def component_of(name: str) -> Declaration:
    return REGISTRY.load(name, of=Declaration)


@lru_cache(maxsize=1)
def kit_of(name: str) -> Kit:
    """Tests of one component come one after the other, in one process; its modules need not be kept for longer."""
    return Kit(component_of(name), SMALLER.get(name))


@lru_cache(maxsize=1)
def kit_of_row(place: int) -> Kit:
    row = ROWS[place]
    return Kit.exactly(row.component, row.options, row.inputs, row.exceptions)


def has_one_layout(component: Declaration) -> bool:
    """Whether its rule takes inputs of one kind of layout: its rows are on it, and the kit would choose no other."""
    if component.kind not in NODE_KINDS:
        return False
    alternatives = component.parsed.alternatives
    return len(alternatives) == 1 and not any(port.others or len(port.axes or ()) > 2
                                              for port in alternatives[0].inputs)


def cases() -> Iterator[object]:
    for name in (entry.id for entry in REGISTRY.entries if entry.package == "fusionkit"):
        one = has_one_layout(component_of(name))
        for check in checks_of(component_of(name)):
            if one and check in OF_THE_ROWS:
                continue
            yield pytest.param(name, check, id=f"{name}: {check}",
                               marks=pytest.mark.slow if name in IMPORTED_FOR_SECONDS else ())


def cases_of_rows() -> Iterator[object]:
    """Each row with each check but those that follow code: the kit's own inputs do that, on each kind of layout.

    The first row of a component is the quick tier's, and has some of these checks as well; further rows lack those
    that the kit's inputs show for every layout, and from the sixth row on all but `OF_EVERY_ROW`.
    """
    seen: Counter[str] = Counter()
    for place, row in enumerate(ROWS):
        first = not seen[row.id]
        seen[row.id] += 1
        for check in checks_of(row.component):
            if (not first and check in OF_EVERY_LAYOUT) or (seen[row.id] > 5 and check not in OF_EVERY_ROW):
                continue
            if check not in OF_THE_COMPONENT | TRACED or (first and check in OF_THE_FIRST_ROW):
                quick = first and row.id not in IMPORTED_FOR_SECONDS
                yield pytest.param(place, check, id=f"{row}: {check}", marks=() if quick else pytest.mark.slow)


def held(finding: Finding) -> bool:
    return finding.result in ("ok", "excepted")


@pytest.mark.parametrize(("name", "check"), list(cases()))
def test_a_component_holds_to_the_contract(name: str, check: str) -> None:
    finding = kit_of(name).finding(check)
    # Not "not probed" either: some checks are done here alone, and not on the table's rows.
    assert held(finding), f"\n{finding}"
    # A caution to others; ours declare what waits, with its reason.
    assert check != "waits" or "waits for the GPU" not in finding.seen, f"\n{finding}"


@pytest.mark.parametrize(("place", "check"), list(cases_of_rows()))
def test_a_row_holds_to_the_contract(place: int, check: str) -> None:
    finding = kit_of_row(place).finding(check)
    assert held(finding), f"\n{finding}"


@pytest.mark.parametrize("place", [
    pytest.param(place, id=str(row)) for place, row in enumerate(ROWS)
    if row.component.absent in ("drop", "neutral", "identity")])
def test_what_has_nothing_present_gives_zeros(place: int) -> None:
    """The contract asks for finite numbers only; ours are zeros, so that nobody takes them for a result."""
    probe = kit_of_row(place).probes.accepted[0]
    inputs = [torch.full_like(x, float("nan")) for x in probe.data(3)]
    outputs = probe.module()(*inputs, present=torch.zeros(3, len(inputs), dtype=torch.bool))
    assert all(bool((part == 0).all()) for part in (outputs if isinstance(outputs, tuple) else (outputs,)))


def test_the_table_has_no_row_twice() -> None:
    assert len({str(row) for row in ROWS}) == len(ROWS)


def test_every_component_of_a_graph_has_a_row() -> None:
    bundled = {entry.id for entry in REGISTRY.entries if entry.package == "fusionkit" and entry.kind in GRAPH_KINDS}
    assert bundled <= {row.id for row in ROWS}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("row", [row for row in ROWS if row.component.kind != "uncertainty"], ids=str)
def test_a_row_runs_on_the_gpu(row: Row) -> None:
    finding = Kit.exactly(row.component, row.options, row.inputs, row.exceptions).finding("device")
    assert held(finding), f"\n{finding}"

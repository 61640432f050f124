"""`training.pareto` holds to the contract, gives the gradients of the authors' release, and trains a network.

The recorded numbers are what the release gives on small networks; FUSIONKIT_GOLDEN names another folder of them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fusionkit
import numpy as np
import pytest
import torch
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.packages import check_package

from fusionkit_mmpareto.mmpareto import MMPareto, MMParetoConfig, component, least_norm

GOLDEN = os.environ.get("FUSIONKIT_GOLDEN")
RECORDED = Path(GOLDEN) / "methods" / "mmpareto" if GOLDEN else Path(__file__).parent / "recorded"
KIT = Kit(component)
ENCODERS = {"audio": "audio_net", "visual": "visual_net"}


@pytest.mark.parametrize("check", checks_of(component))
def test_it_holds_to_the_contract(check: str) -> None:
    finding = KIT.finding(check)
    assert finding.result == "ok", str(finding)


def test_the_package_is_whole_and_its_catalogue_fresh() -> None:
    for finding in check_package("fusionkit-mmpareto", components=False):
        assert finding.result == "ok", str(finding)


def edited(case: Any, modality: str, **options: Any) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The gradients of one encoder after the hook, and what it logged; those of each loss are recorded."""
    joint, own = ({key.partition("__")[2]: torch.tensor(case[key]) for key in case.files
                   if key.startswith(f"in_grad_{loss}__{ENCODERS[modality]}")} for loss in ("joint", modality))
    total, logged = {name: joint[name] + own[name] for name in joint}, {}
    view = SimpleNamespace(heads={modality: "own"}, log=logged.__setitem__)
    method = MMPareto(MMParetoConfig(**options))
    assert method.parts(modality, view) == ("own",)
    method.edit(modality, SimpleNamespace(total=total, parts={"own": own}), view)
    return total, logged


@pytest.mark.parametrize("modality", ENCODERS)
@pytest.mark.parametrize("name", ["agree", "conflict", "conflict_one_tensor_shorter"])
def test_gradients_are_those_of_the_release(name: str, modality: str) -> None:
    case = np.load(RECORDED / f"{name}.npz")
    gamma = json.loads(str(case["meta"]))["gamma"]
    found, logged = edited(case, modality, gamma=gamma)
    assert logged[f"joint_{modality}"] == pytest.approx(float(case[f"out_weights_{modality}"][0]), rel=1e-5)
    assert len(found) == 4
    for key, value in found.items():
        expected = torch.tensor(case[f"out_grad__{key}"])
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_where_gradients_agree_their_sum_is_enlarged() -> None:
    case = np.load(RECORDED / "agree.npz")
    found, _ = edited(case, "audio")
    plain, _ = edited(case, "audio", gamma=1.0)
    for name, value in found.items():
        total = sum(torch.tensor(case[f"in_grad_{loss}__{name}"]) for loss in ("joint", "audio"))
        torch.testing.assert_close(value, 1.5 * total)
        torch.testing.assert_close(plain[name], total)


def test_per_encoder_the_direction_is_the_common_one() -> None:
    case = np.load(RECORDED / "conflict.npz")
    found, logged = edited(case, "audio", per="encoder")
    share = logged["joint_audio"]
    mean = {name: share * torch.tensor(case[f"in_grad_joint__{name}"])
            + (1 - share) * torch.tensor(case[f"in_grad_audio__{name}"]) for name in found}
    ratios = torch.cat([(found[name] / mean[name]).flatten() for name in found])
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["solver_interior", "solver_first_dominated", "solver_second_dominated"])
def test_the_solver_is_that_of_the_release(name: str) -> None:
    case = np.load(RECORDED / f"{name}.npz")
    first, second = (torch.tensor(case[key]).double() for key in ("in_vec0", "in_vec1"))
    share = least_norm(float(first @ first), float(first @ second), float(second @ second))
    assert [share, 1 - share] == pytest.approx(case["out_weights"].tolist(), rel=1e-5)


def test_gradients_that_are_zero_stay_zero() -> None:
    zero = {"w": torch.zeros(3)}
    view = SimpleNamespace(heads={"m": "own"}, log=lambda *_: None)
    gradients = SimpleNamespace(total={"w": torch.zeros(3)}, parts={"own": zero})
    MMPareto(MMParetoConfig()).edit("m", gradients, view)
    assert torch.equal(gradients.total["w"], torch.zeros(3))


def test_a_graph_trains_by_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["id,a,b,c,kind"]
    for case in range(30):
        a, b, c = rng.normal(case % 2, 1, 3)
        lines.append(f"{case},{a:.4f},{b:.4f},{'' if case % 5 == 0 else f'{c:.4f}'},{'xy'[case % 2]}")
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n")
    heads = ("kind", "by_left", "by_right")
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n  left: {read: columns, numeric: [a, b]}\n"
        "  right: {read: columns, numeric: [c]}\ntargets:\n"
        + "".join(f"  {head}: {{column: kind}}\n" for head in heads))
    head = "{use: head.classify, with: {classes: [x, y]}, from: "
    (tmp_path / "graph.yaml").write_text(
        "fusionkit: 1\nname: pareto\ninputs: {left: {vector: [2]}, right: {vector: [1], optional: true}}\nnodes:\n"
        "  l: {use: encoder.mlp, from: left, with: {width: 5}}\n"
        "  r: {use: encoder.mlp, from: right, with: {width: 5}}\n"
        f"  both: {{use: fusion.mean, from: [l, r]}}\n  kind: {head}both}}\n  by_left: {head}l}}\n"
        f"  by_right: {head}r}}\ntraining: {{method: {{use: training.pareto, with: {{gamma: 1.2}}}}}}\n")
    run = fusionkit.train(tmp_path / "graph.yaml", tmp_path / "data.yaml", output=tmp_path / "run", epochs=3,
                          hold_out=0.2, device="cpu", threads=1, accumulate=2, batch_size=4, quiet=True)
    history = (run.folder / "history.csv").read_text().splitlines()
    columns = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
    assert all(0 < float(columns[f"method_joint_{name}"]) < 1 for name in ("left", "right"))

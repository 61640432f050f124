"""Items of a case: each is encoded as if it were alone; padding, chunks and the other cases change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import build
from small_study import train, write_files
from small_study import without_plots as without_plots
from torch import Tensor

from fusionkit.cli.parser import main
from fusionkit.errors import GraphError
from fusionkit.network.model import FusionModel
from fusionkit.shapes.layouts import MaskedItems, MaskedTokens

GRAPH = """
fusionkit: 1
inputs:
  views: {items: {image: [2, 7, 11]}, max: 5, optional: true}
  ehr: {vector: [3]}
nodes:
  seen: {use: encoder.each_item, from: views, with: {encoder: {use: encoder.conv, with: OPTIONS}, chunk: CHUNK, MORE}}
  all_views: {use: fusion.attention_pool, from: seen}
  told: {use: encoder.mlp, from: ehr, with: {width: 5}}
  both: {use: fusion.mean, from: [all_views, told]}
  result: {use: head.classify, from: both, with: {classes: [x, y]}}
"""
COUNTS = (3, 0, 5, 1)


def network(chunk: int = 2, norm: str = "group", more: str = "recompute: false") -> FusionModel:
    options = f"{{widths: [3, 5], norm: {norm}}}"
    return build(GRAPH.replace("OPTIONS", options).replace("CHUNK", str(chunk)).replace("MORE", more)).double()


def cases(more: int = 0, content: float = 0.0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Four cases of 3, 0, 5 and 1 views, padded to 5 and `more`, and the mask of their views."""
    generator = torch.Generator().manual_seed(0)
    valid = torch.arange(5 + more) < torch.tensor(COUNTS).unsqueeze(1)
    views = torch.randn(4, 5, 2, 7, 11, generator=generator, dtype=torch.float64)
    views = torch.cat([views, views.new_zeros(4, more, 2, 7, 11)], 1)
    views = views.where(valid[:, :, None, None, None], content)
    return {"views": views, "ehr": torch.randn(4, 3, generator=generator, dtype=torch.float64)}, {"views": valid}


def test_the_plan_has_items_and_a_token_for_each() -> None:
    plan = network().plan
    assert isinstance(plan.inputs[0].shape, MaskedItems) and plan.inputs[0].shape.sizes == (5, 2, 7, 11)
    assert str(plan.node("seen").values[0].shape) == "B [views] 5"
    assert isinstance(plan.node("seen").values[0].shape, MaskedTokens)


def test_an_item_in_a_bag_is_encoded_as_if_it_were_alone() -> None:
    model = network().eval()
    inputs, valid = cases()
    tokens = model.results_at(["seen"], inputs, None, valid)["seen"]
    for row, count in enumerate(COUNTS):
        for place in range(count):
            alone = model.seen.encoder(inputs["views"][row, place, None])[0]
            assert torch.allclose(tokens[row, place], alone, atol=1e-12)
    one = {"views": inputs["views"][3:, :1], "ehr": inputs["ehr"][3:]}
    assert torch.allclose(model(one)["result"], model(inputs, None, valid)["result"][3:], atol=1e-12)


@pytest.mark.parametrize("content", [float("nan"), 1e6])
def test_padding_its_contents_and_the_chunk_change_nothing(content: float) -> None:
    found = []
    for chunk, more, held in ((2, 0, 0.0), (2, 3, content), (1, 0, content), (32, 0, 0.0)):
        model = network(chunk).eval()
        inputs, valid = cases(more, held)
        inputs["views"].requires_grad_()
        results = model(inputs, None, valid)["result"]
        results.square().sum().backward()
        found.append([results, *(part.grad for part in model.parameters()), inputs["views"].grad[:, :5]])
    for other in found[1:]:
        assert all(torch.allclose(one, two, atol=1e-11) for one, two in zip(found[0], other, strict=True))


def test_batch_norms_count_real_items_only() -> None:
    plain, wide = network(32, "batch"), network(32, "batch")
    with torch.no_grad():
        plain(*(cases()[0], None, cases()[1]))
        wide(*(cases(4)[0], None, cases(4)[1]))
    norms = [{name: value for name, value in model.state_dict().items() if "running" in name and "seen" in name}
             for model in (plain, wide)]
    assert norms[0] and all(torch.allclose(norms[0][name], norms[1][name], atol=1e-12) for name in norms[0])


@pytest.mark.parametrize("recompute", [False, True])
def test_a_lone_item_takes_the_running_statistics_of_a_batch_norm(recompute: bool) -> None:
    """Over one position there are no others; PyTorch refuses the norm there."""
    model = build(f"""
fusionkit: 1
inputs: {{scans: {{items: {{image: [2, 1, 1]}}}}}}
nodes:
  seen: {{use: encoder.each_item, from: scans, with: {{
    encoder: {{use: encoder.conv, with: {{widths: [3], norm: batch, output: pooled}}}}, chunk: 2,
    recompute: {str(recompute).lower()}}}}}
  both: {{use: encoder.pool, from: seen}}
  kind: {{use: head.regress, from: both, with: {{values: [y]}}}}
""").train()
    scans, valid = torch.randn(3, 2, 2, 1, 1), torch.tensor([[True, False], [False, False], [False, False]])
    model({"scans": scans}, valid={"scans": valid})["kind"].sum().backward()
    assert all(part.grad.isfinite().all() for part in model.parameters() if part.grad is not None)
    assert all(part.training for part in model.modules())
    # Five items are pieces of two, two and one.
    whole = torch.tensor([[True, True], [True, True], [True, False]])
    assert model({"scans": scans}, valid={"scans": whole})["kind"].isfinite().all()


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_recomputing_changes_no_gradient_and_no_running_statistic(norm: str) -> None:
    grads, states = [], []
    for more in ("recompute: false", "recompute: true"):
        model = network(norm=norm, more=more)
        inputs, valid = cases()
        model(inputs, None, valid)["result"].square().sum().backward()
        grads.append([part.grad for part in model.parameters()])
        states.append([*model.state_dict().values()])
    assert all(torch.equal(one, two) for one, two in zip(*grads, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(*states, strict=True))


def test_a_lone_case_is_recomputed_in_the_mode_in_which_it_ran() -> None:
    """Its norms took their running statistics, and by the time of the gradient are back in training."""
    model = network(norm="batch", more="recompute: true").train()
    inputs, valid = cases()
    model({name: value[:1] for name, value in inputs.items()}, None, {"views": valid["views"][:1]})[
        "result"].sum().backward()
    assert all(part.grad is None or part.grad.isfinite().all() for part in model.parameters())


def test_a_batch_without_any_item_gives_results_and_finite_gradients() -> None:
    model = network()
    inputs, _ = cases()
    results = model({"ehr": inputs["ehr"]})["result"]
    none = {"views": torch.zeros(4, 0, 2, 7, 11, dtype=torch.float64), "ehr": inputs["ehr"]}
    assert torch.allclose(results, model(none)["result"])
    results.sum().backward()
    assert all(part.grad is None or part.grad.isfinite().all() for part in model.parameters())


@pytest.mark.parametrize(("old", "new", "said"), [
    ("use: encoder.each_item, from: views, with: {encoder: {use: encoder.conv, with: {widths: [3]}}}",
     "use: encoder.conv, from: views, with: {widths: [3]}", "put an `encoder.each_item` there"),
    ("items: {image: [2, 7, 11]}", "items: [2, 7, 11]", "must say what one item is"),
    ("items: {image: [2, 7, 11]}", "items: {image: [2, 7, 11], volume: [1, 2, 3, 4]}", "must say what one item is"),
    ("items: {image: [2, 7, 11]}", "items: {image: [2, 7]}", "takes a list of 3 sizes, not 2"),
    ("{use: encoder.conv, with: {widths: [3]}}", "{use: encoder.mlp}", "encoder.mlp cannot read"),
    ("items: {image: [2, 7, 11]}", "image: [2, 7, 11]", "it takes items here"),
])
def test_what_does_not_fit_is_refused(old: str, new: str, said: str) -> None:
    text = """
fusionkit: 1
inputs:
  views: {items: {image: [2, 7, 11]}}
nodes:
  seen: {use: encoder.each_item, from: views, with: {encoder: {use: encoder.conv, with: {widths: [3]}}}}
  all_views: {use: fusion.attention_pool, from: seen}
  result: {use: head.classify, from: all_views, with: {classes: [x, y]}}
"""
    assert old in text
    with pytest.raises(GraphError) as caught:
        build(text.replace(old, new))
    assert said in str(caught.value)


def test_vectors_as_items_are_masked_tokens() -> None:
    model = build("""
fusionkit: 1
inputs: {lesions: {items: {vector: [5]}, max: 7}}
nodes:
  one: {use: encoder.pool, from: lesions}
  result: {use: head.classify, from: one, with: {classes: [x, y]}}
""")
    assert type(model.plan.inputs[0].shape) is MaskedTokens and model.plan.inputs[0].shape.sizes == (7, 5)


def test_a_study_of_items_trains_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for case in range(24):
        count = rng.integers(1, 6)
        np.save(tmp_path / f"c{case}.npy", rng.normal(case % 2, 1, (count, 2, 7, 11)).astype(np.float32))
        rows.append({"id": f"c{case}", "result": ("no", "yes")[case % 2],
                     "split": ("train", "train", "validation", "test")[case // 2 % 4]})
    graph = """\
fusionkit: 1
inputs: {views: {items: {image: [2, auto, auto]}, max: 5}}
nodes:
  seen: {use: encoder.each_item, from: views, with: {encoder: {use: encoder.conv, with: {widths: [3]}}}}
  all_views: {use: fusion.attention_pool, from: seen}
  result: {use: head.classify, from: all_views, with: {classes: ["no", "yes"]}}
training: {epochs: 2, batch_size: 4, device: cpu}
"""
    data = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs: {views: {read: numpy, path: "{id}.npy"}}
targets: {result: {column: result}}
"""
    write_files(tmp_path, rows, graph, data)
    run = train(tmp_path)
    assert "    items:\n      image: [2, 7, 11]\n    max: 5\n" in (run / "graph.yaml").read_text()
    assert main(["evaluate", str(run)]) == 0
    capsys.readouterr()
    assert main(["check", str(tmp_path / "data.yaml")]) == 0
    assert "views [null, 2, 7, 11] with at most 5 items (24 cases)" in capsys.readouterr().out
    np.save(tmp_path / "c0.npy", np.zeros((6, 2, 7, 11), np.float32) + np.arange(7)[:, None].astype(np.float32))
    np.save(tmp_path / "c1.npy", np.ones((2, 2, 7, 12), np.float32))
    capsys.readouterr()
    assert main(["build", str(tmp_path / "graph.yaml"), "--data", str(tmp_path / "data.yaml")]) == 2
    said = capsys.readouterr().err
    assert "it has 6 items; the graph takes at most 5" in said
    assert "its size is [2, 2, 7, 12], not [null, 2, 7, 11]" in said


def test_a_batch_is_padded_to_its_longest_case(tmp_path: Path) -> None:
    from fusionkit.data.batch import Case, collate

    made = [Case(index=row, inputs={"views": torch.full((count, 1, 2, 3), float(row))}, present={"views": count > 0},
                 targets={}, target_present={}, masked=("views",)) for row, count in enumerate((2, 0, 3))]
    batch = collate(made)
    assert batch.inputs["views"].shape == (3, 3, 1, 2, 3)
    assert batch.valid["views"].tolist() == [[True, True, False], [False] * 3, [True] * 3]


DATED = """
fusionkit: 1
inputs:
  views: {items: {image: [2, 7, 11]}}
  mm: {tokens: [null, 1], of: views}
nodes:
  seen: {use: encoder.each_item, from: views, with: {encoder: {use: encoder.conv, with: {widths: [3, 5]}}}}
  place: {use: encoder.position, from: mm, with: {width: 4}}
  placed: {use: fusion.concat, from: [seen, place]}
  all_views: {use: fusion.attention_pool, from: POOLED}
  result: {use: head.classify, from: all_views, with: {classes: [x, y]}}
"""


@pytest.mark.parametrize(("pooled", "alike"), [("seen", True), ("placed", False)])
def test_only_positions_tell_the_order_of_items(pooled: str, alike: bool) -> None:
    graph = DATED if pooled == "placed" else "\n".join(line for line in DATED.splitlines() if " mm" not in line
                                                       and " place" not in line)
    made = build(graph.replace("POOLED", pooled)).double().eval()
    inputs, valid = cases()
    places = torch.arange(5.0, dtype=torch.float64)[:, None].expand(4, 5, 1)
    given, masks = {"views": inputs["views"], "mm": places}, {"views": valid["views"], "mm": valid["views"]}
    turned = {"views": inputs["views"].flip(1), "mm": places}
    back = {name: mask.flip(1) for name, mask in masks.items()}
    read = {value.name for value in made.plan.inputs}
    first, second = (made({name: values[name] for name in read}, valid={name: mask[name] for name in read})["result"]
                     for values, mask in ((given, masks), (turned, back)))
    assert bool((first[0] - second[0]).abs().max() < 1e-12) is alike

"""`fusionkit check` compares files of weights with networks by what files say of their tensors, without the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Config, Encoder, TensorShape
from fusionkit.errors import GraphError
from fusionkit.network.check_weights import check_weights

FILES = ("w.safetensors", "w.pt")


def study(place: Path, tensors: Mapping[str, Tensor], file: str = FILES[0], use: str = "encoder.mlp") -> Path:
    """A graph whose node starts from a file of these tensors."""
    if file.endswith(".pt"):
        torch.save(dict(tensors), place / file)
    else:
        save_file(dict(tensors), place / file)
    path = place / "g.yaml"
    path.write_text(f"""\
fusionkit: 1
inputs: {{lab: {{vector: [7]}}}}
nodes:
  told: {{use: {use}, from: lab, weights: {file}, with: {{width: 5}}}}
  y: {{use: head.classify, from: told, with: {{classes: [no, yes]}}}}
""")
    return path


def own_tensors() -> dict[str, Tensor]:
    """Those that `encoder.mlp` has for that graph."""
    made = fusionkit.build({"fusionkit": 1, "inputs": {"lab": {"vector": [7]}}, "nodes": {
        "told": {"use": "encoder.mlp", "from": "lab", "with": {"width": 5}},
        "y": {"use": "head.classify", "from": "told", "with": {"classes": ["no", "yes"]}}}})
    return {name: value.clone() for name, value in made.get_submodule("told").state_dict().items()}


def refusal(path: Path) -> str:
    with pytest.raises(GraphError) as caught:
        fusionkit.check(path)
    return str(caught.value)


@pytest.mark.parametrize("file", FILES)
def test_no_number_is_read(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study(tmp_path, own_tensors(), file)
    monkeypatch.setattr("fusionkit.pretrained.tensor_files.load_file", lambda _: pytest.fail("it was read"))
    read = torch.load

    def on_meta(*args: Any, map_location: str, **more: Any) -> Any:
        assert map_location == "meta"
        return read(*args, map_location=map_location, **more)

    monkeypatch.setattr("torch.load", on_meta)
    assert "good" in str(fusionkit.check(path))


@pytest.mark.parametrize("file", FILES)
def test_what_does_not_fit_is_refused_as_a_training_does(tmp_path: Path, file: str) -> None:
    tensors = own_tensors()
    name, first = next(iter(tensors.items()))
    rest = {other: value for other, value in tensors.items() if other != name}
    wrong = {f"missing {name}": rest, "unexpected more": {**tensors, "more": torch.ones(3)},
             f"{name} is [{first.numel()}], needed {list(first.shape)}": {**rest, name: first.flatten()},
             f"{name} is int64, needed float32": {**rest, name: first.long()}}
    for says, given in wrong.items():
        path = study(tmp_path, given, file)
        told = refusal(path)
        assert says in told and "[wrong-weights]" in told and "g.yaml:4" in told
        with pytest.raises(GraphError) as caught:
            fusionkit.build(path)
        assert str(caught.value) == told


def test_numbers_that_are_not_finite_are_found_where_the_network_is_built(tmp_path: Path) -> None:
    tensors = own_tensors()
    name, first = next(iter(tensors.items()))
    first.view(-1)[:2] = torch.tensor([torch.nan, torch.inf])
    path = study(tmp_path, tensors)
    fusionkit.check(path)
    with pytest.raises(GraphError, match=rf"NaN or infinite: {name} \(2 of {first.numel()}\)"):
        fusionkit.build(path)


@pytest.mark.parametrize("value", [3e38, -6e4])
def test_large_numbers_are_finite_though_their_sum_is_not(tmp_path: Path, value: float) -> None:
    kind = torch.float32 if value > 0 else torch.float16
    fusionkit.build(study(tmp_path, {name: torch.full_like(part, value, dtype=kind)
                                     for name, part in own_tensors().items()}))


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = study(tmp_path, own_tensors())
    whole = (tmp_path / FILES[0]).read_bytes()
    (tmp_path / FILES[0]).write_bytes(whole[:-3])
    assert "[unreadable-weights]" in refusal(path)


def test_rare_types_of_numbers_have_their_name(tmp_path: Path) -> None:
    tensors = own_tensors()
    name, first = next(iter(tensors.items()))
    assert f"{name} is complex64, needed float32" in refusal(study(tmp_path, tensors | {name: first.cfloat()}))


def test_shards_are_described_by_each_of_them(tmp_path: Path) -> None:
    tensors, index = own_tensors(), "w.safetensors.index.json"
    path = study(tmp_path, tensors)
    placed = {name: f"{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for shard in set(placed.values()):
        save_file({name: tensors[name] for name in placed if placed[name] == shard}, tmp_path / shard)
    (tmp_path / index).write_text(json.dumps({"weight_map": placed}))
    path.write_text(path.read_text().replace(FILES[0], index))
    fusionkit.check(path)
    (tmp_path / index).write_text(json.dumps({"weight_map": placed | {"more": "1.safetensors"}}))
    assert "it lacks more" in refusal(path)


class Width(Config):
    """Its width."""

    width: int = 1


class Reader(nn.Module):
    """A layer that decides by the numbers of a file which of its tensors it takes."""

    def __init__(self, config: Width, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        which = int(tensors["which"].item())
        return {f"layer.{name}": tensors[f"{which}.{name}"] for name in ("weight", "bias")}


def test_a_component_that_reads_numbers_of_the_file_is_built(tmp_path: Path) -> None:
    component = Encoder("reader", Width, Reader, rule="B _ -> B {width}")
    weights = {f"{place}.{name}": value for place, layer in enumerate((nn.Linear(7, 3), nn.Linear(7, 5)))
               for name, value in layer.state_dict().items()}
    for which in (0, 1):
        path = study(tmp_path, {**weights, "which": torch.tensor([which])}, use="encoder.reader")
        made = fusionkit.plan(path, components=[component])
        if which:
            check_weights(made)
        else:
            with pytest.raises(GraphError, match="needed"):
                check_weights(made)

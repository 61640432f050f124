"""A radiograph and its report through folders of transformers: trained, kept, compared, and refused as printed."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.encoders.hf_text import HfText
from fusionkit_plugins.encoders.hf_vision import HfVision
from recorded import GOLDEN as RECORDED
from safetensors.torch import load_file, save_file
from small_study import description, train, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.api import Image, MaskedText
from fusionkit.cli.parser import main
from fusionkit.comparison import tables
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.interface import compare
from fusionkit.network.folder import load
from fusionkit.pretrained.folder import WeightsFolder
from fusionkit.runs.setup import set_up

GOLDEN = RECORDED / "encoders"
GRAPH = """\
fusionkit: 1
name: report
inputs:
  film: {image: [1, 14, 21]}
  note: {text: 32, vocabulary: auto, optional: true}
nodes:
  seen: {use: encoder.hf_vision, from: film, freeze: true, with: {folder: weights/dino, pool: cls_mean}}
  told: {use: encoder.hf_text, from: note, freeze: true, with: {folder: weights/bert, window: 8}}
  both: {use: fusion.concat, from: [seen, told], with: {availability: true}}
  result: {use: head.classify, from: both, with: {classes: [no, yes]}}
training: {epochs: 1, hold_out: 0, batch_size: 6, learning_rate: 0.01}
"""
DATA = description({"film": "{read: numpy, path: 'films/{id}.npy'}",
                    "note": "{read: text, column: note, tokenizer: weights/bert/tokenizer.json, length: 8, "
                            "windows: 4}"},
                   {"result": "result"})
NOTES = ("No acute chest pain.", "Nodule of 12 mm in the right upper lobe; pneumonia is stable. Fever and cough.",
         "Left lung stable.", "")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def published(place: Path, name: str, **more: Any) -> None:
    """A folder as a release has it, of a recorded network."""
    case = read_fixture(GOLDEN / f"{name}.npz")
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(case.meta["config"]))
    save_file(dict(case.parameters), place / "model.safetensors", {"format": "pt"})
    for file, values in more.items():
        (place / f"{file}.json").write_text(json.dumps(values))


def study(folder: Path, graph: str = GRAPH) -> Path:
    rows = [{"id": f"c{n}", "note": NOTES[n % 4], "result": ["no", "yes"][n % 5 < 2],
             "split": "test" if n % 3 == 2 else "train"} for n in range(18)]
    write_files(folder, rows, graph, DATA)
    published(folder / "weights" / "dino", "hf_dinov2_reg", preprocessor_config={
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "rescale_factor": 1 / 255})
    published(folder / "weights" / "bert", "hf_bert")
    shutil.copy(GOLDEN / "text_tokenizer.json", folder / "weights" / "bert" / "tokenizer.json")
    (folder / "films").mkdir()
    films = np.random.default_rng(3).random((18, 1, 14, 21), np.float32)
    for n, film in enumerate(films):
        np.save(folder / "films" / f"c{n}.npy", film)
    return folder


def test_a_run_has_the_names_of_the_files_and_needs_no_other_folder(tmp_path: Path) -> None:
    run = train(study(tmp_path))
    read = json.loads((run / "run.json").read_text())["input_counts"]["note"]
    assert read == {"texts": sum(bool(NOTES[n % 4]) for n in range(18)), "texts_cut": 0, "tokens_not_read": 0}
    kept, bert = load_file(run / "model.safetensors"), load_file(tmp_path / "weights" / "bert" / "model.safetensors")
    of_text = {name.removeprefix("told."): value for name, value in kept.items() if name.startswith("told.")}
    assert of_text.keys() == bert.keys() - {name for name in bert if name.startswith("pooler.")}
    assert all(torch.equal(value, bert[name]) for name, value in of_text.items())
    (tmp_path / "weights" / "dino").rename(tmp_path / "gone")
    model = load(run)
    assert model.get_submodule("seen").mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    image = torch.rand(2, 1, 14, 21)
    (tmp_path / "gone").rename(tmp_path / "weights" / "dino")
    fresh = fusionkit.build(tmp_path / "graph.yaml", data=tmp_path / "data.yaml")
    with torch.no_grad():
        assert torch.equal(model.get_submodule("seen")(image), fresh.eval().get_submodule("seen")(image))
    # What the run saved starts a node as the release's own file does.
    case = read_fixture(GOLDEN / "hf_bert.npz")
    again = fusionkit.build(tmp_path / "graph.yaml", data=tmp_path / "data.yaml", sets=[
        f"nodes.told.weights={run / 'model.safetensors'}#told", "nodes.told.with.folder=null",
        f"nodes.told.with.config={json.dumps(case.meta['config'])}"])
    found = again.get_submodule("told").state_dict()
    assert all(torch.equal(found[name], value) for name, value in of_text.items())


def test_in_a_comparison_each_film_and_each_report_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                   ) -> None:
    counted = {HfVision: 0, HfText: 0}
    for kind in counted:
        forward = kind.forward

        def count(self: Any, given: torch.Tensor, *rest: Any, _own: Any = forward, _kind: Any = kind, **named: Any
                  ) -> Any:
            counted[_kind] += 0 if given.is_meta else len(given)
            return _own(self, given, *rest, **named)

        monkeypatch.setattr(kind, "forward", count)
    monkeypatch.setattr(compare, "_write", tables.write_tables)
    windows = GRAPH.replace("window: 8}}", "window: 8, join: tokens}}\n"
                            "  said: {use: fusion.attention_pool, from: told}")
    folder = study(tmp_path, windows.replace("[seen, told]", "[seen, said]"))
    assert main(["compare", str(folder / "graph.yaml"), str(folder / "data.yaml"), "--node", "both", "--with",
                 "fusion.sum,fusion.gmu{width: 5}", "--reuse", "features", "--epochs", "2", "--set",
                 "nodes.seen.with.pool=mean", "-o", str(tmp_path / "out"), "--no-baselines"]) == 0
    # Once for all networks and epochs; and again for the batches that are compared with what is kept.
    assert all(18 <= count < 3 * 18 for count in counted.values())
    kept = sorted(np.load(file).shape for file in (tmp_path / "out" / "features").glob("*.npy"))
    tokens = [len(array) for array in set_up(folder / "graph.yaml", folder / "data.yaml").cohort.gathered["note"].arrays
              if array is not None]
    assert kept == [(18, 16), (sum(-(-count // 8) for count in tokens), 16)] and max(tokens) > 8


def test_the_towers_of_an_open_clip_file_are_two_folders(tmp_path: Path) -> None:
    """As docs/encoders.md says for BiomedCLIP, on a file of its form: a timm network, a BERT, and two projections."""
    import timm
    from fusionkit_plugins.encoders.hf_text import HfTextConfig
    from fusionkit_plugins.encoders.timm import Timm, TimmConfig

    case = read_fixture(GOLDEN / "hf_bert.npz")
    small = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 3}
    trunk = timm.create_model("vit_base_patch16_224", num_classes=0, **small).eval()
    whole = {f"visual.trunk.{name}": value for name, value in trunk.state_dict().items()}
    whole |= {f"text.transformer.{name}": value for name, value in case.parameters.items()}
    whole |= {"visual.head.proj.weight": torch.zeros(5, 12), "text.proj.0.weight": torch.zeros(5, 16),
              "logit_scale": torch.zeros(())}
    statistics = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    config = {"image": {"architecture": "vit_base_patch16_224", "model_args": small, "pretrained_cfg": statistics},
              "text": dict(case.meta["config"])}
    for folder, start in (("image", "visual.trunk."), ("text", "text.transformer.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(json.dumps(config[folder]))
        save_file({name.removeprefix(start): value.contiguous() for name, value in whole.items()
                   if name.startswith(start)}, tmp_path / folder / "model.safetensors")
    image = Timm(TimmConfig(model="local", folder=WeightsFolder.at(tmp_path / "image"), pool="cls"),
                 [Image((3, 16, 16))]).eval()
    text = HfText(HfTextConfig(folder=WeightsFolder.at(tmp_path / "text"), pool="cls"),
                  [MaskedText((9, 40), ("note",))]).eval()
    picture = torch.rand(2, 3, 16, 16)
    mean, deviation = (torch.tensor(statistics[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        assert torch.allclose(image(picture), trunk.forward_features((picture - mean) / deviation)[:, 0], atol=1e-6)
        wanted = next(one.array for one in case.expected if one.entry == "out_cls")
        assert torch.allclose(text(case.inputs[0], case.inputs[1].bool()), torch.from_numpy(wanted), atol=1e-5)


def test_refusals_as_they_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study(tmp_path)
    graph = str(folder / "graph.yaml")

    def printed(*arguments: str) -> str:
        assert main(["check", graph, *arguments]) == 2
        return capsys.readouterr().err

    sizes = "inputs.note.vocabulary=40"
    odd = printed("--set", "inputs.film.image=[1, 15, 21]", "--set", sizes)
    assert "graph.yaml:7:15" in odd and "15 x 21 does not divide into patches of 7 x 7" in odd and "14 x 21" in odd
    assert "has 41 ids, and the network knows 40" in printed("--set", "inputs.note.vocabulary=41")
    config = folder / "weights" / "dino" / "config.json"
    about = json.loads(config.read_text())
    config.write_text(json.dumps({**about, "model_type": "hibou", "auto_map": {"AutoModel": "modeling.Hibou"}}))
    assert "code of its own repository, which is never run" in printed("--set", sizes)
    config.write_text(json.dumps(about))
    weights = folder / "weights" / "dino" / "model.safetensors"
    file = load_file(weights)
    save_file({name: value for name, value in file.items() if name != "layernorm.weight"}, weights)
    assert "missing layernorm.weight" in printed("--set", sizes)

"""`encoder.hf_text`: recorded numbers, the library's own results now, windows, folders of sentence models, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fusionkit_plugins.blocks.transformers_models import TEXT
from fusionkit_plugins.encoders.hf_text import HfText, HfTextConfig
from recorded import GOLDEN as RECORDED
from safetensors.torch import load_file, save_file
from torch import Tensor

import fusionkit
from fusionkit.api import ComponentError, MaskedText
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.errors import GraphError
from fusionkit.pretrained.folder import WeightsFolder

GOLDEN = RECORDED / "encoders"
SMALL = {"hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 20, "vocab_size": 41,
         "max_position_embeddings": 23}
KINDS = {
    "bert": SMALL,
    "roberta": {**SMALL, "pad_token_id": 1},
    "electra": {**SMALL, "embedding_size": 7},
    "distilbert": {"dim": 12, "n_layers": 3, "n_heads": 3, "hidden_dim": 20, "vocab_size": 41,
                   "max_position_embeddings": 23},
    "modernbert": {**SMALL, "pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3,
                   "sep_token_id": 3, "local_attention": 4, "global_attn_every_n_layers": 3},
}


def net(options: dict[str, Any], tokens: int = 11, words: int = 41) -> HfText:
    torch.manual_seed(5)
    return HfText(HfTextConfig(**options), [MaskedText((tokens, words), ("note",))]).eval()


@pytest.mark.parametrize("name", ["hf_bert", "hf_modernbert"])
@pytest.mark.parametrize(("pool", "result"), [("tokens", "last"), ("cls", "cls"), ("mean", "mean"),
                                              ("mean_last", "mean_last2")])
def test_results_are_those_that_the_library_recorded(name: str, pool: str, result: str) -> None:
    case = read_fixture(GOLDEN / f"{name}.npz")
    ids, mask = case.inputs[0], case.inputs[1].bool()
    module = net({"config": dict(case.meta["config"]), "pool": pool, "last": 2}, ids.shape[1], 40)
    module.load_state_dict(module.adapt_weights(dict(case.parameters)))
    wanted = next(one.array for one in case.expected if one.entry == f"out_{result}")
    with torch.no_grad():
        found = module(ids, mask)
        other = module(ids.where(mask, 7), mask)
    assert torch.allclose(found, torch.from_numpy(wanted), atol=1e-5)
    assert torch.equal(found, other)  # what padding holds is read by nothing


def folder_of(kind: str, place: Path, task: str = "ForMaskedLM", dtype: torch.dtype = torch.float32) -> Any:
    """A folder as the library writes that of a whole model with its head, and the library's network of it."""
    import transformers

    torch.manual_seed(3)
    about = transformers.AutoConfig.for_model(kind, **KINDS[kind])
    whole = getattr(transformers, TEXT[kind].network.removesuffix("Model") + task)(about).to(dtype)
    whole.save_pretrained(place)
    return getattr(transformers, TEXT[kind].network).from_pretrained(place, local_files_only=True,
                                                                     dtype=torch.float32).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_the_library_wrote_gives_what_the_library_computes_of_it(kind: str, tmp_path: Path) -> None:
    theirs = folder_of(kind, tmp_path)
    ours = net({"folder": WeightsFolder.at(tmp_path), "pool": "tokens"})
    ids, valid = torch.randint(4, 41, (3, 11)), torch.arange(11) < torch.tensor([[11], [6], [1]])
    padded = ids.where(valid, 1 if kind == "roberta" else 0)
    with torch.no_grad():
        wanted = theirs(padded, attention_mask=valid.long()).last_hidden_state
        assert torch.allclose(ours(ids, valid)[valid], wanted[valid], atol=1e-5)
        assert torch.allclose(ours(ids), theirs(ids).last_hidden_state, atol=1e-5)
    file = load_file(tmp_path / "model.safetensors")
    names = {name.removeprefix(prefix) for name in file for prefix in ("", *TEXT[kind].prefixes)}
    assert ours.state_dict().keys() <= names


def test_a_lacking_layer_a_pickled_file_and_half_precision(tmp_path: Path) -> None:
    folder_of("bert", tmp_path, dtype=torch.float16)
    path = tmp_path / "model.safetensors"
    options = {"folder": WeightsFolder.at(tmp_path)}
    assert {part.dtype for part in net(options).parameters()} == {torch.float32}
    file = load_file(path)
    save_file({name: value for name, value in file.items() if "layer.1.attention.self.key" not in name}, path)
    with pytest.raises(GraphError, match=r"missing encoder\.layer\.1\.attention\.self\.key\.bias"):
        net(options)
    path.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(GraphError, match=r"has pytorch_model\.bin, but no model\.safetensors"):
        net(options)
    with torch.device("meta"):  # a plan needs the settings alone
        assert net(options).state_dict().keys() == {name.removeprefix("bert.") for name in file
                                                    if name.startswith("bert.")}


def test_shards_that_the_library_wrote_are_one_network(tmp_path: Path) -> None:
    theirs = folder_of("bert", tmp_path / "whole")
    wanted = net({"folder": WeightsFolder.at(tmp_path / "whole")}).state_dict()
    theirs.save_pretrained(tmp_path, max_shard_size="3KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    found = net({"folder": WeightsFolder.at(tmp_path)}).state_dict()
    assert len(shards) > 3 and all(torch.equal(found[name], value) for name, value in wanted.items())
    for lost in shards[1:3]:
        lost.unlink()
    with pytest.raises(GraphError, match=rf"lacks 2 of {len(shards)} shards: {shards[1].name}, {shards[2].name} "):
        net({"folder": WeightsFolder.at(tmp_path)})


@pytest.mark.parametrize("join", ["mean", "max", "tokens"])
def test_windows_are_read_apart_and_joined(join: str) -> None:
    options: dict[str, Any] = {"config": {"model_type": "bert", **SMALL}}
    windowed = net({**options, "window": 4, "join": join, "chunk": 2}, tokens=150)
    plain, tokens = net(options), net({**options, "window": 4, "pool": "tokens"}, tokens=150)
    ids, valid = torch.randint(4, 41, (3, 11)), torch.arange(11) < torch.tensor([[11], [6], [0]])
    with torch.no_grad():
        found, states = windowed(ids, valid), tokens(ids, valid)
        parts = [[plain(ids[row : row + 1, start : min(start + 4, count)])[0] for start in range(0, count, 4)]
                 for row, count in enumerate((11, 6))]
        wanted = [torch.stack(part).mean(0) if join == "mean" else torch.stack(part).amax(0) for part in parts]
        one = windowed(ids[:, :3], valid[:, :3])
        alone = net({**options, "pool": "tokens"})(ids[:1, 4:8])
    if join == "tokens":
        assert found.shape == (3, 3, 12) and one.shape == (3, 1, 12) and not found[1, 2].any() and not found[2].any()
        found = torch.cat([found[0], found[1, :2]])
        assert torch.allclose(found, torch.cat([torch.stack(part) for part in parts]), atol=1e-6)
        return
    assert torch.allclose(found[:2], torch.stack(wanted), atol=1e-6) and not found[2].any()
    assert torch.allclose(states[:1, 4:8], alone, atol=1e-6) and not states[~valid].any()


def test_a_folder_of_a_sentence_model_says_how_it_pools(tmp_path: Path) -> None:
    folder_of("bert", tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    said = tmp_path / "1_Pooling" / "config.json"
    said.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Normalize"}]))
    folder, ids = WeightsFolder.at(tmp_path), torch.randint(4, 41, (2, 5))

    def result(**options: Any) -> Tensor:
        with torch.no_grad():
            return net({"folder": folder, **options}, 5)(ids)

    assert torch.equal(result(), result(pool="cls", normalise="l2"))
    assert torch.allclose(result().norm(dim=1), torch.ones(2)) and not torch.allclose(result(), result(pool="cls"))
    said.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ComponentError, match="asks for pooling_mode_max_tokens"):
        result()


def refusal(options: dict[str, Any], tokens: int = 11, words: int = 41) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        net(options, tokens, words)
    return caught.value


def test_a_text_may_have_as_many_tokens_as_the_network_has_positions() -> None:
    graph = {"fusionkit": 1, "inputs": {"note": {"text": 23, "vocabulary": 41}},
             "nodes": {"read": {"use": "encoder.hf_text", "from": "note",
                                "with": {"config": {"model_type": "bert", **SMALL}}},
                       "kind": {"use": "head.classify", "from": "read", "with": {"classes": ["a", "b"]}}}}
    assert fusionkit.plan(graph).node("read").values[0].shape.width == 12
    graph["inputs"] = {"note": {"text": 24, "vocabulary": 41}}
    with pytest.raises(GraphError, match="up to 24 tokens"):
        fusionkit.plan(graph)


def test_what_cannot_be_is_refused_with_the_reason() -> None:
    bert = {"config": {"model_type": "bert", **SMALL}}
    assert str(refusal(bert, words=42)) == "the tokenizer has 42 ids, and the network knows 41"
    long = refusal(bert, tokens=24)
    assert "up to 24 tokens, and the network has 23 positions" in str(long) and "'window:'" in str(long.fix)
    roberta = {"config": {"model_type": "roberta", "pad_token_id": 1, **SMALL}}
    assert "the network has 21 positions" in str(refusal({**roberta, "window": 22}))
    assert "'last' is 4, and the network has 3 layers" in str(refusal({**bert, "pool": "mean_last"}))
    assert "reads values of its mask" in str(refusal({"config": {"model_type": "longformer"}}).why)
    assert "encoder.hf_vision" in str(refusal({"config": {"model_type": "vit"}}))

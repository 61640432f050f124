"""recipe.yaml: read with line and column, checked before the file of weights is opened, shown by `weights show`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fusionkit.cli.parser import main
from fusionkit.errors import GraphError
from fusionkit.pretrained.recipe import check_sha256, read_recipe, recipe_of
from fusionkit.pretrained.shards import WeightFiles

WHOLE = """fusionkit-recipe: 1
network: {use: encoder.resnet3d, with: {depth: 50, shortcut: B, dilations: [1, 1, 2, 4]}}
weights: {file: model.safetensors, sha256: SHA, source: OWNER/NAME, revision: 0123456789012345678901234567890123456789}
input:   {layout: volume, channels: [ct], order: dhw, orientation: SPL, spacing: [1.0, 1.0, 1.0], size: [56, 448, 448],
          divisible: 8, window: [-1000, 1000], scale: [0, 1], mean: [0.0], std: [1.0], per_case: none,
          resize: trilinear, crop: center, pad: 0}
features: {pool: cls_mean, width: 2560, norm: none, precision: float16}
licence: {name: CC-BY-NC-ND-4.0, gated: true, commercial: false}
citation: ["doi:10.1000/1"]
"""


def written(place: Path, text: str) -> Path:
    path = place / "recipe.yaml"
    path.write_text(text)
    return path


def weights(place: Path) -> str:
    (place / "model.safetensors").write_bytes(b"numbers")
    return hashlib.sha256(b"numbers").hexdigest()


def test_every_part_is_read(tmp_path: Path) -> None:
    content = read_recipe(written(tmp_path, WHOLE.replace("SHA", "0" * 64))).content
    assert content.network and content.network.options["dilations"] == [1, 1, 2, 4]
    assert content.weights.revision == "0123456789" * 4  # digits alone are text here
    assert content.input.size == [56, 448, 448]
    assert str(content.licence) == "CC-BY-NC-ND-4.0, gated, no commercial use"


@pytest.mark.parametrize(("text", "place", "code"), [
    ("network: {use: x}\n", "1:1", "recipe-version"),
    ("fusionkit-recipe: 2\n", "1:19", "recipe-version"),
    ("fusionkit-recipe: 1\ninput: {sizes: [3]}\n", "2:9", "unknown-option"),
    ("fusionkit-recipe: 1\ninput: {size: [3, x]}\n", "2:19", "bad-option"),
    ("fusionkit-recipe: 1\ninput: {layout: volume, size: [3, 4]}\n", "2:8", "bad-option"),
    ("fusionkit-recipe: 1\ninput: {orientation: LRS}\n", "2:8", "bad-option"),
    ("fusionkit-recipe: 1\ninput: {std: [0]}\n", "2:8", "bad-option"),
    ("fusionkit-recipe: 1\ninput: {window: [5, 5]}\n", "2:8", "bad-option"),
    ("fusionkit-recipe: 1\nweights: {file: ../other.safetensors}\n", "2:17", "bad-option"),
    ("fusionkit-recipe: 1\nweights: {sha256: abc}\n", "2:19", "bad-option"),
    ("fusionkit-recipe: 1\nlicence: !!python/object:x {}\n", "2:10", "yaml-tag"),
    ("fusionkit-recipe: 1\n- a\n", "2:1", "yaml-syntax"),
    ("[]\n", "1:1", "bad-option"),
])
def test_a_mistake_has_its_line_and_column(tmp_path: Path, text: str, place: str, code: str) -> None:
    with pytest.raises(GraphError) as caught:
        read_recipe(written(tmp_path, text))
    assert [each.code for each in caught.value.diagnostics] == [code]
    assert f"recipe.yaml:{place}: " in str(caught.value)


def test_a_recipe_is_about_the_file_that_it_names(tmp_path: Path) -> None:
    written(tmp_path, "fusionkit-recipe: 1\nweights: {file: a.pth}\n")
    assert recipe_of(tmp_path / "a.pth") is not None
    assert recipe_of(tmp_path / "b.pth") is None
    assert recipe_of(tmp_path / "other" / "a.pth") is None


def test_a_changed_file_is_noticed_after_a_right_one(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, f"fusionkit-recipe: 1\nweights: {{sha256: {weights(tmp_path)}}}\n"))
    check_sha256(WeightFiles(tmp_path / "model.safetensors"), recipe)
    (tmp_path / "model.safetensors").write_bytes(b"other numbers")
    with pytest.raises(GraphError, match=r"recipe\.yaml:2:19.*wrong-weights"):
        check_sha256(WeightFiles(tmp_path / "model.safetensors"), recipe)


def test_weights_show_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, WHOLE.replace("SHA", weights(tmp_path)))
    (tmp_path / "config.json").write_text('{"architecture": "vit_large_patch16_224"}')
    assert main(["weights", "show", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    for part in ("vit_large_patch16_224", "encoder.resnet3d", "CC-BY-NC-ND-4.0, gated, no commercial use", "56",
                 "doi:10.1000/1"):
        assert part in told
    assert told.splitlines()[-1].split() == ["checksum", "right"]
    assert main(["weights", "show", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["input"]["divisible"] == 8


@pytest.mark.parametrize(("recipe", "code"), [
    (None, "no-recipe"), (WHOLE.replace("SHA", "1" * 64), "wrong-weights"),
    ("fusionkit-recipe: 1\nx: 1\n", "unknown-option")])
def test_weights_show_refuses_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str | None,
                                            code: str) -> None:
    weights(tmp_path)
    if recipe is not None:
        written(tmp_path, recipe)
    assert main(["weights", "show", str(tmp_path)]) == 2
    assert f"[{code}" in capsys.readouterr().err

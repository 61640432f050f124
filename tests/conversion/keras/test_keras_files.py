"""Files of Keras: names in pieces, every layout in small, and what is refused."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from keras_files import LAYOUTS, write

from fusionkit.conversion.keras import read_keras
from fusionkit.conversion.keras import reading as reading_of_files
from fusionkit.errors import GraphError


def test_names_in_pieces_and_half_precision(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"one"], [b"two"]
        for name in ("one", "two"):
            file.create_group(name).attrs["weight_names"] = [f"scope/{name}/kernel:0".encode()]
            file[f"{name}/scope/{name}/kernel:0"] = np.full((2, 3), 0.5, np.float16)
    tensors = read_keras(tmp_path / "a.h5")
    assert tensors.keys() == {"one.kernel", "two.kernel"}
    assert torch.equal(tensors["two.kernel"], torch.full((2, 3), 0.5))


def test_what_is_no_file_of_keras_is_refused(tmp_path: Path):
    (tmp_path / "text.h5").write_text("no weights")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.create_group("layers")
    with h5py.File(tmp_path / "text_inside.h5", "w") as file:
        file["layers/a/vars/0"] = "words"
    with zipfile.ZipFile(tmp_path / "bare.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with zipfile.ZipFile(tmp_path / "broken.keras", "w") as archive:
        archive.writestr("config.json", '{"config": {"layers": [7]}}')
        archive.writestr("model.weights.h5", (tmp_path / "empty.h5").read_bytes())
    for name in ("text.h5", "empty.h5", "text_inside.h5", "bare.keras", "broken.keras", "absent.h5"):
        with pytest.raises(GraphError) as caught:
            read_keras(tmp_path / name)
        assert caught.value.diagnostics[0].code == "unreadable-weights", name


@pytest.mark.parametrize("name", ["weights.h5", "weights.keras"])
@pytest.mark.parametrize(("make", "why"), [
    (os.mkfifo, "it is a pipe, not a file"), (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    (Path.mkdir, "")])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str, make: Callable[[Path], object], why: str):
    make(tmp_path / name)
    with pytest.raises(GraphError) as caught:
        read_keras(tmp_path / name)
    found = caught.value.diagnostics[0]
    assert found.code == "unreadable-weights" and found.why is not None and why in found.why


def test_links_out_of_the_file_are_not_followed(tmp_path: Path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.ones(3)
    for name, link in (("external", h5py.ExternalLink("other.h5", "/secret")), ("soft", h5py.SoftLink("/elsewhere"))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_group("layers/conv2d/vars")["0"] = link
        with pytest.raises(GraphError, match="a link in its place"):
            read_keras(tmp_path / f"{name}.h5")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (3,))
        file.create_virtual_dataset("layers/conv2d/vars/0", layout)
    with pytest.raises(GraphError, match="in another file"):
        read_keras(tmp_path / "virtual.h5")


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layers = {"conv2d": {"kernel": np.ones((1, 1, 40, 50), np.float32)}}
    files = [write(tmp_path / f"{layout}{suffix}", layout, layers) for layout, suffix in LAYOUTS.items()]
    for path in files:
        assert read_keras(path).keys() == {"conv2d.kernel"}
    monkeypatch.setattr(reading_of_files, "_MOST_BYTES", 7000)
    for path in files:
        with pytest.raises(GraphError, match="larger than 7000 bytes"):
            read_keras(path)

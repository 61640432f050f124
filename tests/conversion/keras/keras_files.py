"""Writes small files as Keras writes them, in each of its layouts, from layers by name."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fusionkit.conversion.convert import parts_of
from fusionkit.conversion.name_mapping import pairs
from fusionkit.network.model import FusionModel

Layers = Mapping[str, Mapping[str, Any]]
"""Arrays by layer and variable, in the order of the network; a mapping of mappings is a model inside the model."""
LAYOUTS = {"legacy": ".h5", "whole": ".h5", "group": ".weights.h5", "attribute": ".weights.h5", "none": ".weights.h5",
           "archive": ".keras"}
"""The suffix of a file in each layout that Keras has had."""
ORDER = ("kernel", "gamma", "bias", "beta", "moving_mean", "moving_variance")


def layers_of(model: FusionModel, release: str) -> dict[str, dict[str, np.ndarray]]:
    """A network's tensors under the names and in the axes of Keras."""
    state = model.state_dict()
    found: dict[str, dict[str, np.ndarray]] = {}
    for part in parts_of(model, release):
        for ours, theirs in pairs(part):
            if theirs is None or ours.endswith("num_batches_tracked"):
                continue
            layer, _, variable = theirs.rpartition(".")
            array = state[ours].numpy()
            found.setdefault(layer, {})[variable] = np.moveaxis(array, (0, 1), (-1, -2)) if array.ndim > 1 else array
    return {layer: dict(sorted(values.items(), key=lambda item: ORDER.index(item[0])))
            for layer, values in found.items()}


def is_model(layer: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Mapping) for value in layer.values())


def legacy(top: h5py.Group, layers: Layers) -> None:
    top.attrs["layer_names"] = [name.encode() for name in ("input_1", *layers)]
    top.create_group("input_1").attrs["weight_names"] = np.array([], dtype="S1")
    for name, layer in layers.items():
        group = top.create_group(name)
        inner = {f"{one}/{variable}:0": array for one, values in layer.items() for variable, array in values.items()} \
            if is_model(layer) else {f"{name}/{variable}:0": array for variable, array in layer.items()}
        group.attrs["weight_names"] = [key.encode() for key in inner]
        for key, array in inner.items():
            group[key] = array


def kind_of(layer: Mapping[str, Any]) -> str:
    return "Functional" if is_model(layer) else "Conv2D" if "kernel" in layer else "BatchNormalization"


def groups_of(layers: Layers) -> dict[str, str]:
    """The group of each layer: its kind and a number."""
    counts: dict[str, int] = {}
    found = {}
    for name, layer in layers.items():
        kind = {"Functional": "functional", "Conv2D": "conv2d", "BatchNormalization": "batch_normalization"}[
            kind_of(layer)]
        number = counts[kind] = counts.get(kind, -1) + 1
        found[name] = f"{kind}_{number}" if number else kind
    return found


def third(top: h5py.Group, layers: Layers, names: str) -> None:
    """Keras 3. `names`: group, attribute or none, where the names of layers are kept."""
    groups = {name: name for name in layers} if names == "group" else groups_of(layers)
    for name, layer in layers.items():
        group = top.create_group(f"layers/{groups[name]}")
        if names == "attribute":
            group.attrs["name"] = name
        if is_model(layer):
            third(group, layer, names)
            continue
        for place, array in enumerate(layer.values()):
            group[f"vars/{place}"] = array


def config_of(layers: Layers, name: str = "model") -> dict[str, Any]:
    listed = [config_of(layer, one) if is_model(layer) else {"class_name": kind_of(layer), "config": {"name": one}}
              for one, layer in layers.items()]
    return {"class_name": "Functional", "config": {"name": name, "layers": [
        {"class_name": "InputLayer", "config": {"name": "input_1"}}, *listed]}}


def write(path: Path, layout: str, layers: Layers) -> Path:
    """A file in one of the layouts: legacy, whole, group, attribute, none, archive."""
    if layout == "archive":
        stored = BytesIO()
        with h5py.File(stored, "w") as file:
            third(file, layers, "none")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config_of(layers)))
            archive.writestr("model.weights.h5", stored.getvalue())
        return path
    with h5py.File(path, "w") as file:
        if layout in ("legacy", "whole"):
            legacy(file.create_group("model_weights") if layout == "whole" else file, layers)
        else:
            third(file, layers, layout)
    return path

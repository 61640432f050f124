"""`fusionkit check` of a graph with each encoder from outside: seconds of the processor after imports.

Run: python benchmarks/check_encoders.py [NAME ...] [--rounds 3].
Folders and files of weights in the form of published ones, of their size, are made with random numbers. Each check is
the first work of a process, a copy of one that has imported modules and done nothing else (it needs `fork`): once with
the imports of the packages that the encoder needs, and then without.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORK = multiprocessing.get_context("fork")
VOLUME, WIDE, PICTURE, GREY = ({"volume": [1, 64, 64, 64]}, {"volume": [1, 96, 96, 96]}, {"image": [3, 224, 224]},
                               {"image": [1, 224, 224]})
TABLE, TEXT = {"vector": [20]}, {"text": 512, "vocabulary": 30522}
EVENTS, STEPS = {"events": 128, "variables": 30}, {"series": [None, 30], "max": 48}
VIT = {"architecture": "vit_base_patch14_reg4_dinov2", "model_args": {"img_size": 224, "init_values": 1e-5},
       "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
XRV = {"architecture": "densenet121", "model_args": {"in_chans": 1}}
DINO = {"model_type": "dinov2", "image_size": 224, "patch_size": 14, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "mlp_ratio": 4}
BERT = {"model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512}


@dataclass(frozen=True)
class Tried:
    """An encoder with its options over an input.

    `described` is a config.json: the weights then lie in a folder with it, named by `folder`; with `weights` they are
    in a file named by the node. Otherwise the network has none. Without `reads`, `use` is a published graph, and
    `weights` the node that has a file.
    """

    use: str
    reads: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    described: Mapping[str, Any] | None = None
    weights: str = ""


TRIED = {
    "timm, ViT-B/14 with registers, folder": Tried("encoder.timm", PICTURE, {"model": "local", "pool": "cls"}, VIT),
    "timm, X-ray DenseNet121, folder": Tried("encoder.timm", GREY, {"model": "local", "normalise": "none"}, XRV),
    "hf_vision, DINOv2 base, folder": Tried("encoder.hf_vision", PICTURE, {"normalise": "none"}, DINO),
    "hf_text, BERT base, folder": Tried("encoder.hf_text", TEXT, {"pool": "mean"}, BERT),
    "resnet3d 50, MedicalNet's file": Tried("encoder.resnet3d", VOLUME, {"depth": 50, "preset": "medicalnet"},
                                            weights="seen"),
    "nnunet, plain, file": Tried("encoder.nnunet", VOLUME, {}, weights="seen"),
    "nnunet, residual, file": Tried("encoder.nnunet", VOLUME, {"network": "residual"}, weights="seen"),
    "monai, DenseNet121, folder": Tried("encoder.monai", VOLUME, {"network": "densenet121"}, {}),
    "monai, SE-ResNet50, folder": Tried("encoder.monai", VOLUME, {"network": "seresnet50"}, {}),
    "monai, Swin of SwinUNETR, folder": Tried("encoder.monai", WIDE, {"network": "swin"}, {}),
    "monai, Swin of SwinUNETR, random": Tried("encoder.monai", WIDE, {"network": "swin"}),
    "monai, SegResNet, folder": Tried("encoder.monai", VOLUME, {"network": "segresnet"}, {}),
    "monai, CT-FM's SegResEncoder, folder": Tried("encoder.monai", WIDE, {"network": "segres_encoder",
                                                                          "blocks": [1, 2, 2, 4, 4]}, {}),
    "monai, ViT, folder": Tried("encoder.monai", WIDE, {"network": "vit"}, {}),
    "each_slice of DenseNet121, file": Tried("encoder.each_slice", {"volume": [1, 48, 224, 224]}, {
        "encoder": {"use": "encoder.timm", "with": {"model": "densenet121"}}}, weights="seen"),
    "SAM over 12 slices, file (mmcaf-net-sam)": Tried("mmcaf-net-sam", weights="slices"),
    "medfuse": Tried("medfuse"),
    "ft_transformer": Tried("encoder.ft_transformer", TABLE),
    "tabm": Tried("encoder.tabm", TABLE),
    "resnet_table": Tried("encoder.resnet_table", TABLE),
    "tabicl, of the published size, file": Tried("encoder.tabicl", TABLE, {}, weights="seen"),
    "lstm": Tried("encoder.lstm", STEPS),
    "grud": Tried("encoder.grud", STEPS),
    "mtand": Tried("encoder.mtand", STEPS),
    "strats": Tried("encoder.strats", EVENTS),
}


def graph_of(tried: Tried) -> Any:
    """The graph without its weights."""
    if tried.reads is None:
        return tried.use
    nodes: dict[str, Any] = {"seen": {"use": tried.use, "from": "given", "with": dict(tried.options)}}
    read = "seen"
    if tried.use in ("encoder.mtand", "encoder.tabm", "encoder.each_slice"):  # which give tokens
        nodes["pooled"], read = {"use": "encoder.pool", "from": "seen"}, "pooled"
    nodes["result"] = {"use": "head.classify", "from": read, "with": {"classes": ["no", "yes"]}}
    return {"fusionkit": 1, "name": "tried", "inputs": {"given": tried.reads}, "nodes": nodes}


def write(tried: Tried, folder: Path) -> list[str]:
    """Write the graph, and the weights that it starts from; gives the settings that name them."""
    from fusionkit import build
    from fusionkit.network.weights import save_tensors, save_weights

    graph = graph_of(tried)
    folder.mkdir()
    if tried.weights:
        save_weights(build(graph).get_submodule(tried.weights), folder / "model.safetensors")
    elif tried.described is not None:
        from timm import create_model

        options = graph["nodes"]["seen"]["with"]
        if tried.use == "encoder.timm":
            save_weights(create_model(tried.described["architecture"], num_classes=0, **tried.described["model_args"]),
                         folder / "model.safetensors")
        else:
            if tried.described:
                options["config"] = dict(tried.described)
            save_tensors(build(graph).get_submodule("seen").state_dict(), folder / "model.safetensors")
            options.pop("config", None)
        options["folder"] = "."
        (folder / "config.json").write_text(json.dumps(tried.described))
    if tried.reads is not None:
        (folder / "graph.yaml").write_text(json.dumps(graph))  # which YAML contains
    return [f"nodes.{tried.weights}.weights={folder / 'model.safetensors'}"] if tried.weights else []


def seconds(graph: str, sets: list[str]) -> tuple[float, list[str]]:
    """What a check takes, and the modules that it imported."""
    import fusionkit

    before, began = set(sys.modules), time.process_time()
    fusionkit.check(graph, sets=sets)
    took = time.process_time() - began
    return took, [name for name in sys.modules if name not in before and getattr(sys.modules[name], "__spec__", None)]


def apart(work: Callable[..., Any], *given: Any) -> Any:
    """The result of work in a copy of this process, so that this one has imported modules and run nothing."""
    receive, send = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: send.send(work(*given)))
    process.start()
    send.close()
    try:
        return receive.recv()
    finally:
        process.join()


def measured(tried: Tried, folder: Path, rounds: int) -> tuple[float, float]:
    """Seconds of the first check of a process, with the imports of its packages, and without them: the median."""
    sets = apart(write, tried, folder)
    graph = tried.use if tried.reads is None else str(folder / "graph.yaml")
    first, modules = apart(seconds, graph, sets)
    for name in modules:
        importlib.import_module(name)
    return first, statistics.median(apart(seconds, graph, sets)[0] for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    import fusionkit

    fusionkit.check  # noqa: B018  # which imports the interface
    import torch

    torch.set_num_threads(1)
    print(f"{'encoder':44} {'with imports':>13} {'check':>7}   seconds of the processor, median of {args.rounds}")
    with tempfile.TemporaryDirectory() as scratch:
        for place, (name, tried) in enumerate(TRIED.items()):
            if args.names and not any(part in name for part in args.names):
                continue
            folder = Path(scratch) / str(place)
            first, check = apart(measured, tried, folder, args.rounds)
            shutil.rmtree(folder)
            print(f"{name:44} {first:13.2f} {check:7.2f}", flush=True)


if __name__ == "__main__":
    main()

"""`fusionkit doctor`: whether this installation works, and what it can use."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fusionkit import __version__
from fusionkit.cli.arguments import add_data_root_option, add_graph_options
from fusionkit.errors import UserError
from fusionkit.interface.console import Console

SUMMARY = "Report whether this installation works and what it can use."
_EXTRAS = {"captum": "explain", "scikit-learn": "explain", "nibabel": "nifti",
           "onnxruntime": "export", "optuna": "tune", "submitit": "slurm", "pyarrow": "parquet",
           "python-calamine": "excel", "python-multipart": "serve", "pylibjpeg": "dicom", "python-gdcm": "dicom"}


@dataclass(frozen=True)
class ReportLine:
    """One line of the report; a fault means that the installation is broken."""

    what: str
    said: str
    fault: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("data", nargs="?", metavar="DATA", help="a data description: also measure on some of its cases "
                        "whether reading, changing at random or computing is slowest")
    parser.add_argument("graph", nargs="?", metavar="GRAPH", help="the graph file that computes")
    add_data_root_option(parser)
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Check everything, then report all of it; 1 if something is broken."""
    found = [*_packages(), *_devices(), *_plugins(), _network()]
    for item in found:
        console.line(f"{'FAULT' if item.fault else 'ok':5}  {item.what:16}  {item.said}")
    faults = [item for item in found if item.fault]
    console.line(f"\nfaults: {len(faults)}" if faults else "\nthis installation works")
    speed = {} if args.data is None else {"speed": _speed(args, console)}
    console.data({"sound": not faults, "findings": [vars(item) for item in found], **speed})
    return 1 if faults else 0


def _speed(args: Namespace, console: Console) -> dict[str, Any]:
    """Measure some cases of a data file, and print what takes longest."""
    from fusionkit.interface.speed import measure_speed

    found = measure_speed(args.data, args.graph, sets=args.sets, data_roots=args.data_roots, plugins=args.plugins,
                          console=console)
    console.line(f"\n{found.cases} cases of {args.data}, one after the other; 'workers: auto' is {found.workers} here")
    for name, said in found.lines():
        console.line(f"       {name:16}  {said}")
    return {**asdict(found), "slowest": found.slowest}


def _packages() -> list[ReportLine]:
    import importlib.metadata
    import platform

    found = [ReportLine("fusionkit", f"{__version__}, Python {platform.python_version()}, {platform.system()}")]
    for requirement in importlib.metadata.requires("fusionkit") or []:
        name = requirement.split(">")[0].split(";")[0].split("[")[0].strip()
        if "extra ==" in requirement:
            continue
        try:
            found.append(ReportLine(name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(ReportLine(name, f"missing: pip install '{requirement}'", fault=True))
    for name, extra in _EXTRAS.items():
        try:
            found.append(ReportLine(name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(ReportLine(name, f"not installed (optional): pip install 'fusionkit[{extra}]'"))
    return found


def _devices() -> list[ReportLine]:
    import shutil

    import torch

    from fusionkit.data.processors import usable_processors

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [torch.cuda.get_device_name(index) for index in range(count)]
    free = shutil.disk_usage(Path.cwd()).free
    return [
        ReportLine("CPU", f"{os.cpu_count()} cores, {usable_processors()} of them usable, "
                          f"{torch.get_num_threads()} threads"),
        ReportLine("GPU", ", ".join(names) if names else "none: training runs on the CPU"),
        ReportLine("disk", f"{free / 1e9:.0f} GB free in {Path.cwd()}", fault=free < 1e9),
    ]


def _plugins() -> list[ReportLine]:
    from fusionkit.components.declaration import Declaration
    from fusionkit.registry.lookup import discover

    registry = discover()
    found = [ReportLine("plugins", f"{len(registry.ids)} components, {len(registry.graphs)} published graphs")]
    for provider in registry.providers:
        if provider.problem:
            found.append(ReportLine("plugin", f"{provider.name} ({provider}): {provider.problem}", fault=True))
    for name, owners in registry.collisions.items():
        found.append(ReportLine("plugin", f"{name} is claimed by {' and '.join(map(str, owners))}", fault=True))
    for name in registry.ids:
        try:
            registry.load(name, of=Declaration)
        except UserError as error:
            found.append(ReportLine("plugin", f"{name}: {error.diagnostics[0].why}", fault=True))
    return found


def _network() -> ReportLine:
    """Build a small network and run it, forward and backward."""
    import torch

    from fusionkit.network.build import build

    graph = {
        "fusionkit": 1,
        "inputs": {"image": {"image": [1, 11, 13]}, "table": {"vector": [5]}},
        "nodes": {
            "seen": {"use": "encoder.conv", "from": "image", "with": {"widths": [4]}},
            "told": {"use": "encoder.mlp", "from": "table", "with": {"width": 4}},
            "both": {"use": "fusion.concat", "from": ["seen", "told"]},
            "result": {"use": "head.classify", "from": "both", "with": {"classes": ["a", "b"]}},
        },
    }
    try:
        model = build(graph)
        output = model({"image": torch.randn(3, 1, 11, 13), "table": torch.randn(3, 5)})["result"]
        output.sum().backward()
    except Exception as error:
        return ReportLine("a small network", f"{type(error).__name__}: {error}", fault=True)
    return ReportLine("a small network", "builds, runs forward and backward")

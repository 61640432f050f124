"""A training step beside a plain PyTorch loop, Lightning and MONAI; and what comes before and after the steps.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--part steps masked start finish evaluate dicom memory]
        [--rounds 9] [--small] [--record FILE]

`steps`: batches of 32 of three cohorts in memory, the same network and optimiser: composed and trained by fusionkit
with its default settings (losses and gradients are checked and recorded, states saved); by hand in a plain loop that
prints nothing and saves nothing; by Lightning without logger, checkpoints and progress bar; by hand over MONAI's
CacheDataset. All run in one process and one thread, in random order in every round; a time is the processor time from
the end of the first step to the end of training, by step. A ratio is another's time over ours of the same round, so
that below 1 the other is faster: the median and the quartiles of the rounds.
`masked`: forward of a network whose inputs are optional and all there, over that of the same without optional inputs.
`start`: a `fusionkit train` with files that are cached, until its first step, beside `import torch`.
`finish`: after the last epoch of a `fusionkit train`, with 1,000 test cases. `evaluate`: see evaluate_run.py.
`dicom`: a series of 40 slices of 512 x 512 into an array, over SimpleITK's reader.
`memory`: the peak of a process that trains, ours and the plain loop's.

Lightning and MONAI are dependencies of this script alone: python -m pip install lightning monai SimpleITK. What is not
installed is left out, by name. `--small` takes few cases and rounds: it shows that the script works, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from by_hand import NETWORKS
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from whole_commands import dicom, evaluate, finish, memory, start

import fusionkit
from fusionkit.data.batch import Batch, collate
from fusionkit.data.loading import CaseDataset
from fusionkit.datasets.breast_cancer import write_breast_cancer
from fusionkit.datasets.organs import write_organs
from fusionkit.datasets.phantom_files import write_phantom
from fusionkit.network.build import build_plan
from fusionkit.planning.open_graph import open_graph
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import discover
from fusionkit.runs.setup import cache_for, set_up
from fusionkit.syntax.tree import to_plain
from fusionkit.training.loop import fit
from fusionkit.training.settings import read_settings

Times = Mapping[str, Sequence[float]]
BATCH, RATE = 32, 1e-3


@dataclass(frozen=True)
class Work:
    """A cohort that is in memory, and how often it is seen."""

    graph: str
    plan: Plan
    cases: CaseDataset
    together: Batch
    epochs: int
    scratch: Path

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * -(-len(self.cases) // BATCH)

    def by_hand(self) -> nn.Module:
        """The network written by hand."""
        return NETWORKS[self.graph](build_plan(self.plan, 0)).train()

    @property
    def target(self) -> Tensor:
        """The classes of all cases."""
        return self.together.targets[self.plan.heads[0].name]


def works(folder: Path, small: bool) -> list[Work]:
    """Breast-cancer tables, cubes of CT, volumes and tables of the phantom."""
    write_breast_cancer(folder / "breast-cancer")
    write_organs(folder / "organs", 100 if small else 1000)
    write_phantom(folder / "phantom", "additive", 40 if small else 256)
    return [_work(folder, name, 2 if small else epochs) for name, epochs in
            (("breast-cancer", 20), ("organs", 4), ("phantom", 4))]


def _work(folder: Path, name: str, epochs: int) -> Work:
    data = folder / name / "data.yaml"
    setup = set_up(name, data)
    rows = setup.cohort.rows
    cases = setup.cohort.dataset(rows, setup.cohort.fit(rows), cache_for(data))
    return Work(name, setup.plan, cases, collate([cases[place] for place in range(len(cases))]), epochs, folder)


class Clock:
    """Processor time from the end of the first step."""

    def __init__(self) -> None:
        self.begun = 0.0

    def step(self, *_: Any) -> None:
        """A step has ended."""
        self.begun = self.begun or time.process_time()

    def per_step(self, steps: int) -> float:
        """Seconds of each of the later steps."""
        return (time.process_time() - self.begun) / (steps - 1)


def ours(work: Work) -> float:
    """fusionkit's training, as `fusionkit train` calls it."""
    settings = read_settings(None, {"epochs": work.epochs, "batch_size": BATCH, "learning_rate": RATE,
                                    "device": "cpu", "threads": 1})
    clock, network = Clock(), build_plan(work.plan, 0)
    with tempfile.TemporaryDirectory(dir=work.scratch) as folder:
        fit(network, work.cases, None, settings, Path(folder), progress=clock.step)
        return clock.per_step(work.steps)


def _looped(work: Work, loader: Any, opened: Callable[[Any], tuple[dict[str, Tensor], Tensor]]) -> float:
    network, clock = work.by_hand(), Clock()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE)
    for _ in range(work.epochs):
        total = 0.0
        for batch in loader:
            inputs, target = opened(batch)
            optimiser.zero_grad()
            loss = F.cross_entropy(network(inputs), target)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += loss.item()
            clock.step()
    return clock.per_step(work.steps)


def _opened(names: Sequence[str], batch: Sequence[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    return dict(zip(names, batch[:-1], strict=True)), batch[-1]


def _tensors(work: Work) -> TensorDataset:
    return TensorDataset(*work.together.inputs.values(), work.target)


def plain(work: Work) -> float:
    """A loop over a DataLoader."""
    loader = DataLoader(_tensors(work), BATCH, shuffle=True)
    return _looped(work, loader, partial(_opened, list(work.together.inputs)))


def monai(work: Work) -> float:
    """The same loop over MONAI's cached dictionaries, as tensors without meta data."""
    from monai.data.dataloader import DataLoader as Loader
    from monai.data.dataset import CacheDataset
    from monai.transforms.compose import Compose
    from monai.transforms.utility.dictionary import EnsureTyped

    names = list(work.together.inputs)
    items = [{**{name: work.together.inputs[name][row].numpy() for name in names}, "target": int(work.target[row])}
             for row in range(len(work.cases))]
    held: Dataset[Any] = CacheDataset(items, Compose([EnsureTyped(names, track_meta=False)]), progress=False,
                                      num_workers=0)
    return _looped(work, Loader(held, num_workers=0, batch_size=BATCH, shuffle=True),
                   lambda batch: (batch, batch["target"]))


def lightning(work: Work) -> float:
    """Lightning's Trainer."""
    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    names, clock = list(work.together.inputs), Clock()

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = work.by_hand()

        def training_step(self, batch: Sequence[Tensor]) -> Tensor:
            inputs, target = _opened(names, batch)
            return F.cross_entropy(self.network(inputs), target)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=RATE)

        def on_train_batch_end(self, *_: Any) -> None:
            clock.step()

    trainer = L.Trainer(accelerator="cpu", devices=1, max_epochs=work.epochs, logger=False, enable_checkpointing=False,
                        enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(Module(), DataLoader(_tensors(work), BATCH, shuffle=True))
    return clock.per_step(work.steps)


TRAINERS: Mapping[str, Callable[[Work], float]] = {
    "ours": ours, "plain loop": plain, "Lightning": lightning, "MONAI": monai}
PACKAGES = {"Lightning": "lightning", "MONAI": "monai"}


def interleaved(calls: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The seconds that every call gives, all of them in each round, in random order; one round before is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name in random.sample(list(calls), len(calls)):
            took = calls[name]()
            if number:
                found[name].append(took)
    return found


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def ratios(times: Times, over: str) -> dict[str, tuple[float, float, float]]:
    """The time of each of the others over that of one, by round."""
    return {name: spread([one / base for one, base in zip(times[name], times[over], strict=True)])
            for name in times if name != over}


def shown(ratio: Sequence[float]) -> str:
    """A ratio with its quartiles."""
    return f"{ratio[1]:.2f} [{ratio[0]:.2f}, {ratio[2]:.2f}]"


def steps(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The table of training steps."""
    found: dict[str, Any] = {}
    left_out = [name for name, package in PACKAGES.items() if find_spec(package) is None]
    for name in left_out:
        print(f"{name} is left out: python -m pip install {PACKAGES[name]}")
    trainers = {name: call for name, call in TRAINERS.items() if name not in left_out}
    for work in works(folder, args.small):
        times = interleaved({name: partial(call, work) for name, call in trainers.items()}, args.rounds)
        low, middle, high = spread(times["ours"])
        compared = ratios(times, "ours")
        print(f"{work.graph:14} ours {1e3 * middle:.2f} ms [{1e3 * low:.2f}, {1e3 * high:.2f}]  "
              + "  ".join(f"{name} {shown(ratio)}" for name, ratio in compared.items()), flush=True)
        found[work.graph] = {"ours_ms": 1e3 * middle, "ratios": compared, "seconds": times}
    return found


def masked(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Forward passes with inputs that are optional and there."""
    found = {}
    for name in NETWORKS:
        graph = dict(to_plain(open_graph(name, (), discover())))
        networks = {}
        for optional in (False, True):
            inputs = {key: {**value, "optional": optional} for key, value in graph["inputs"].items()}
            networks[optional] = fusionkit.build({**graph, "inputs": inputs})
        values = {value.name: torch.randn(BATCH, *value.shape.carried) for value in networks[True].plan.inputs}
        present = {key: torch.ones(BATCH, dtype=torch.bool) for key in values}
        for mode in ("training", "evaluation"):
            calls = {}
            for optional, network in networks.items():
                network.train(mode == "training")
                given = (values, present) if optional else (values,)
                calls["masked" if optional else "plain"] = partial(_forward, network, given, 5 if args.small else 40)
            ratio = ratios(interleaved(calls, args.rounds * 3), "plain")["masked"]
            print(f"{name:14} {mode:10} masked over unmasked forward {shown(ratio)}", flush=True)
            found[f"{name}, {mode}"] = ratio
    return found


def _forward(network: nn.Module, given: Sequence[Any], repeats: int) -> float:
    start = time.process_time()
    with torch.no_grad():
        for _ in range(repeats):
            network(*given)
    return (time.process_time() - start) / repeats


PARTS: Mapping[str, Callable[[Path, argparse.Namespace], Any]] = {
    "steps": steps, "masked": masked, "start": start, "finish": finish, "evaluate": evaluate, "dicom": dicom,
    "memory": memory}


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--record", type=Path, help="write everything to this file too, as JSON")
    parser.add_argument("--one", choices=TRAINERS, help="train the volumes so in this process, and print its peak, MB")
    args = parser.parse_args(given)
    args.rounds = 2 if args.small else args.rounds
    torch.set_num_threads(1)
    if args.one:
        with tempfile.TemporaryDirectory() as scratch:
            TRAINERS[args.one](works(Path(scratch), args.small)[-1])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return {}
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, one thread, "
          f"{args.rounds} rounds; load of the machine {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[str, Any] = {}
    for part in args.part:
        with tempfile.TemporaryDirectory() as scratch:
            found[part] = PARTS[part](Path(scratch), args)
    if args.record:
        args.record.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


if __name__ == "__main__":
    main()

"""The phantom's scenarios for every fusion: how near each comes to the ceiling, without rendering a single image.

Run: python benchmarks/scenarios.py [--cases 800] [--tested 10000] [--steps 100] [--seeds 3] [--jobs 1]
[--scenarios NAME ...] [--fusions ID ...]. Prints the table of docs/scenarios.md.

Each modality is a vector that holds what the phantom hides in it, the image u, the table v and the flag q, beside
normal noise. Linear encoders bring both to one width, and a linear head reads what the fusion gives: what is computed
jointly, the fusion computes. Training is Adam on all cases at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit.comparison.significance import t_quantile
from fusionkit.components.component import Component
from fusionkit.datasets.phantom import SCENARIOS, Scenario, View, ceilings, draw_latents, stream
from fusionkit.errors import GraphError
from fusionkit.network.build import build_plan, plan
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import Registry, discover
from fusionkit.training.objective import Objective

# Axes: B cases, R runs.
FEATURES, WIDTH, TOKENS, NARROW = 2, 8, 4, 16
"""Features of a modality, widths of encoders, tokens of a modality, widths of fusions: the evidence is one number."""
CHECKS = 10
"""How often a training looks at its validation cases."""
SHOWN: tuple[Scenario, ...] = ("interaction", "image_useless", "missing_informative")
LEFT_OUT = {"fusion.daft_net": "a whole network around an image, of which the fusion is one layer",
            "fusion.linear_path": "adds a linear model of inputs to scores: a part of a head, beside any fusion",
            "fusion.view_stack": "arranges views of volumes for an encoder of images",
            "fusion.tip_pretrain": "a training before the heads, of three views of one table",
            "fusion.shaspec": "takes two features of each modality, so that two vectors are one modality"} | {
    f"fusion.{name}": "takes a bag beside groups of numbers, whose roles differ" for name in ("mcat", "survpath")} | {
    f"fusion.{name}": "gives its inputs back, beside a loss: nothing is joined"
    for name in ("align_coral", "align_cosine", "align_mmd", "distil", "infonce", "jensen_shannon", "ntxent",
                 "orthogonal")}
"""Bundled fusions that have no row, each with the reason."""
READS = {"fusion.clip_align": "features", "fusion.poe_gaussian": "latent", "fusion.drfuse": "logits",
         "fusion.evidential": "logits"} | {f"fusion.{name}": "features" for name in (
             "flexmoe", "fusemoe", "i2moe", "m3care", "smil")}
"""What the head reads of fusions that give several tensors of different meaning."""
TWO_WAYS = ("fusion.cross_attention", "fusion.msca", "fusion.msca_attention", "fusion.simple_fuse")
"""Attention between streams, tried on tokens besides vectors: a vector is a single key."""
READINGS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "whole": {},
    "pooled": {"pooled": {"use": "encoder.pool"}},
    "joined": {"joined": {"use": "fusion.concat"}},
    "pooled, joined": {"pooled": {"use": "encoder.pool", "each": True}, "joined": {"use": "fusion.concat"}},
}
"""The nodes between what a fusion gives and the head."""


@dataclass(frozen=True)
class Row:
    """A fusion, how the modalities reach it, and how the head reads what it gives."""

    component: Component
    route: str
    reading: str

    def __str__(self) -> str:
        name = self.component.id
        return f"{name}, tokens" if self.route == "tokens" and name in TWO_WAYS else name


@dataclass(frozen=True)
class Sample:
    """Cases of a scenario: what the network is given, which inputs are there where some are absent, the labels."""

    inputs: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    label: Tensor


@dataclass(frozen=True)
class Size:
    """Cases to learn from and to test on, and steps of training."""

    cases: int
    tested: int
    steps: int
    rate: float = 0.02


def fusions(registry: Registry) -> list[Component]:
    """Every bundled fusion."""
    return [registry.load(entry.id) for entry in registry.entries
            if entry.id.startswith("fusion.") and entry.package == "fusionkit"]


def rows(registry: Registry) -> list[Row]:
    """Every bundled fusion that two modalities can reach, some by two ways."""
    found = [row for component in fusions(registry) if component.id not in LEFT_OUT
             for row in [*_reached(component, registry)][:1]]
    return found + [row for component in fusions(registry) if component.id in TWO_WAYS
                    for row in _reached(component, registry) if row.route == "tokens"]


def _reached(component: Component, registry: Registry) -> Iterator[Row]:
    """The ways that a fusion takes, those with the least around it first."""
    if component.category == "output":
        yield Row(component, "voters" if component.id == "fusion.late_vote" else "scores", "whole")
        return
    for route in ("vectors", "maps", "tokens"):
        for reading in READINGS:
            row = Row(component, route, reading)
            try:
                plan(graph(row, "additive"), registry=registry, measured=False)
            except GraphError:
                continue
            yield row
            break


@cache
def draw(scenario: Scenario, cases: int, seed: int) -> Sample:
    """Vectors (B, 2) that carry each modality's evidence beside noise; the table holds v, and q as -1 or 1."""
    latents = draw_latents(scenario, cases, seed)
    image, table = stream(seed, f"noise around {scenario}").standard_normal((2, cases, FEATURES))
    image[:, 0], table[:, 0], table[:, 1] = latents.image, latents.table, 2 * latents.protocol - 1
    flags = {"image": latents.image_present, "table": latents.table_present}
    for name, values in (("image", image), ("table", table)):
        values[~flags[name]] = np.nan  # what an absent input holds must not matter
    return Sample({"image": _tensor(image), "table": _tensor(table)},
                  {name: torch.from_numpy(flag) for name, flag in flags.items() if not flag.all()},
                  torch.from_numpy(latents.label))


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def graph(row: Row, scenario: Scenario) -> dict[str, Any]:
    """The network around a fusion."""
    names, route = ("image", "table"), row.route
    layout = {"image": [FEATURES, 1, 1]} if route == "maps" else {"vector": [FEATURES]}
    some = draw(scenario, 100, 0).present
    inputs = {name: layout | ({"optional": True} if name in some else {}) for name in names}
    use, options = "encoder.project", {"width": 2 if route in ("scores", "voters") else WIDTH}
    if route == "tokens":
        use, options = "encoder.tokens", {"width": WIDTH, "count": TOKENS}
    nodes: dict[str, Any] = {f"{name}_seen": {"use": use, "from": name, "with": options} for name in names}
    if row.component.absent == "none":
        # A fusion that cannot be without an input gets a learned stand-in.
        nodes |= {f"{name}_seen": {"chain": [{"use": use, "with": options}, "encoder.placeholder"], "from": name}
                  for name in some}
    nodes["fused"] = {"use": row.component.id, "from": list(nodes), "with": _options(row.component)}
    if route == "voters":
        nodes |= {f"{name}_label": _head(f"{name}_seen", "none") for name in names}
    return {"fusionkit": 1, "inputs": inputs, "nodes": nodes | _result(row)}


def alone(name: str, scenario: Scenario) -> dict[str, Any]:
    """The network of one modality: its projection and the head."""
    optional = {"optional": True} if name in draw(scenario, 100, 0).present else {}
    return {"fusionkit": 1, "inputs": {name: {"vector": [FEATURES]} | optional},
            "nodes": {"seen": {"use": "encoder.project", "from": name, "with": {"width": WIDTH}},
                      "label": _head("seen")}}


def _options(component: Component) -> dict[str, Any]:
    """The options that differ from the defaults: the author's small sizes, and a small width."""
    fields = component.config.model_fields
    small = {name: field.examples[0] for name, field in fields.items() if field.examples and not field.is_required()}
    width = fields["width"].default if "width" in fields else None
    return small | ({"width": NARROW} if width and width > NARROW else {})


def _result(row: Row) -> dict[str, Any]:
    """The nodes from the fusion to the head: a linear layer on all that it gives, or nothing on class scores."""
    read = READS.get(row.component.id)
    scores = read == "logits" or row.route in ("scores", "voters")
    nodes: dict[str, Any] = {}
    last = f"fused.{read}" if read else "fused"
    for name, node in READINGS[row.reading].items():
        nodes[name] = {**node, "from": last}
        last = name
    return nodes | {"label": _head(last, "none" if scores else "linear")}


def _head(source: str, layer: str = "linear") -> dict[str, Any]:
    return {"use": "head.classify", "from": source, "with": {"classes": ["no", "yes"], "layer": layer}}


def train(data: Mapping[str, Any], scenario: Scenario, size: Size, seed: int, registry: Registry) -> NDArray[np.bool_]:
    """Which test cases the network tells right, (B,), with the weights that did best on validation cases.

    The cases are those of the seed, the same for every network.
    """
    network = build_plan(plan(data, registry=registry, measured=False), seed)
    learned, checked, asked = (_given(draw(scenario, cases, 3 * seed + place), network) for place, cases
                               in enumerate((size.cases, size.cases // 2, size.tested)))
    objective = Objective(network)
    optimiser = torch.optim.Adam(objective.parameters(), size.rate, fused=True)
    torch.manual_seed(seed)
    least, kept = float("inf"), {name: value.clone() for name, value in network.state_dict().items()}
    for step in range(1, size.steps + 1):
        loss = _loss(objective.train(), learned)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % max(1, size.steps // CHECKS) == 0:
            with torch.no_grad():
                found = float(_loss(objective.eval(), checked))
            if found < least:
                least, kept = found, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    with torch.no_grad():
        scores = network.eval()(asked.inputs, asked.present)["label"]
    right: NDArray[np.bool_] = (scores.argmax(1) == asked.label).numpy()
    return right


def _loss(objective: Objective, sample: Sample) -> Tensor:
    """The mean loss of a case over all heads, and the auxiliary losses."""
    heads = [head.name for head in objective.network.plan.heads]
    every_B = torch.ones(len(sample.label), dtype=torch.bool)
    losses = objective(sample.inputs, sample.present, dict.fromkeys(heads, sample.label),
                       dict.fromkeys(heads, every_B))
    total: Tensor = sum(value / len(every_B) if name in heads else value for name, value in losses.items())
    return total


def _given(sample: Sample, network: FusionModel) -> Sample:
    """The part of the cases that the network reads, as it reads it."""
    values = network.plan.inputs
    return Sample({value.name: sample.inputs[value.name].reshape(-1, *value.shape.sizes) for value in values},
                  {value.name: sample.present[value.name] for value in values if value.name in sample.present},
                  sample.label)


def useful(scenario: Scenario) -> View:
    """The modality that alone reaches more, of those that are never absent."""
    known = ceilings(scenario)
    if "missing" in scenario:
        return "image"
    return "image" if known.image > known.table else "table"


def _interval(values_R: NDArray[np.float64], sign: str = "") -> str:
    """The mean and the half width of its 95 % interval by Student's t: seeds differ in cases, starts and tests."""
    half = t_quantile(0.975, len(values_R) - 1) * values_R.std(ddof=1) / sqrt(len(values_R))
    return f"{100 * values_R.mean():{sign}.1f} +- {100 * half:.1f}"


def _task(number: int | None, scenario: Scenario, size: Size, seed: int) -> float:
    """The share of right cases of one network, in a process of its own; of the modality alone where no row is named."""
    torch.set_num_threads(1)
    registry = _registry()
    data = alone(useful(scenario), scenario) if number is None else graph(_rows()[number], scenario)
    return float(train(data, scenario, size, seed, registry).mean())


@cache
def _registry() -> Registry:
    return discover()


@cache
def _rows() -> list[Row]:
    return rows(_registry())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("cases", 800), ("tested", 10000), ("steps", 100), ("seeds", 3), ("jobs", 1)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--rate", type=float, default=0.02)
    options.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SHOWN)
    options.add_argument("--fusions", nargs="+", help="ids; all bundled ones otherwise")
    chosen = options.parse_args()
    size = Size(chosen.cases, chosen.tested, chosen.steps, chosen.rate)
    numbers = [number for number, row in enumerate(_rows())
               if not chosen.fusions or row.component.id in chosen.fusions]
    measured = {}
    for scenario in chosen.scenarios:
        asked = [(number, scenario, size, seed) for number in [None, *numbers] for seed in range(chosen.seeds)]
        with ProcessPoolExecutor(chosen.jobs) as workers:
            shares = np.array(list(workers.map(_task, *zip(*asked, strict=True)))).reshape(-1, chosen.seeds)
        measured[scenario] = dict(zip([None, *numbers], shares, strict=True))
        print(f"{scenario} done", file=sys.stderr, flush=True)
    print("\n".join(table(measured)))


def table(measured: Mapping[Scenario, Mapping[int | None, NDArray[np.float64]]]) -> Iterator[str]:
    """Accuracies in per cent by network and scenario, ceilings first, best fusions on the first scenario on top."""
    known = {scenario: ceilings(scenario) for scenario in measured}
    yield f"| | {' | '.join(measured)} |"
    yield f"| --- |{' --- |' * len(measured)}"
    for name in ("image", "table", "both", "naive"):
        values = [getattr(known[scenario], name) for scenario in measured]
        yield f"| ceiling, {name} | {' | '.join(f'{100 * value:.1f}' if value else '' for value in values)} |"
    first = measured[next(iter(measured))]
    alone = [f"{_interval(found[None])} ({useful(scenario)})" for scenario, found in measured.items()]
    yield f"| one modality | {' | '.join(alone)} |"
    for number in sorted((key for key in first if key is not None), key=lambda key: -float(first[key].mean())):
        cells = [_interval(found[number]) + (f" ({_interval(found[number] - found[None], '+')})"
                                             if "useless" in scenario else "") for scenario, found in measured.items()]
        yield f"| `{_rows()[number]}` | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

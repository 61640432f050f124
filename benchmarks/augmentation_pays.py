"""What augmentation, `spacing` and `like` are worth: a network of a volume on the phantom, and on cubes of a real CT.

Run: python benchmarks/augmentation_pays.py [--part PART ...] [--seed SEED ...] [--tested 400] [--record FILE]

Parts: `augment`, 300 cases to learn from whose bodies lie turned by up to 30 degrees, with and without augmentation;
`spacing`, the same bodies in voxels of three sizes, all with augmentation: read with `spacing`, and without it;
`pet`, CT of three spacings with PET on a grid of its own, joined voxel by voxel by `like: ct`; `organs`, five folds of
cubes of a CT, with and without. A seed is a cohort, a split and a training of its own; all arms of a seed have the same
bodies. The accuracy is that of the `--tested` other cases, and the interval of a difference is that of resampled cases,
2,000 times within each seed (`organs`: over the folds, by Nadeau and Bengio's correction).
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fusionkit
from fusionkit.datasets.organs import write_organs
from fusionkit.datasets.phantom import ceilings
from fusionkit.datasets.phantom_files import Acquisition, write_phantom
from fusionkit.errors import DataError

LEARNED, VALIDATION, TURN = 300, 0.15, 30.0
SPACINGS = ((2.0, 1.2, 1.2), (2.5, 1.5, 1.5), (3.0, 1.8, 1.8))
MOVED = {"rotate": [180, 0, 0], "flip": True, "shift": 3}
"""No zoom: the size of the nodule is what tells the classes apart."""
ORGANS, FOLDS, ORGANS_EPOCHS = 300, 5, 20
ORGANS_MOVED = {"preset": "ct", "shift": 1, "elastic": "off"}

Right = NDArray[np.bool_]


def graph(*images: str) -> dict[str, Any]:
    """One encoder over the volumes, joined voxel by voxel where there are two."""
    encoder = {"use": "encoder.conv", "with": {"widths": [8, 16, 32], "stem_stride": 2, "blocks": 0,
                                               "output": "pooled"}}
    steps = [*([{"use": "fusion.channel_concat"}] if len(images) > 1 else []), encoder]
    return {
        "fusionkit": 1, "name": "-".join(images), "inputs": {name: {"volume": [1, 16, 32, 32]} for name in images},
        "nodes": {"nodule": {"chain": steps, "from": list(images) if len(images) > 1 else images[0]},
                  "diagnosis": {"use": "head.classify", "from": "nodule",
                                "with": {"classes": ["benign", "malignant"], "hidden": [32], "dropout": 0.1}}},
        "training": {"batch_size": 16, "learning_rate": 0.003, "schedule": "cosine"}}


def cohort(folder: Path, seed: int, tested: int, **taken: Any) -> str:
    """Writes a cohort; the text of its data file."""
    cases = LEARNED + tested
    shares = ((1 - VALIDATION) * LEARNED / cases, VALIDATION * LEARNED / cases)
    write_phantom(folder, "additive", cases, seed, shares=shares, acquisition=Acquisition(turn=TURN, **taken))
    return (folder / "data.yaml").read_text(encoding="utf-8")


def trained(name: str, graph: Any, folder: Path, text: str, augment: Mapping[str, Any], *, seed: int = 0,
            epochs: int = 40) -> Right:
    """Whether each test case is predicted rightly, in the order of the cases, after one training."""
    data, run = folder / f"{name}.yaml", folder / f"run-{name}"
    data.write_text(text + (f"augment: {json.dumps(augment)}\n" if augment else ""), encoding="utf-8")
    begun = time.perf_counter()
    fusionkit.train(graph, data, output=run, quiet=True, threads=1, seed=seed, epochs=epochs)
    right = predicted(run)
    print(f"    {name}, seed {seed}: {right.mean():.3f} of {len(right)} in {time.perf_counter() - begun:.0f} s",
          flush=True)
    return right


def predicted(run: Path) -> Right:
    """Whether the class of the largest probability is that of the case, for every row of the predictions of a run."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["id"])
    [target] = [name.removesuffix(":target") for name in rows[0] if name.endswith(":target")]
    classes = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["heads"][target]["classes"]
    chances = np.array([[float(row[f"{target}:{name}"]) for name in classes] for row in rows])
    return np.array([classes[place] == row[f"{target}:target"] for place, row in zip(
        chances.argmax(1), rows, strict=True)])


def told(name: str, arms: Mapping[str, list[Right]], first: str) -> dict[str, Any]:
    """The accuracy of each arm, and its difference from the first, with what resampling of cases gives."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    print(f"{name}: best possible {ceilings('additive').image:.3f}")
    for arm, seeds in arms.items():
        means = [float(right.mean()) for right in seeds]
        found[arm] = {"accuracy": means, "right": [right.astype(int).tolist() for right in seeds]}
        line = f"  {arm}: {np.mean(means):.3f} ({', '.join(f'{mean:.3f}' for mean in means)})"
        if arm != first:
            apart = [right.astype(float) - base for right, base in zip(seeds, arms[first], strict=True)]
            drawn = [np.mean([rng.choice(each, len(each)).mean() for each in apart]) for _ in range(2000)]
            low, high = np.quantile(drawn, [0.025, 0.975])
            middle = float(np.mean([each.mean() for each in apart]))
            found[arm] |= {"difference": middle, "low": float(low), "high": float(high)}
            line += f"; {100 * middle:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}] from {first}"
        print(line, flush=True)
    return found


def augmented(folder: Path, seeds: Sequence[int], tested: int) -> dict[str, Any]:
    arms: dict[str, list[Right]] = {"without": [], "with": []}
    for seed in seeds:
        text = cohort(folder / str(seed), seed, tested)
        for arm, augment in (("without", {}), ("with", {"ct": MOVED})):
            arms[arm].append(trained(arm, graph("ct"), folder / str(seed), text, augment, seed=seed))
    return told("augmentation, CT alone", arms, "without")


def spaced(folder: Path, seeds: Sequence[int], tested: int) -> dict[str, Any]:
    arms: dict[str, list[Right]] = {"equal": [], "mixed, by spacing": [], "mixed, by size alone": []}
    for seed in seeds:
        equal, mixed = folder / f"{seed}-equal", folder / f"{seed}-mixed"
        text = cohort(mixed, seed, tested, spacings=SPACINGS)
        texts = (cohort(equal, seed, tested), text, text.replace(", spacing: [2.5, 1.5, 1.5]", ""))
        for number, (arm, own) in enumerate(zip(arms, texts, strict=True)):
            arms[arm].append(trained(f"spacing-{number}", graph("ct"), mixed if number else equal, own, {"ct": MOVED},
                                     seed=seed))
    return told("three spacings, CT alone", arms, "equal")


def joined(folder: Path, seeds: Sequence[int], tested: int) -> dict[str, Any]:
    arms: dict[str, list[Right]] = {"CT": [], "CT and PET": []}
    for seed in seeds:
        own = folder / str(seed)
        text = cohort(own, seed, tested, spacings=SPACINGS, pet=True)
        alone = text.replace("like: ct", "size: [16, 32, 32]")
        try:
            trained("unlike", graph("ct", "pet"), own, alone, {}, seed=seed)
        except DataError as error:
            print(f"    without 'like: ct': {', '.join(sorted({found.code for found in error.diagnostics}))}")
        arms["CT"].append(trained("ct", graph("ct"), own, text, {"ct": MOVED}, seed=seed))
        arms["CT and PET"].append(trained("ct-pet", graph("ct", "pet"), own, text,
                                          {"together": [["ct", "pet"]], "ct": MOVED}, seed=seed))
    return told("PET on the grid of CT", arms, "CT")


def organs(folder: Path, seeds: Sequence[int], tested: int) -> dict[str, Any]:
    """Five folds of the cubes, whatever `seeds` and `tested` are."""
    write_organs(folder / "organs", ORGANS)
    text = (folder / "organs" / "data.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    for arm, augment in (("without", {}), ("with", {"cube": ORGANS_MOVED})):
        trained(arm, "organs-image", folder / "organs", text, augment, epochs=ORGANS_EPOCHS)
        found[arm] = [float(predicted(fold).mean()) for fold in sorted((folder / "organs" / f"run-{arm}").glob("fold*"))
                      ]
    apart = np.subtract(found["with"], found["without"])
    error = np.sqrt(np.var(apart, ddof=1) * (1 / FOLDS + 1 / (FOLDS - 1)))
    low, high = apart.mean() + np.array([-1, 1]) * 2.776 * error  # the quantile of t with four degrees of freedom
    print(f"organs, {ORGANS} cubes: " + ", ".join(f"{arm} {np.mean(each):.3f}" for arm, each in found.items())
          + f"; {100 * apart.mean():+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], by folds "
          + ", ".join(f"{100 * each:+.1f}" for each in apart))
    return found


PARTS = {"augment": augmented, "spacing": spaced, "pet": joined, "organs": organs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument("--seed", action="append", type=int, help="only this one; may be repeated (default: 0, 1, 2)")
    parser.add_argument("--tested", type=int, default=400)
    parser.add_argument("--record", type=Path, help="write the figures to this file too, as JSON")
    args = parser.parse_args()
    made = {}
    for part in args.part or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            made[part] = PARTS[part](Path(scratch), args.seed or (0, 1, 2), args.tested)
    if args.record:
        args.record.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

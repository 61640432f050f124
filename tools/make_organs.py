"""Cuts the demo's cubes out of one real CT: fusionkit/datasets/assets/organs.npz, the same bytes on every run.

    python tools/make_organs.py FOLDER

FOLDER holds `example_ct.nii.gz` and `example_seg_fast_force_split.nii.gz` from the source distribution
totalsegmentator 2.18.0, tests/reference_files (Apache-2.0; NOTICE names it). Needs nibabel.
"""

from __future__ import annotations

import io
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).parents[1] / "fusionkit" / "datasets" / "assets" / "organs.npz"
SEED = 0
CUBES = 300  # of each class
HALF = 4  # a cube is 9 voxels wide, 27 mm
OUTSIDE_HU = -1000
BLOCK_VOXELS = 12  # 36 mm: what a fold keeps together
BLUR_MM = 30.0

# Class -> the label numbers of TotalSegmentator 2 that it joins.
CLASSES: dict[str, tuple[int, ...]] = {
    "liver": (5,),
    "kidney": (2, 3),
    "colon": (20,),
    "small_bowel": (18,),
    "bladder": (21,),
    "vertebra": tuple(range(25, 51)),
    "hip": tuple(range(75, 79)),
    "gluteus": tuple(range(80, 86)),
    "autochthon": (86, 87),
    "iliopsoas": (88, 89),
}


def load(path: Path) -> NDArray[np.int16]:
    """The voxels in closest canonical orientation: axes to the right, to the front, to the head."""
    nibabel: Any = import_module("nibabel")  # only partly typed
    image = nibabel.as_closest_canonical(nibabel.load(path))
    steps = np.asarray(image.header.get_zooms()[:3])
    if not np.allclose(steps, 3.0, atol=0.01):
        raise SystemExit(f"{path} has voxels of {steps} mm; the recipe is for 3 mm")
    voxels: NDArray[np.int16] = np.rint(np.asanyarray(image.dataobj)).astype(np.int16)
    return voxels


def eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without the voxels that touch its outside across a face."""
    inner = np.pad(mask, 1)
    kept = inner.copy()
    for axis in range(3):
        for step in (-1, 1):
            kept &= np.roll(inner, step, axis)
    return kept[1:-1, 1:-1, 1:-1]


def cut(volume: NDArray[np.int16], labels: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
    """Cubes (depth, height, width), blurred positions in mm from the middle, blocks and classes."""
    rng = np.random.default_rng(SEED)
    padded = np.pad(volume, HALF, constant_values=OUTSIDE_HU)
    centres, classes = [], []
    for number, members in enumerate(CLASSES.values()):
        places = np.argwhere(eroded(np.isin(labels, members)))
        centres.append(places[rng.choice(len(places), CUBES, replace=False)])
        classes += [number] * CUBES
    order = rng.permutation(len(classes))
    centre = np.concatenate(centres)[order]
    width = 2 * HALF + 1
    # x, y, z of the file become width, height, depth of a volume.
    cubes = np.stack([padded[x : x + width, y : y + width, z : z + width].T for x, y, z in centre])
    exact = (centre - (np.array(volume.shape) - 1) / 2) * 3.0
    blurred = exact + rng.normal(0.0, BLUR_MM, exact.shape)
    _, block = np.unique(centre // BLOCK_VOXELS, axis=0, return_inverse=True)
    return {
        "cubes": cubes.astype("<i2"),
        "position_mm": blurred.round(1).astype("<f4"),
        "block": block.reshape(-1).astype("<i2"),
        "label": np.array(classes)[order].astype("u1"),
        "classes": np.array(list(CLASSES)),
    }


def write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """An .npz with fixed time stamps: numpy's own would differ from run to run."""
    aside = path.with_suffix(".part")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)
    aside.replace(path)


def main() -> None:
    """The asset, from the folder named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    volume = load(folder / "example_ct.nii.gz")
    labels = load(folder / "example_seg_fast_force_split.nii.gz")
    if volume.shape != labels.shape:
        raise SystemExit(f"the CT is {volume.shape} and its labels are {labels.shape}")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    write(TARGET, cut(volume, labels))
    print(f"{TARGET}: {len(CLASSES)} classes x {CUBES} cubes, {TARGET.stat().st_size / 1e6:.2f} MB")  # noqa: T201


if __name__ == "__main__":
    main()

"""Augmentation and reading beside other libraries, in one process and one thread, interleaved in random order.

Run: python benchmarks/augmentation.py [--part transforms|reading|epoch] [--rounds 12]. Libraries that are not installed
are left out: pip install batchgeneratorsv2 torchio monai SimpleITK nibabel. Prints the rows of the tables in
docs/augmentation.md: the median time, and the median over the rounds of its ratio to that of fusionkit.

The deformations of the libraries differ: what is compared is what a user would write, each transform always on.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fusionkit.data import case_files
from fusionkit.data.batch import Batch
from fusionkit.data.description import DataDescription, describe
from fusionkit.data.geometry.grid import Grid
from fusionkit.datasets.dicom_writer import Geometry, Syntax, write_series
from fusionkit.training.augmented import Augmented
from fusionkit.training.batch_order import Batches, make_loader

SIZE = (32, 128, 128)
SPACING = (2.0, 1.0, 1.0)
Ways = dict[str, Callable[[], object]]


def compare(what: str, ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> None:
    """Time every way once a round, in random order, and print rows relative to the first one."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name in random.sample(list(ways), len(ways)):
            start = clock()
            ways[name]()
            times[name].append(clock() - start)
    first = times[next(iter(ways))]
    print(f"\n| {what} | ms | times ours |\n| --- | --- | --- |")
    for name, taken in times.items():
        ratio = statistics.median(one / other for one, other in zip(taken, first, strict=True))
        print(f"| {name} | {statistics.median(taken) * 1e3:.1f} | {ratio:.2f} |")


def without_missing(makers: Mapping[str, Callable[[], Callable[[], object]]]) -> Ways:
    """The ways whose packages are installed."""
    found: Ways = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as missing:
            print(f"without {name}: {missing}")
    return found


# Transforms

def described(folder: Path, reader: str, augment: str = "{}") -> DataDescription:
    """A data file with one input, `x`."""
    (folder / "table.csv").write_text("id\na\n")
    data = folder / "data.yaml"
    data.write_text(f"fusionkit-data: 1\ncases: table.csv\nid: id\ninputs:\n  x: {reader}\naugment: {{x: {augment}}}\n")
    return describe(data)


def ours(volume: Tensor, *, elastic: bool) -> Callable[[], object]:
    """The transforms as a data file names them."""
    names = ["rotate: true, zoom: true, shift: true, gamma: true, noise: [0.02, 0.02]",
             *(["elastic: true"] if elastic else [])]
    with tempfile.TemporaryDirectory() as place:
        augmentation = described(Path(place), "{read: numpy, path: x.npy}", f"{{{', '.join(names)}}}").augmentation
    grid = Grid.of_file(np.diag([*SPACING[::-1], 1.0]), SIZE)
    made = Augmented(augmentation, ["a"], {"x": [grid]}, seed=0)
    there = torch.ones(1, dtype=torch.bool)
    batch = Batch({"x": volume[None]}, {"x": there}, {}, {}, torch.zeros(1, dtype=torch.long))
    epoch = iter(range(1_000_000))
    return lambda: made(batch, next(epoch))


def batchgenerators(volume: Tensor, *, elastic: bool) -> Callable[[], object]:
    """nnU-Net's transforms."""
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    space = SpatialTransform(SIZE, 0, False, p_elastic_deform=float(elastic), elastic_deform_scale=(0.1, 0.3),
                             elastic_deform_magnitude=(0.02, 0.05), p_rotation=1, rotation=(-0.26, 0.26), p_scaling=1,
                             scaling=(0.85, 1.2), p_synchronize_scaling_across_axes=1)
    gamma = GammaTransform((0.7, 1.5), p_invert_image=0, synchronize_channels=True, p_per_channel=1, p_retain_stats=1)
    noise = GaussianNoiseTransform((0.0004, 0.0004), p_per_channel=1, synchronize_channels=True)
    return lambda: noise(**gamma(**space(image=volume)))["image"]


def torchio(volume: Tensor, *, elastic: bool) -> Callable[[], object]:
    """TorchIO's transforms, one after the other."""
    import SimpleITK
    import torchio as tio

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # which resamples for it
    image = tio.ScalarImage(tensor=volume.permute(0, 3, 2, 1).contiguous(), affine=np.diag([*SPACING[::-1], 1.0]))
    parts = [tio.RandomAffine(scales=(0.85, 1.2), degrees=(15, 5, 5), translation=10, isotropic=True),
             *([tio.RandomElasticDeformation(num_control_points=7, max_displacement=7.5)] if elastic else []),
             tio.RandomGamma(log_gamma=(-0.35, 0.4)), tio.RandomNoise(std=(0.02, 0.02))]
    made = tio.Compose(parts)
    return lambda: made(tio.Subject(ct=image)).ct.data


def monai(volume: Tensor, *, elastic: bool) -> Callable[[], object]:
    """MONAI's transforms; its elastic deformation includes the affine part."""
    from monai.transforms import Compose, Rand3DElastic, RandAdjustContrast, RandAffine, RandGaussianNoise

    turn: dict[str, Any] = {"prob": 1.0, "rotate_range": (0.26, 0.09, 0.09), "scale_range": (0.15, 0.15, 0.15),
                            "translate_range": (5, 10, 10), "padding_mode": "zeros"}
    space = Rand3DElastic(sigma_range=(5, 8), magnitude_range=(100, 200), **turn) if elastic else RandAffine(**turn)
    made = Compose([space, RandAdjustContrast(prob=1.0, gamma=(0.7, 1.5), retain_stats=True),
                    RandGaussianNoise(prob=1.0, std=0.02)])
    return lambda: made(volume)


def transforms(rounds: int) -> None:
    """Motions, gamma and noise, with and without elastic deformation."""
    torch.set_num_threads(1)
    volume = torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(0)).mul(0.3).add(0.4).clamp(0, 1)
    libraries = {"fusionkit": ours, "batchgeneratorsv2": batchgenerators, "TorchIO": torchio, "MONAI": monai}
    for elastic in (True, False):
        what = f"motions, {'elastic deformation, ' if elastic else ''}gamma, noise on 1 x {' x '.join(map(str, SIZE))}"
        makers = {name: partial(make, volume, elastic=elastic) for name, make in libraries.items()}
        compare(what, without_missing(makers), rounds, time.process_time)


# Reading

READ = (40, 256, 256)


def reading(rounds: int) -> None:
    """A prepared volume, NIfTI and DICOM, with a window."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        hounsfield = np.random.default_rng(0).normal(0, 60, READ).round() + 40
        hounsfield[:, :60] = -1000
        makers: dict[str, Callable[[], Callable[[], object]]] = {
            "prepared volume": partial(cached, folder, hounsfield), "NIfTI.gz": partial(nifti, folder, hounsfield),
            "NIfTI.gz, SimpleITK": partial(nifti_of_itk, folder)}
        compare(f"{' x '.join(map(str, READ))} int16, window", without_missing(makers), rounds, time.process_time)
        syntaxes: tuple[Syntax, ...] = ("explicit", "rle")
        for syntax in syntaxes:
            write_series(folder / syntax, hounsfield, Geometry(), syntax=syntax)
            both = {"fusionkit": partial(dicom, folder, syntax), "SimpleITK": partial(dicom_of_itk, folder / syntax)}
            compare(f"DICOM, {'raw' if syntax == 'explicit' else 'RLE'}", without_missing(both), rounds,
                    time.process_time)


def nifti(folder: Path, values: np.ndarray) -> Callable[[], object]:
    """A compressed NIfTI file, read each time."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0).astype(np.int16), np.diag([1.5, 1.5, 2.5, 1])),
                 folder / "ct.nii.gz")
    spec = described(folder, "{read: nifti, path: ct.nii.gz, window: [-160, 240]}").inputs["x"]
    return lambda: case_files.load(spec, folder / "ct.nii.gz", None)


def cached(folder: Path, values: np.ndarray) -> Callable[[], object]:
    """The same file, prepared once."""
    nifti(folder, values)
    spec = described(folder, "{read: nifti, path: ct.nii.gz, window: [-160, 240]}").inputs["x"]
    case_files.load(spec, folder / "ct.nii.gz", folder / "cache")
    return lambda: torch.from_numpy(case_files.load(spec, folder / "ct.nii.gz", folder / "cache"))


def nifti_of_itk(folder: Path) -> Callable[[], object]:
    import SimpleITK

    def read() -> object:
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "ct.nii.gz"))).astype(np.float32)
        return np.clip((values + 160) / 400, 0, 1)

    return read


def dicom(folder: Path, syntax: Syntax) -> Callable[[], object]:
    spec = described(folder, f"{{read: dicom, path: {syntax}, window: [-160, 240]}}").inputs["x"]
    return lambda: case_files.load(spec, folder / syntax, None)


def dicom_of_itk(folder: Path) -> Callable[[], object]:
    import SimpleITK

    def read() -> object:
        files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(files)).astype(np.float32)
        return np.clip((values + 160) / 400, 0, 1)

    return read


# An epoch

_BATCH, _STEP = 4, 0.05


class _Volumes(Dataset[Any]):
    """Volumes in memory, as cases."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.values = torch.rand(80, 1, 16, 64, 64, generator=generator)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Any:
        return {"index": row, "inputs": {"x": self.values[row]}, "present": {"x": True}, "targets": {},
                "target_present": {}}


def epoch(rounds: int) -> None:
    """An epoch of a network that takes 50 ms a batch elsewhere: waiting stands for a GPU."""
    torch.set_num_threads(1)
    cases = _Volumes()
    with tempfile.TemporaryDirectory() as place:
        section = described(Path(place), "{read: numpy, path: x.npy}", "ct").augmentation
    changed = Augmented(section, [str(row) for row in range(len(cases))], {}, seed=0)
    batches = Batches(lambda generator: generator.permutation(len(cases)), len(cases), _BATCH)
    loaders = {"not changed": make_loader(cases, batches, 0, pin=False),
               "changed in two workers": make_loader(cases, batches, 2, pin=False, changed=changed),
               "changed without workers": make_loader(cases, batches, 0, pin=False, changed=changed)}

    def run(loader: DataLoader[Batch]) -> None:
        batches.epoch += 1
        for _ in loader:
            time.sleep(_STEP)

    compare("an epoch of 20 batches of 4 volumes of 16 x 64 x 64, preset `ct`, 50 ms a batch",
            {name: partial(run, loader) for name, loader in loaders.items()}, rounds, time.perf_counter)


PARTS: dict[str, Callable[[int], None]] = {"transforms": transforms, "reading": reading, "epoch": epoch}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="measure this part only")
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, numpy {np.__version__}, {args.rounds} rounds")
    for name in args.part or PARTS:
        PARTS[name](args.rounds)


if __name__ == "__main__":
    main()

"""Prints the requirements of fusionkit pinned at their lowest versions, to test that the floors in pyproject.toml hold.

    python tools/lowest_versions.py [EXTRA ...] > lowest.txt
    python -m venv LOWEST && LOWEST/bin/pip install -r lowest.txt && LOWEST/bin/pip install --no-deps -e .
    LOWEST/bin/python -m pytest $(python tools/lowest_versions.py --tests [EXTRA ...])

Only what is named in pyproject.toml is pinned: what those packages bring is for pip to choose, as for users. Decoders
of the extra `dicom` need a higher NumPy than fusionkit itself, so they are left out unless that extra is named;
`--only EXTRA` prints the pins of one extra, to be installed afterwards.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
YANKED = {"build": "1.2.1", "pytest-xdist": "3.6.1", "setuptools": "77.0.1"}
"""Floors of the test tools that were withdrawn or never published, with the first version that can be installed."""
EXTRAS = ("excel", "explain", "export", "hf", "keras", "monai", "nifti", "nrrd", "parquet", "ray", "seg", "serve",
          "slurm", "tabicl", "text", "tiff", "tune", "video")
"""The extras for users that are installed together with all dependencies; `dicom` comes after them."""
TESTS = {
    "accelerate": "tests/training/test_loop.py", "matplotlib": "tests/explanation/test_overlay_plot.py",
    "numpy": "tests/data/readers/test_numpy.py", "packaging": "tests/components/test_requirements.py",
    "pluggy": "tests/registry/test_lookup.py", "pillow": "tests/data/readers/test_image.py",
    "pydantic": "tests/syntax/test_options.py", "pydicom": "tests/data/readers/test_dicom.py",
    "pyyaml": "tests/syntax/test_reader.py", "rich": "tests/interface/test_console.py",
    "safetensors": "tests/network/test_weights.py", "timm": "tests/plugins/encoders/test_timm.py",
    "torch": "tests/network/test_model.py", "python-calamine": "tests/data/test_workbook.py",
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "tests/deployment/test_export.py"),
    "submitit": "tests/comparison/test_array.py", "ray": "tests/comparison/test_ray.py",
    **dict.fromkeys(("starlette", "uvicorn", "python-multipart"), "tests/serving/test_app.py"),
    "captum": "tests/explanation/test_gradcam.py", "scikit-learn": "tests/datasets/test_breast_cancer.py",
    **dict.fromkeys(("monai", "einops"), "tests/plugins/encoders/test_monai.py"),
    "h5py": "tests/conversion/keras/test_keras_files.py", "nibabel": "tests/data/readers/test_nifti.py",
    "optuna": "tests/comparison/test_tuning.py", "highdicom": "tests/data/readers/test_masks.py",
    **dict.fromkeys(("simpleitk", "tifffile"), "tests/data/readers/test_formats.py"),
    "pyarrow": "tests/data/readers/test_damaged_files.py", "tokenizers": "tests/data/readers/test_text.py",
    "transformers": "tests/plugins/encoders/test_hf_text.py",
    "tabicl": "tests/comparison/test_tabicl.py", "av": "tests/data/readers/test_video.py",
    **dict.fromkeys(("pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm"),
                    "tests/data/readers/test_damaged_files.py"),
}
"""The tests of what uses each requirement of users."""


def requirements(extras: Iterable[str], own: bool = True) -> list[Requirement]:
    """The requirements of some extras, and with `own` those of fusionkit itself."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    texts = [*(project["dependencies"] if own else ()), *(text for extra in extras for text in optional[extra])]
    return [found for text in texts if (found := Requirement(text)).name != project["name"]]


def lowest(extras: list[str], own: bool = True) -> list[str]:
    """Each requirement at its floor; one without a floor stays open."""
    decoders = {"pyjpegls", *(found.name for found in requirements(["dicom"], own=False))}
    pinned: dict[str, str] = {}
    for requirement in requirements(extras, own):
        if requirement.name in decoders and "dicom" not in extras:
            continue
        floors = [part.version for part in requirement.specifier if part.operator == ">="]
        floor = YANKED.get(requirement.name, floors[0] if floors else "")
        pinned[requirement.name] = f"{requirement.name}=={floor}" if floor else requirement.name
    return sorted(pinned.values())


def tests(extras: list[str], own: bool = True) -> list[str]:
    """The tests of what uses the requirements of users."""
    return list(dict.fromkeys(TESTS[found.name] for found in requirements(extras, own) if found.name in TESTS))


def main() -> None:
    """Print pins, or tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="also the requirements of this extra")
    parser.add_argument("--users", action="store_true", help=f"also those of the extras for users: {', '.join(EXTRAS)}")
    parser.add_argument("--only", metavar="EXTRA", help="the requirements of this extra alone")
    parser.add_argument("--tests", action="store_true", help="print the tests of what uses them")
    args = parser.parse_args()
    extras = [args.only] if args.only else [*(EXTRAS if args.users else ()), *args.extras]
    found = (tests if args.tests else lowest)(extras, not args.only)
    sys.stdout.write("\n".join(found) + "\n")


if __name__ == "__main__":
    main()

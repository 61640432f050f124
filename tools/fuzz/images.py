"""Image files (PNG and others, NumPy, NIfTI, DICOM) with damaged headers, pixels and options: read."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path
from random import Random
from typing import Any

from tools.fuzz.image_files import write_all
from tools.fuzz.mutations import HOSTILE, damaged, mangled
from tools.fuzz.steps import ACCEPTED, Outcome, Step, command, of_findings

OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "image": ({}, {}, {"size": [8, 8]}, {"channels": 1}, {"channels": 3, "window": [0, 255]},
              {"size": [3, 4], "interpolate": "labels"}),
    "numpy": ({}, {}, {"channels": "last"}, {"channels": "none"}, {"fill_nan": 0.0}, {"size": [4, 4]},
              {"key": "image"}, {"window": [0, 1], "size": [2, 4, 4]}),
    "nifti": ({}, {}, {"fill_nan": 0.0}, {"size": [3, 4, 4]}, {"window": [0, 1]},
              {"size": [2, 2, 2], "interpolate": "nearest"}),
    "dicom": ({}, {}, {"form": "image"}, {"tilt": "keep", "gaps": "resample"}, {"size": [2, 4, 4]},
              {"form": "image", "size": [4, 4]}, {"series": 2}, {"form": "image", "scale": "bits"}, {"clean": "keep"},
              {"rescale": {"slope": 2, "intercept": 1}}, {"stack": {"InstanceNumber": 1}}),
}
_VALUE_KINDS = (b"SQ", b"US", b"FD", b"FL", b"UN", b"OB", b"DS", b"IS", b"LO", b"AT", b"UI", b"PN", b"OW", b"UR",
                b"SV", b"CS", b"TM")


def prepare(material: Path) -> None:
    """Write the files that cases start from."""
    write_all(material)


def make(draw: Random, material: Path, folder: Path) -> list[Step]:
    """One damaged file, or a folder of one sound slice and damaged ones; sometimes options that nobody means."""
    files = sorted(material.iterdir())
    reader = draw.choice(tuple(OPTIONS))
    source = draw.choice([path for path in files if reader_of(path) == reader])
    options = dict(draw.choice(OPTIONS[reader]))
    if draw.random() < 0.05:
        options = mangled(draw, options | {draw.choice(("size", "window", "series", "key")): draw.choice(HOSTILE)})
        if not isinstance(options, dict):
            options = {}
    target = folder / f"file{''.join(source.suffixes)}"
    if reader == "dicom" and draw.random() < 0.3:
        target.mkdir()
        (target / "0.dcm").write_bytes(source.read_bytes())
        for number in range(draw.choice((1, 1, 2))):
            (target / f"{number + 1}.dcm").write_bytes(_hurt(draw, draw.choice((source, source, *(
                path for path in files if reader_of(path) == "dicom")))))
    else:
        target.write_bytes(_hurt(draw, source))
    describe_file(folder, target, options)
    if draw.random() < 0.1:
        return [command("check", "data.yaml", *(["--json"] if draw.random() < 0.5 else []))]
    return [read]


def describe_file(folder: Path, path: Path, options: dict[str, Any]) -> None:
    """Write the data file of one input, which has that name and is read as that form of file."""
    (folder / "cases.csv").write_text("id\na\nb\n", encoding="utf-8")
    data = {"fusionkit-data": 1, "cases": "cases.csv", "id": "id",
            "inputs": {"scan": options | {"read": reader_of(path), "path": path.name}}, "targets": {}}
    text = json.dumps(data, ensure_ascii=False)
    (folder / "data.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))


def read() -> Outcome:
    """Read the file as the data file says, without the rest of what `check` does."""
    from fusionkit.data.case_files import load
    from fusionkit.data.description import describe
    from fusionkit.data.readers.reader import ReadError
    from fusionkit.errors import UserError

    try:
        (spec,) = describe("data.yaml").inputs.values()
        load(spec, spec.root / spec.template, None)
    except ReadError as error:
        finding = {"code": error.code, "message": error.message, "why": error.why, "fix": error.fix, "where": "file"}
        return of_findings([finding], repr(finding))
    except UserError as error:
        return of_findings([each.as_json() for each in error.diagnostics], str(error))
    return ACCEPTED


def reader_of(path: Path) -> str:
    """The reader of a file by its name."""
    endings = {".npy": "numpy", ".npz": "numpy", ".nii": "nifti", ".dcm": "dicom"}
    return endings.get(path.suffixes[0], "image")


def _hurt(draw: Random, source: Path) -> bytes:
    """The damaged content of a file; checksums and packing are mended in most cases, so that decoders see the rest."""
    content = source.read_bytes()
    if source.suffix == ".gz" and draw.random() < 0.8:
        return gzip.compress(damaged(draw, gzip.decompress(content)), 1, mtime=0)
    if source.suffix == ".dcm" and draw.random() < 0.3:
        content = _of_another_kind(draw, content)
    hurt = damaged(draw, content)
    return _with_checksums(hurt) if source.suffix == ".png" and draw.random() < 0.8 else hurt


def _of_another_kind(draw: Random, content: bytes) -> bytes:
    """A DICOM file in which one element says that it holds values of another kind."""
    found = [match.start() for match in re.finditer(rb"US|UI|DS|IS|LO|CS|SH|SQ|OW|FD|OB|UN", content)]
    if not found:
        return content
    place = draw.choice(found)
    return content[:place] + draw.choice(_VALUE_KINDS) + content[place + 2:]


def _with_checksums(content: bytes) -> bytes:
    """A PNG file whose chunks have right checksums as far as their lengths are right."""
    start = 8
    made = content[:start]
    while start + 12 <= len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        if start + 12 + length > len(content):
            break
        chunk = content[start + 4 : start + 8 + length]
        made += content[start : start + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        start += 12 + length
    return made + content[start:]

"""One NIfTI volume in closest canonical orientation."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fusionkit_plugins.blocks.nifti_affine import Place, analyze_place, place_of
from fusionkit_plugins.blocks.volume_files import VolumeFileOptions, advise_volumes
from numpy.typing import NDArray
from pydantic import Field

from fusionkit.api import Floats, Reader
from fusionkit.reading import (
    FRAMES,
    MAX_VALUES,
    Advice,
    Facts,
    Frames,
    Grid,
    ReadError,
    Sizes,
    count,
    first_bytes,
    frame_channels,
    frame_places,
    intensities,
    is_nifti,
    labels_of,
    misplaced,
    remarked,
    spread,
    unzipped,
)

# Axes: c channels (the fourth axis of the file, or one), z d: inferior to superior, y h: posterior to anterior,
# x w: left to right. nibabel's canonical array is (x, y, z[, c]).


class NiftiOptions(VolumeFileOptions):
    """Options of the reader `nifti`."""

    frames: Frames = Field("all", description=FRAMES)
    analyze: Literal["refuse", "las"] = Field(
        "refuse", description="Analyze 7.5 and SPM volumes (.img with .hdr), which do not say how they lie: refused, "
        "or taken to run from right to left, from back to front and from feet to head.")


def shape(options: NiftiOptions) -> Sizes | None:
    """Channels, which are known only from the file or from several windows, and the size."""
    return (options.window_channels or frame_channels(options.frames), *(options.size or (None, None, None)))


def advise(options: NiftiOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    return [*_places(files), *advise_volumes(options, files)]


def _places(files: Sequence[Facts]) -> list[Advice]:
    found = []
    if cases := remarked(files, "no-geometry"):
        found.append(Advice("no-geometry", f"{count(cases, files)} have no orientation in the patient", cases,
                            "their qform_code and sform_code are 0: axes are taken as stored, others are turned to RAS",
                            "write the affine with the tool that made the files, or check that all lie alike"))
    if cases := remarked(files, "sform-singular"):
        found.append(Advice("sform-singular", f"{count(cases, files)} have an sform that cannot be used", cases,
                            "it is all zeros or flat; the qform of the header is used instead",
                            "write the affine again with the tool that made the files"))
    if cases := remarked(files, "affines-disagree"):
        most = max(float(files[place].remark("affines-disagree") or 0) for place in cases)
        found.append(Advice("affines-disagree", f"{count(cases, files)} have a qform and an sform that differ, by up "
                            f"to {most:g} mm", cases, "the sform is used, as nibabel does; other tools use the qform",
                            "check which is right, and write both alike"))
    if cases := remarked(files, "odd-spacing"):
        found.append(Advice("odd-spacing", f"{count(cases, files)} have voxels of "
                            f"{files[cases[0]].remark('odd-spacing')} mm", cases,
                            "no scanner makes such voxels; the unit of the header may be wrong",
                            "correct pixdim or xyzt_units of the header"))
    return found


def read(path: Path, options: NiftiOptions) -> NDArray[np.float32]:
    """Only the array of `examine`."""
    return examine(path, options)[0]


def examine(path: Path, options: NiftiOptions) -> tuple[NDArray[np.float32], Facts]:
    """The volume, scaled by slope and intercept of its header, in closest canonical (RAS+) orientation.

    A file without an orientation, and any with `orient: keep`, is taken in the order of its axes.
    Shapes: (c, d, h, w): c is 1, the fourth axis of a 4D file or the three colours; d runs from inferior to superior,
    h from posterior to anterior, w from left to right.

    Raises: `ReadError` with `missing-package`, `not-nifti`, `wrong-rank`, `not-numeric`, `too-large`,
    `singular-affine`, `unknown-frame` or `broken-nifti`.
    """
    try:
        nibabel: Any = import_module("nibabel")  # only partly typed
    except ImportError:
        raise ReadError("missing-package", "reading NIfTI needs the package nibabel",
                        fix='install "fusionkit[nifti]"') from None
    with ExitStack() as streams:
        image = _open(path, nibabel, streams)
        _refuse(path, image, nibabel, options.analyze)
        place = place_of(image.header, tuple(image.shape)) if isinstance(image, nibabel.Nifti1Pair) else analyze_place(
            image.affine)
        single = len(image.shape) == 3
        stored, affine = _canonical(image, place, nibabel, keep=options.orient == "keep")
    volume = np.ascontiguousarray(stored.T)
    volume = volume[None] if volume.ndim == 3 else volume
    if options.frames != "all":
        volume = volume[list(frame_places(options.frames, 1 if single else len(volume)))]
        volume = volume.mean(axis=0, keepdims=True, dtype=np.float32) if options.frames == "mean" else volume
    if options.fill_nan is not None:
        volume = np.nan_to_num(volume, nan=options.fill_nan, posinf=np.inf, neginf=-np.inf)
    facts = Facts(values=spread(volume), grid=None if affine is None else Grid.of_file(affine, volume.shape[1:]),
                  labels=labels_of(volume) if options.as_stored else (), remarks=place.remarks)
    return intensities(volume, facts, options)


def _open(path: Path, nibabel: Any, streams: ExitStack) -> Any:
    """The image, recognised by content: the file name may lack its suffix, or have that of a compressed file."""
    start = first_bytes(path)
    packed = start.startswith(b"\x1f\x8b")
    start = unzipped(start) if packed else start
    kind = (nibabel.Nifti1Image if start[344:348] == b"n+1\0" else
            nibabel.Nifti2Image if start[4:8] == b"n+2\0" else None)
    try:
        if kind is None or path.name.lower().endswith(".nii.gz" if packed else ".nii"):
            return nibabel.load(path)
        stream = streams.enter_context(gzip.GzipFile(path) if packed else path.open("rb"))
        return kind.from_file_map({key: nibabel.FileHolder(fileobj=stream) for key in ("header", "image")})
    except Exception as problem:  # nibabel, gzip and zlib raise many kinds for other or damaged files
        other = None if is_nifti(start) else misplaced(path, "not-nifti", "a NIfTI volume", packed=True)
        raise other or ReadError("not-nifti", "it cannot be opened as NIfTI", " ".join(str(problem).split()),
                                 "convert it to .nii or .nii.gz, or copy the file again") from None


def _canonical(image: Any, place: Place, nibabel: Any, *, keep: bool) -> tuple[NDArray[np.float32], Floats | None]:
    """The voxels with axes to the right, front and top, or as they are stored, and their affine.

    Shapes: (x, y, z), or (x, y, z, c).
    """
    turn = None if place.affine is None or keep else nibabel.io_orientation(place.affine)
    affine = place.affine if turn is None else place.affine @ nibabel.orientations.inv_ornt_aff(turn, image.shape[:3])
    try:
        with np.errstate(all="ignore"):  # overflows become infinite and are refused as such
            if image.get_data_dtype().names:
                colours = np.asanyarray(image.dataobj)
                colours = colours if turn is None else nibabel.apply_orientation(colours, turn)
                return np.stack([colours[name] for name in ("R", "G", "B")], axis=-1).astype(np.float32), affine
            if turn is None or (turn == [[0, 1], [1, 1], [2, 1]]).all():
                return np.asarray(image.dataobj, dtype=np.float32), affine
            return np.asarray(nibabel.apply_orientation(np.asanyarray(image.dataobj), turn), dtype=np.float32), affine
    except Exception as problem:  # as above
        raise ReadError("broken-nifti", "the voxels of the volume cannot be read", " ".join(str(problem).split()),
                        "copy or convert the file again; it is cut off or damaged") from None


def _refuse(path: Path, image: Any, nibabel: Any, analyze: str) -> None:
    if not isinstance(image, nibabel.AnalyzeImage if analyze == "las" else nibabel.Nifti1Pair):
        if isinstance(image, nibabel.AnalyzeImage):
            raise ReadError("not-nifti", "it is an Analyze volume, which does not say how it lies",
                            "left and right are exchanged where a wrong guess is made",
                            "convert it to NIfTI with the tool that made it, or write 'analyze: las' if its rows run "
                            "from right to left")
        other = misplaced(path, "not-nifti", "a NIfTI volume", packed=True)
        raise other or ReadError("not-nifti", f"it is a {type(image).__name__}, not a NIfTI volume",
                                 fix="convert it to .nii or .nii.gz")
    shape = tuple(int(length) for length in image.shape)
    if len(shape) not in (3, 4):
        raise ReadError("wrong-rank", f"the volume has {len(shape)} axes: {list(shape)}",
                        "three axes are a volume; a fourth one is the channels",
                        "save one volume, or a 4D file with the channels on the fourth axis")
    colour = {"R", "G", "B"} <= {*(image.get_data_dtype().names or ())} and len(shape) == 3
    if image.get_data_dtype().kind not in "biuf" and not colour:
        raise ReadError("not-numeric", f"the voxels are {image.get_data_dtype()}, not numbers",
                        fix="save a volume of plain numbers")
    if int(np.prod(shape, dtype=object)) > MAX_VALUES:
        raise ReadError("too-large", f"the header claims a volume of {list(shape)}",
                        f"more than {MAX_VALUES} values are not read", "check the file; crop or resample the volume")


def sample(folder: Path) -> Path:
    """A volume of 3 x 5 x 7 voxels of 2 mm."""
    nibabel: Any = import_module("nibabel")
    voxels = np.linspace(-1, 1, 3 * 5 * 7, dtype=np.float32).reshape(3, 5, 7)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / "volume.nii")
    return folder / "volume.nii"


component = Reader("nifti", NiftiOptions, examine, category="volume", needs=("nibabel",), shape=shape, advise=advise,
                   sample=sample)

"""The headers of DICOM files: the kind and position of each slice.

Source: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.16 (functional groups of enhanced multi-frame objects).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

from fusionkit_plugins.blocks.dicom.elements import bad_header, last_text, numbers_of, shown, tag_of, value_of, whole_of
from fusionkit_plugins.blocks.dicom.pet import pet_texts

from fusionkit.reading import ReadError, first_bytes, misplaced

# Files that archives add to the slices. Anything else that is not DICOM is refused: it may be a broken slice, and a
# stack without its last slice shows no gap.
_SKIPPED_NAMES = {"dicomdir", "readme", "license", "lockfile", "version"}
_SKIPPED_SUFFIXES = {".txt", ".json", ".xml", ".csv", ".tsv", ".md", ".html", ".pdf", ".log", ".yaml", ".yml", ".ini"}
_SKIPPED_SUFFIXES |= {".jpg", ".jpeg", ".png", ".gif", ".db", ".exe", ".inf", ".zip", ".sha256", ".md5"}

_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")

# Elements that distinguish two images at one position, for the message: echoes, phases, repetitions.
VARIANTS = (
    "AcquisitionNumber",
    "EchoNumbers",
    "EchoTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "StackID",
    "EffectiveEchoTime",
    "DiffusionBValue",
    "FrameAcquisitionNumber",
    "NominalCardiacTriggerDelayTime",
    "TriggerTime",
    "ConvolutionKernel",
    "ImageType",
    "FrameType",
)
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
_TRUNCATED_FIX = "copy the file from its source again"


@dataclass(frozen=True, slots=True)
class Slice:
    """One plane of pixels: a file, or one frame of an enhanced multi-frame file.

    Units: `position` (centre of the first pixel), `spacing` (between rows, between columns; `detector_spacing` that
    of the detector of a radiograph) and `thickness` in mm; `orientation` is the unit vector along a row, then along
    a column; None if the header does not give it. `rescaled` is whether the header gives a slope, an intercept or a
    table; `units` are those of a PET, `pet` texts of its dose and times. `dataset` is the whole file as read by
    pydicom, kept only if reading it again would cost more than its memory.
    """

    path: Path
    frame: int | None
    series: str
    series_number: str
    description: str
    kind: str
    instance: str
    modality: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    frames: int
    colours: int
    photometric: str
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    slope: float
    intercept: float
    rescaled: bool = True
    detector_spacing: tuple[float, ...] | None = None
    thickness: float | None = None
    frame_of_reference: str = ""
    rescale_type: str = ""
    units: str = ""
    bits: int = 0
    palette: str = ""
    variants: dict[str, str] = field(default_factory=dict)
    pet: Mapping[str, str] = field(default_factory=dict)
    header: Mapping[str, str] = field(default_factory=dict)
    dataset: Any = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file, and the frame in it, for messages."""
        return repr(self.path.name) if self.frame is None else f"{self.path.name!r} frame {self.frame + 1}"


def find_files(path: Path, below: bool = False) -> list[Path]:
    """The DICOM files of a series folder, or the one file, in the order of their names.

    `below` also takes those of the folders in it, but for hidden ones.

    Raises: `ReadError` (dicom-missing, dicom-empty).
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ReadError("dicom-missing", "does not exist", fix="correct 'path', or set 'missing_ok: true'")
    entries = path.rglob("*") if below else path.iterdir()
    found = sorted(entry for entry in entries if entry.is_file()
                   and (not is_skipped(entry) or (below and entry.suffix.lower() == ".zip"))
                   and not any(part.startswith(".") for part in entry.relative_to(path).parts))
    if found:
        return found
    folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    archives = sorted(entry.name for entry in path.iterdir() if entry.name.lower().endswith(_ARCHIVES))
    if archives:
        raise ReadError("dicom-empty", "holds no DICOM files",
                        f"it holds archives: {', '.join(map(repr, archives[:5]))}",
                        "unpack them, or give a zip archive itself in 'path'")
    why = f"it contains folders: {', '.join(map(repr, folders[:5]))}" if folders else None
    raise ReadError("dicom-empty", "contains no DICOM files", why, "let 'path' name the folder of one series, or "
                    "write 'below: true' to read folders below it" if folders else
                    "let 'path' name the folder of one series")


def is_skipped(path: Path) -> bool:
    """Whether a file is one that archives add to the slices, by its name."""
    name = path.name.lower()
    return name.startswith(".") or name in _SKIPPED_NAMES or path.suffix.lower() in _SKIPPED_SUFFIXES


class _Quiet:
    """Hides pydicom's own warnings: the important ones become a ReadError, the rest is about padding and spelling.

    Files are read in threads, and `catch_warnings` is shared by all of them before Python 3.14: the first to enter
    sets the filter, and the last to leave removes it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._filters = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"pydicom")
            self._inside += 1

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.close()


quiet = _Quiet()


def open_dataset(path: Path, pixels: bool, packed: bytes | None = None) -> Any:
    """The pydicom dataset of a file, with or without its pixels.

    `packed` is the content of the file where it lies in an archive.

    pydicom's `specific_tags` is not used: for the thirty elements that are needed here it makes parsing slower.

    Raises: `ReadError` (dicom-not-dicom, dicom-unreadable, dicom-no-syntax).
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.uid import UID

    try:
        dataset = dcmread(path if packed is None else BytesIO(packed), stop_before_pixels=not pixels)
    except InvalidDicomError:
        dataset = _open_bare(path, pixels, packed)
        if dataset is None:
            raise _not_dicom(path, packed) from None
    except Exception as error:  # pydicom passes on all errors of a broken file: struct, EOF, value, type, OS errors
        raise ReadError("dicom-unreadable", f"{path.name!r} cannot be read", str(error), _TRUNCATED_FIX) from error
    try:
        syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    except Exception as error:  # pydicom converts values on first access
        raise bad_header(path, "TransferSyntaxUID", str(error)) from error
    if not isinstance(syntax, UID) or not (syntax.is_private or syntax.is_transfer_syntax):
        fix = "write the file again with the tool that it came from"
        raise ReadError("dicom-no-syntax", f"{path.name!r} does not name its transfer syntax (0002,0010)",
                        f"the element holds {syntax!r}" if syntax else None, fix)
    return dataset


def _open_bare(path: Path, pixels: bool, packed: bytes | None) -> Any:
    """The dataset of a file without the 128 bytes and `DICM`, which old scanners and planning systems leave out.

    It must begin with an element of group 2 or 8 and say what it is; without group 2 its encoding is as it looks.
    None for any other file.
    """
    from pydicom import dcmread
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if (first_bytes(path, 2) if packed is None else packed[:2]) not in _FIRST_GROUPS:
        return None
    try:
        dataset = dcmread(path if packed is None else BytesIO(packed), stop_before_pixels=not pixels, force=True)
        if "SOPClassUID" not in dataset or not UID(str(dataset.SOPClassUID)).is_valid:
            return None
        if "TransferSyntaxUID" not in dataset.file_meta and not _is_encapsulated(dataset):
            implicit, little = dataset.original_encoding
            dataset.file_meta.TransferSyntaxUID = (
                ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian)
        return dataset
    except Exception:  # as in open_dataset; what cannot be read without the mark is no DICOM file
        return None


def _not_dicom(path: Path, packed: bytes | None) -> ReadError:
    why = "the mark 'DICM' at byte 128 is missing, and it does not begin with an element of group 2 or 8"
    fix = "name the DICOM files in 'path', or remove the file from the folder if it does not belong to the series"
    known = misplaced(path, "dicom-not-dicom", "a DICOM file", repr(path.name)) if packed is None else None
    return known or ReadError(
        "dicom-not-dicom", f"{path.name!r} is not a DICOM file", why, fix)


def _is_encapsulated(dataset: Any) -> bool:
    return "PixelData" in dataset and bool(dataset["PixelData"].is_undefined_length)


def read_slices(path: Path, keep: bool = False, also: Sequence[str] = (), packed: bytes | None = None) -> list[Slice]:
    """The planes in a file: one, or one per frame if each frame has its own position.

    The pixels are read, and kept in memory with the header, only if `keep` is true. `also` are keywords of further
    elements, whose texts are kept as `header`. Of a file in an archive, `packed`, pixels are always kept.

    Raises: `ReadError` as `open_dataset`, and dicom-bad-header.
    """
    with quiet:
        keep = keep or packed is not None
        dataset = open_dataset(path, pixels=keep, packed=packed)
        try:
            return [replace(item, header=_texts(places, also)) if also else item
                    for item, places in _planes(path, dataset, keep)]
        except ReadError:
            raise
        except Exception as error:  # iterating over a group also converts elements that are not needed
            raise ReadError("dicom-bad-header", f"{path.name!r} has a header that cannot be read", _said(error),
                            _TRUNCATED_FIX) from error


def _texts(places: list[Any], keywords: Sequence[str]) -> dict[str, str]:
    """The texts of elements of a file or frame, the frame winning."""
    return {keyword: next((text for place in reversed(places) if (text := shown(place, keyword))), "")
            for keyword in keywords}


def _planes(path: Path, dataset: Any, keep: bool) -> Iterator[tuple[Slice, list[Any]]]:
    """Each plane, with the datasets that say where it is."""
    per_frame = value_of(path, dataset, "PerFrameFunctionalGroupsSequence")
    if not per_frame:
        yield _slice(path, dataset, [dataset], None, keep), [dataset]
        return
    common = list(value_of(path, dataset, "SharedFunctionalGroupsSequence") or [])
    for number, frame in enumerate(per_frame):
        places = [dataset, *_groups([*common, frame])]
        yield _slice(path, dataset, places, number, keep), places


def _said(error: Exception) -> str:
    """The first sentence of an error: the rest of pydicom's messages are hints for programmers."""
    return str(error).split(". ")[0] or type(error).__name__


def _groups(functional: list[Any]) -> list[Any]:
    """The items of all functional groups, flattened: position, orientation and scale are one level down."""
    return [item for group in functional for element in group if element.VR == "SQ" for item in element.value]


def _slice(path: Path, dataset: Any, places: list[Any], frame: int | None, keep: bool) -> Slice:
    """One plane; `places` are the datasets that may contain its geometry, later ones taking precedence."""

    def text(keyword: str) -> str:
        found = value_of(path, dataset, keyword)
        return "" if found is None else str(found)

    def numbers(keyword: str, count: int) -> tuple[float, ...] | None:
        found = [numbers_of(path, place, keyword, count) for place in places]
        return next((value for value in reversed(found) if value is not None), None)

    slope, intercept = numbers("RescaleSlope", 1), numbers("RescaleIntercept", 1)
    return Slice(
        path=path,
        frame=frame,
        series=text("SeriesInstanceUID"),
        series_number=text("SeriesNumber"),
        description=text("SeriesDescription").strip(),
        kind=_kind(path, dataset),
        instance=text("SOPInstanceUID"),
        modality=text("Modality"),
        image_type=_image_type(path, dataset),
        rows=whole_of(path, dataset, "Rows", 0),
        columns=whole_of(path, dataset, "Columns", 0),
        frames=whole_of(path, dataset, "NumberOfFrames", 1),
        colours=whole_of(path, dataset, "SamplesPerPixel", 1),
        photometric=text("PhotometricInterpretation"),
        position=numbers("ImagePositionPatient", 3),
        orientation=numbers("ImageOrientationPatient", 6),
        spacing=numbers("PixelSpacing", 2),
        detector_spacing=numbers("ImagerPixelSpacing", 2),
        thickness=_thickness(path, places),
        frame_of_reference=text("FrameOfReferenceUID"),
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        rescaled=slope is not None or intercept is not None or tag_of("ModalityLUTSequence") in dataset,
        rescale_type=last_text(path, places, "RescaleType").upper(),
        units=text("Units").upper(),
        bits=whole_of(path, dataset, "BitsStored", 0),
        palette=_palette_key(path, dataset),
        variants=_variants(path, places),
        pet=pet_texts(dataset, places[1:]) if text("Modality") == "PT" else {},
        dataset=dataset if keep else None,
    )


def _thickness(path: Path, places: list[Any]) -> float | None:
    """The thickness in mm; one that is no positive number counts as not given, since only single slices need it."""
    try:
        found = [numbers_of(path, place, "SliceThickness", 1) for place in places]
    except ReadError:
        return None
    return next((value[0] for value in reversed(found) if value is not None and value[0] > 0), None)


def _variants(path: Path, places: list[Any]) -> dict[str, str]:
    """What tells the slice from others at its place, of the file and of its frame, the frame winning."""
    found = {}
    for place in places:
        for keyword in VARIANTS:
            if tag_of(keyword) in place:
                value = value_of(path, place, keyword)
                several = not isinstance(value, str) and hasattr(value, "__iter__")
                found[keyword] = "" if value is None else "\\".join(map(str, value)) if several else str(value)
    return found


def _kind(path: Path, dataset: Any) -> str:
    """The name of the file's SOP class, such as 'CT Image Storage'."""
    found = value_of(path, dataset, "SOPClassUID") or getattr(dataset.file_meta, "MediaStorageSOPClassUID", None)
    return str(getattr(found, "name", found) or "object of unknown class")


def _palette_key(path: Path, dataset: Any) -> str:
    """A short key of the colour tables of a file, empty without one."""
    names = [f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue")
             for part in ("Descriptor", "Data")]
    tables = [value_of(path, dataset, name) for name in names]
    if not any(table is not None for table in tables):
        return ""
    return hashlib.sha256(repr(tables).encode()).hexdigest()[:12]


def _image_type(path: Path, dataset: Any) -> tuple[str, ...]:
    found = value_of(path, dataset, "ImageType") or ()
    return (found,) if isinstance(found, str) else tuple(map(str, found))

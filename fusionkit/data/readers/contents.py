"""Recognises files by their first bytes, so that an error names the kind of file and what to do about it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fusionkit.data.readers.reader import ReadError

_LOOKED_AT = 4096


@dataclass(frozen=True, slots=True)
class Content:
    """A kind of file: its name in messages, and the fix when another kind was expected."""

    name: str
    fix: str


_UNPACK = "unpack it, and give the unpacked file in 'path'"
_MHA = "read it with 'read: mha'"
_NIBABEL = ("convert it: python -c \"import nibabel as n; i = n.load('IN'); "
            "n.save(n.Nifti1Image(i.dataobj, i.affine), 'OUT.nii.gz')\"")
_IMAGE = "read it with 'read: image'"
_BEGINNINGS: tuple[tuple[bytes, Content], ...] = tuple((start, Content(name, fix)) for start, name, fix in (
    (b"version https://git-lfs", "a Git LFS pointer", "run 'git lfs pull' where the files came from"),
    (b"/annex/objects/", "a git-annex pointer", "run 'git annex get' or 'datalad get' on it"),
    (b"../.git/annex/", "a git-annex pointer", "run 'git annex get' or 'datalad get' on it"),
    (b"outs:", "a DVC pointer", "run 'dvc pull' where the files came from"),
    (b"\x00\x05\x16\x07", "a macOS resource file, whose name begins with '._'", "delete it; the data are in the other "
     "file"),
    (b"\x1f\x8b", "gzip-compressed data", "unpack it: gunzip FILE"),
    (b"PK\x03\x04", "a zip archive", _UNPACK), (b"PK\x05\x06", "an empty zip archive", "make the archive again"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK), (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"BZh", "bzip2-compressed data", "unpack it: bunzip2 FILE"),
    (b"\xfd7zXZ\x00", "xz-compressed data", "unpack it: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data", "unpack it: unzstd FILE"),
    (b"\x1a\x45\xdf\xa3", "a video", "read it with 'read: video'"),
    (b"%PDF", "a PDF document", "export the picture in it"),
    (b"\x89PNG", "a PNG picture", _IMAGE), (b"\xff\xd8\xff", "a JPEG picture", _IMAGE),
    (b"GIF8", "a GIF picture", _IMAGE),
    (b"II*\x00", "a TIFF picture", _IMAGE), (b"MM\x00*", "a TIFF picture", _IMAGE), (b"BM", "a BMP picture", _IMAGE),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture", "convert it to PNG or TIFF"),
    (b"NRRD0", "an NRRD volume", "read it with 'read: nrrd'"),
    (b"ObjectType", "a MetaImage volume (MHA, MHD)", _MHA), (b"NDims", "a MetaImage volume (MHA, MHD)", _MHA),
    (b"\x89HDF", "an HDF5 file (MINC 2, MATLAB)", "convert it to NIfTI, or save its array with numpy.save"),
    (b"CDF", "a NetCDF file (MINC 1)", "convert it to NIfTI: mnc2nii FILE"),
    (b"\x93NUMPY", "a numpy array", "read it with 'read: numpy'"), (b"PAR1", "a Parquet table", "name another file"),
))
_EMPTY = Content("an empty file", "copy or download it again")
_ZEROS = Content("nothing but zeros", "copy or download it again; the transfer failed")
_DOWNLOAD = "a server sent this instead of the file: download it again, logged in if necessary"
_WEB_PAGE = Content("a web page", _DOWNLOAD)
_XML = Content("an XML document", _DOWNLOAD)
_JSON = Content("JSON text", _DOWNLOAD)
_TAR = Content("a tar archive", _UNPACK)
_DICOM = Content("a DICOM file", "read it with 'read: dicom'")
_NIFTI = Content("a NIfTI volume", "read it with 'read: nifti'")
_ANALYZE = Content("an Analyze volume, which does not say its orientation", _NIBABEL)
_VIDEO = Content("a video", "read it with 'read: video'")
_FREESURFER = Content("a FreeSurfer volume (MGH)", _NIBABEL)


def first_bytes(path: Path, count: int = _LOOKED_AT) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(count)


def unzipped(start: bytes, count: int = _LOOKED_AT) -> bytes:
    """The first bytes of gzip-compressed data, as far as they can be unpacked."""
    try:
        return zlib.decompressobj(wbits=31).decompress(start, count)
    except zlib.error:
        return b""


def is_nifti(start: bytes) -> bool:
    """Whether a file begins like NIfTI 1 or 2, as a pair or a single file."""
    one = start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and start[344:348] in (b"n+1\0", b"ni1\0")
    return one or (start[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and start[4:8] in (b"n+2\0", b"ni2\0"))


def content_of(start: bytes, name: str = "") -> Content | None:
    """The kind of a file with these first bytes; its name is used only if they are ambiguous. None if unknown."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    tests: tuple[tuple[Callable[[], bool], Content], ...] = (
        (lambda: not start, _EMPTY),
        (lambda: len(start) >= 1024 and not any(start), _ZEROS),
        (lambda: start[128:132] == b"DICM", _DICOM),
        (lambda: is_nifti(start), _NIFTI),
        (lambda: start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and len(start) >= 348, _ANALYZE),
        (lambda: start[257:262] == b"ustar", _TAR),
        (lambda: text.startswith((b"<!doctype html", b"<html", b"<head")), _WEB_PAGE),
        (lambda: text.startswith(b"<?xml"), _XML),
        (lambda: text.startswith((b"{", b"[{")) and b'"' in text[:80], _JSON),
        (lambda: start[:4] == b"\0\0\0\x01" and name.lower().endswith((".mgh", ".mgz")), _FREESURFER),
        (lambda: start[:4] == b"RIFF" and start[8:12] == b"WEBP", Content("a WebP picture", _IMAGE)),
        (lambda: start[:4] == b"RIFF" and start[8:12] == b"AVI ", _VIDEO),
        (lambda: start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"avif"),
         Content("a HEIC or AVIF picture", "convert it to PNG or JPEG")),
        (lambda: start[4:8] == b"ftyp", _VIDEO),
    )
    for holds, content in tests:
        if holds():
            return content
    return next((content for beginning, content in _BEGINNINGS if start.startswith(beginning)), None)


def misplaced(path: Path, refusal: str, wanted: str, subject: str = "it", *, packed: bool = False) -> ReadError | None:
    """The refusal of a file that is something else than `wanted`, by name; None when it is not known what it is.

    `refusal` is its code, and `subject` how the message calls the file; `packed` says that what is wanted may be
    gzip-compressed.
    """
    start = first_bytes(path)
    content = content_of(start, path.name)
    if start.startswith(b"\x1f\x8b"):
        inner = content_of(unzipped(start), path.name) if unzipped(start) else None
        if inner:
            fix = inner.fix if packed else f"unpack it: gunzip {path.name}"
            content = Content(f"gzip-compressed data with {inner.name} in it", fix)
        else:
            content = None if packed else content
    if content is None:
        return None
    return ReadError(refusal, f"{subject} is {content.name}, not {wanted}", None, content.fix)

"""One picture, or the pages of a file, 8 or 16 bit, scaled to 0..1 by its bit depth or by a window."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from fusionkit_plugins.blocks.deep_pictures import as_grey, deep_png, ome_pixel, tiff_pages
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fusionkit.api import Reader
from fusionkit.reading import (
    MAX_VALUES,
    Advice,
    Facts,
    IntensityOptions,
    NumberWindows,
    ReadError,
    Sizes,
    Window,
    colour_labels,
    constant,
    count,
    file_size_fix,
    first_bytes,
    intensities,
    label_maps,
    labels_of,
    misplaced,
    ranges,
    remarked,
    spread,
)

# Tried in this order; each recognises its files by their first bytes, whatever their suffix.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_PIXELS = 1 << 27
_DAMAGED = "copy or export the file again; it is cut off or damaged"
_NARROW = 8  # a picture that uses at most an eighth of its range


class ImageOptions(IntensityOptions):
    """Options of the reader `image`."""

    window: NumberWindows | None = Field(
        None, description="Two stored values that become 0 and 1, clipped outside, such as [0, 4095] for 12 bits in a "
        "16-bit picture; without it values are divided by the largest of the bit depth. A list, or `{NAME: [LOW, "
        "HIGH]}`, makes one channel for each.",
    )
    pages: Literal["first", "volume"] = Field(
        "first", description="Of a file with several pages or frames (TIFF, GIF, WebP): the `first`, or all of them as "
        "the depth of a `volume`; `size` then has three numbers."
    )
    spacing_from: Literal["ome"] | None = Field(
        None, description="`ome`: the size of a pixel is that of the OME description of a TIFF, which `spacing` "
        "resamples by; without it pictures have none."
    )
    clip: Window | None = Field(
        None, description="Two values that smaller and larger ones become, after the division by the largest of the "
        "bit depth; nothing is scaled."
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1 converts colour to grey, 3 repeats grey three times; without it each keeps its own."
    )

    @model_validator(mode="after")
    def _windows_are_channels(self) -> ImageOptions:
        if self.channels == 3 and self.window_channels:
            raise ValueError("several windows make channels of their own; remove 'channels: 3'")
        if self.spacing_from is not None and self.pages == "volume":
            raise ValueError("'spacing_from' is of one picture, and pages lie at no known distance; remove 'pages'")
        if self.size is not None and len(self.size) != 2 + (self.pages == "volume"):
            raise ValueError("a picture has a height and a width, and a volume of pages a depth before them; write "
                             f"'size' with {2 + (self.pages == 'volume')} numbers")
        return self


def shape(options: ImageOptions) -> Sizes | None:
    """Channels, height, width; None if known only from the file."""
    return (options.window_channels or options.channels, *(options.size or (None,) * (2 + (options.pages == "volume"))))


def size_fix(name: str, options: ImageOptions, expected: Sizes, met: Sizes) -> str:
    """What to do if an input has unexpected sizes; the number of channels is an option too."""
    more = [f"'channels: {expected[0] or met[0]}'"] if expected[0] != met[0] else []
    return file_size_fix(name, expected, met, *more)


def advise(options: ImageOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    lost = tuple(place for place, facts in enumerate(files) if facts.remark("bits-lost") is not None)
    several = tuple(place for place, facts in enumerate(files) if facts.remark("several-pictures") is not None)
    found = []
    if lost:
        found.append(Advice("bits-lost", f"{count(lost, files)} store 16 bits for each colour, of which 8 are read",
                            lost, "Pillow reads colour pictures at 8 bits",
                            'install "fusionkit[tiff]" for TIFF, or "fusionkit[nrrd]", whose SimpleITK reads such PNG'))
    if alpha := remarked(files, "alpha-dropped"):
        found.append(Advice("alpha-dropped", f"{count(alpha, files)} have a transparency that varies and is left out",
                            alpha, "what lies under transparent pixels is read as if it were seen",
                            "save them without transparency, on the background that is meant"))
    if several:
        most = max(int(files[place].remark("several-pictures") or 0) for place in several)
        found.append(Advice("several-pictures", f"{count(several, files)} contain several pictures, up to {most}; the "
                            "first is read", several, "they are animations or have several pages",
                            "write 'pages: volume' to read all of them, or save the intended one as a separate file"))
    return [*found, *_narrow(options, files), *label_maps(options, files), *ranges(files), *constant(files)]


def _narrow(options: ImageOptions, files: Sequence[Facts]) -> list[Advice]:
    """`narrow-range`: 16-bit pictures with 12-bit values, or with HU plus an offset."""
    deep = tuple(place for place, facts in enumerate(files) if facts.bits == 16)
    if not deep or options.window is not None:
        return []
    low, high = min(files[place].values[0] for place in deep), max(files[place].values[2] for place in deep)
    if not 0 < high - low <= 1 / _NARROW:
        return []
    stored = round(low * 65535), round(high * 65535)
    return [Advice("narrow-range", f"{count(deep, files)} store 16 bits but use a small part of the range", deep,
                   f"their stored values run from {stored[0]} to {stored[1]}, which become {low:.3g} to {high:.3g}",
                   f"write 'window: [{stored[0]}, {stored[1]}]', or the intended range, such as 'window: [0, 4095]'")]


def read(path: Path, options: ImageOptions) -> NDArray[np.float32]:
    """Only the array of `examine`."""
    return examine(path, options)[0]


def examine(path: Path, options: ImageOptions) -> tuple[NDArray[np.float32], Facts]:
    """The picture, rotated by its EXIF orientation; transparency is dropped.

    Shapes: (c, h, w), or with `pages: volume` (c, d, h, w); c is 1 for grey and 3 for colour. Units: 0..1. Pillow
    gives 16-bit colour at 8 bits, where neither tifffile nor SimpleITK is installed.

    Raises: `ReadError` with `not-an-image`, `broken-image`, `too-large`, `pages-differ`, `no-geometry` or
    `needs-window`.
    """
    picture = _decode(path, pages=options.pages == "volume")
    array = picture.stored
    if picture.depth is None and options.window is None and options.normalise in (None, "none"):
        raise ReadError("needs-window", f"the picture has values from {array.min():g} to {array.max():g}, without a "
                        "bit depth", "32-bit and floating-point pictures do not say which values are black and white",
                        "write 'window: [BLACK, WHITE]' on the input")
    find = labels_of if len(array) == 1 else colour_labels
    labels = find(array) if options.as_stored else ()
    if options.window is None:
        array = array / np.float32(picture.depth or 1)
    if options.channels == 1 and array.shape[0] == 3:
        array = as_grey(array)
    # Colours are mixed neither as such nor as the grey that is made of them.
    by_colour = (("labels-by-colour", ""),) if len(picture.stored) == 3 and labels else ()
    facts = Facts(values=spread(array), bits=(picture.depth or 0).bit_length(), labels=labels,
                  pixel=ome_pixel(path) if options.spacing_from == "ome" else (),
                  remarks=(*picture.remarks, *by_colour))
    array, facts = intensities(array, facts, options, unit=1.0 if options.window else 1 / (picture.depth or 1))
    if options.channels == 3 and array.shape[0] == 1:
        array, facts = np.repeat(array, 3, axis=0), replace(facts, fill=facts.fill * 3)
    return np.ascontiguousarray(array), facts


@dataclass(frozen=True, slots=True)
class _Picture:
    """Stored values, channels first, and the largest that the bit depth allows (None where it allows any)."""

    stored: NDArray[np.float32]
    depth: int | None
    remarks: tuple[tuple[str, str], ...] = ()


def _decode(path: Path, *, pages: bool) -> _Picture:
    from PIL import ImageOps, ImageSequence

    try:
        with path.open("rb") as stream:
            picture = _opened(stream)
            if picture is None:
                found = _by_tifffile(path, pages) if first_bytes(path, 4) in _TIFF else None
                if found is None:
                    raise _unidentified(path)
                return found
            if picture.width * picture.height > _MAX_PIXELS:
                raise ReadError("too-large", f"it claims {picture.width} x {picture.height} pixels",
                                f"more than {_MAX_PIXELS} are not read", "save it at a smaller size")
            remarks = _remarks(picture, stream)
            if ("bits-lost", "") in remarks:
                whole = _by_tifffile(path, pages) if picture.format == "TIFF" else _by_itk(path)
                if whole is not None:
                    return whole
            if not pages:
                picture.load()
                stored, depth = _stored(ImageOps.exif_transpose(picture), picture.format)
                return _Picture(stored, depth, (*remarks, *_alpha(picture)))
            count = int(getattr(picture, "n_frames", 1) or 1)
            if count * picture.width * picture.height > MAX_VALUES:
                raise ReadError("too-large", f"it claims {count} pages of {picture.width} x {picture.height} pixels",
                                f"more than {MAX_VALUES:,} values are not read", "save it at a smaller size")
            several = [_stored(page, picture.format) for page in ImageSequence.Iterator(picture)]
            if len({stored.shape for stored, _ in several}) > 1:
                raise ReadError("pages-differ", "its pages have different sizes or colours",
                                "the pages of a volume are alike", "read one page: remove 'pages'")
            kept = tuple(each for each in remarks if each[0] != "several-pictures")
            return _Picture(np.stack([stored for stored, _ in several], 1), several[0][1], kept)
    except (ReadError, OSError) as problem:
        if isinstance(problem, ReadError) or problem.errno is not None:
            raise
        raise _broken(problem) from None
    except Exception as problem:  # decoders raise almost anything for damaged files
        raise _broken(problem) from None


def _by_tifffile(path: Path, pages: bool) -> _Picture | None:
    """The pages of a TIFF with all of their bits; None where it cannot be read so."""
    found = tiff_pages(path, None if pages else 1)
    if found is None:
        return None
    stored, depth, count = found
    array = np.ascontiguousarray(stored.transpose(1, 0, 2, 3)) if pages else stored[0]
    return _Picture(array, depth, () if pages or count == 1 else (("several-pictures", str(count)),))


def _by_itk(path: Path) -> _Picture | None:
    found = deep_png(path)
    return None if found is None else _Picture(found, 65535)


def _alpha(picture: Any) -> tuple[tuple[str, str], ...]:
    """A remark if transparency differs between pixels."""
    if picture.mode not in ("RGBA", "LA"):
        return ()
    low, high = picture.getchannel("A").getextrema()
    return (("alpha-dropped", ""),) if low < high else ()


def _broken(problem: Exception) -> ReadError:
    return ReadError("broken-image", "the picture cannot be decoded", str(problem) or type(problem).__name__, _DAMAGED)


def _opened(stream: IO[bytes]) -> Any:
    """The picture with only its header read, None for an unknown format.

    `PIL.Image.open` does the same, but has a limit of its own for huge pictures, which hides their size.
    """
    from PIL import Image

    Image.preinit()
    if not all(name in Image.OPEN for name in _FORMATS):
        Image.init()
    start = stream.read(16)
    for name in _FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        try:
            if accept is None or accept(start) is True:
                stream.seek(0)
                return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    return None


def _remarks(picture: Any, stream: IO[bytes]) -> tuple[tuple[str, str], ...]:
    """Remarks about lost data: the lower bits of colours, and pictures of a file after the first."""
    found = []
    if picture.format == "PNG":
        place = stream.tell()
        stream.seek(24)
        depth, colour = stream.read(2)
        stream.seek(place)
        deep = depth == 16 and colour in (2, 4, 6)
    else:
        sizes = picture.tag_v2.get(258, (8,)) if picture.format == "TIFF" else (8,)
        deep = len(sizes) > 1 and max(sizes) > 8
    if deep:
        found.append(("bits-lost", ""))
    frames = int(getattr(picture, "n_frames", 1) or 1)
    if frames > 1 and picture.format != "MPO":
        found.append(("several-pictures", str(frames)))
    return tuple(found)


def _stored(picture: Any, kind: str) -> tuple[NDArray[np.float32], int | None]:
    if picture.mode.startswith("I;16") or (picture.mode == "I" and kind in ("PNG", "PPM")):
        return np.asarray(picture).astype(np.float32)[None], 65535
    if picture.mode in ("I", "F"):
        return np.asarray(picture).astype(np.float32)[None], None
    if picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L"), dtype=np.float32)[None], 255
    colour = np.asarray(picture.convert("RGB"), dtype=np.float32)
    if kind == "GIF" and (colour == colour[..., :1]).all():  # the format has no grey, and writes it as a palette
        return colour[..., 0][None], 255
    return np.ascontiguousarray(colour.transpose(2, 0, 1)), 255


def _unidentified(path: Path) -> ReadError:
    start = first_bytes(path, 16)
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8")):
        return ReadError("broken-image", "the picture cannot be decoded", "its header is damaged", _DAMAGED)
    return misplaced(path, "not-an-image", "a picture") or ReadError(
        "not-an-image", "it is not a picture in a known format (PNG, JPEG, TIFF, BMP, WebP, GIF, PGM)",
        f"the file starts with {start[:8]!r}",
        "export it as PNG or JPEG; other kinds have their own readers (dicom, nifti, numpy)")


def sample(folder: Path) -> Path:
    """A colour picture of 5 x 7 pixels."""
    from PIL import Image

    Image.fromarray(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)).save(folder / "picture.png")
    return folder / "picture.png"


component = Reader("image", ImageOptions, examine, category="image", shape=shape, advise=advise, size_fix=size_fix,
                   sample=sample, scaled=(0.0, 1.0))

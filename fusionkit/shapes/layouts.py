"""Shapes of tensors and of the values on the edges of a graph. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class TensorShape:
    """The sizes of one tensor without its batch axis.

    Abstract: use `Vector`, `Tokens`, `Image`, `Volume` or `Scalar`, or `shape_of`.

    Raises: TypeError for a TensorShape itself, which has no layout and which no component could read.
    """

    sizes: tuple[int, ...]

    layout: ClassVar[str] = "tensor"
    axes: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[bool] = False
    """Whether its tensor holds whole numbers, int64, which no precision and no gradient is for."""

    def __post_init__(self) -> None:
        if type(self) is TensorShape:
            raise TypeError(f"TensorShape({self.sizes}) has no layout; use Vector, Tokens, Image, Volume or shape_of")

    @property
    def width(self) -> int:
        """Features at one position: the channels of a map, the last axis of tokens, the length of a vector."""
        return self.sizes[-1] if self.layout == "tokens" else self.sizes[0]

    @property
    def spatial(self) -> tuple[int, ...]:
        """Sizes of the spatial axes: (H, W), (D, H, W), or () for vectors and tokens."""
        return self.sizes[1:] if self.layout in ("image", "volume") else ()

    @property
    def positions(self) -> int:
        """How many positions have a feature vector: 1 for a vector, N for tokens, the pixels or voxels of a map."""
        return self.count // self.width if self.sizes else 1

    @property
    def count(self) -> int:
        """Numbers in one case."""
        return prod(self.carried)

    @property
    def carried(self) -> tuple[int, ...]:
        """The sizes of the tensor that carries one case through the network: those of the shape, unless it is coded."""
        return self.sizes

    @property
    def written(self) -> tuple[int | None, ...]:
        """The sizes as a graph file has them: None for a number of tokens that varies."""
        return self.sizes

    def __str__(self) -> str:
        return " ".join(["B", *map(str, self.sizes)]) if self.layout != "scalar" else "()"


@dataclass(frozen=True, slots=True)
class Vector(TensorShape):
    """(B, width)."""

    layout: ClassVar[str] = "vector"
    axes: ClassVar[tuple[str, ...]] = ("features",)


@dataclass(frozen=True, slots=True)
class Tokens(TensorShape):
    """(B, count, width)."""

    layout: ClassVar[str] = "tokens"
    axes: ClassVar[tuple[str, ...]] = ("tokens", "features")


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of `size` tokens of an input, one after the other: a token of each, real where one of its tokens is."""

    of: str
    size: int

    def count(self, tokens: int) -> int:
        """How many windows so many tokens make; the last may be shorter."""
        return -(-tokens // self.size)

    def __str__(self) -> str:
        return f"{self.of}/{self.size}"


TokenAxis = tuple[str | int | Windows, ...]
"""Whose tokens an axis of masked tokens has, one after the other: an input by its name, or so many unmasked ones."""
STAND_IN = 64
"""The number of tokens that stands for one that varies and has no `max`, in costs and wherever a number is needed."""


@dataclass(frozen=True, slots=True)
class MaskedTokens(Tokens):
    """(B, N, width), where every case has a number of tokens of its own and is padded to N.

    N differs from batch to batch; the first of `sizes` only stands for it. Two shapes with the same `of` have the same
    tokens, and so the same number and the same mask.
    """

    of: TokenAxis = ()

    @property
    def written(self) -> tuple[int | None, ...]:
        """The sizes as a graph file has them: None for a number of tokens that varies."""
        return (None, self.width)

    def __str__(self) -> str:
        return f"B [{'+'.join(map(str, self.of))}] {self.width}"


@dataclass(frozen=True, slots=True)
class MaskedItems(MaskedTokens):
    """(B, N, channels, ...): several images or volumes of a case, a number of its own for every case, padded to N.

    Like masked tokens, of which each is a map instead of a vector.
    """

    layout: ClassVar[str] = "items"

    @property
    def axes(self) -> tuple[str, ...]:  # type: ignore[override]  # of images or of volumes
        """The names of the axes."""
        return ("items", *self.item.axes)

    @property
    def item(self) -> TensorShape:
        """The shape of one item."""
        return shape_of(self.sizes[1:])

    @property
    def width(self) -> int:
        """The channels of an item."""
        return self.sizes[1]

    @property
    def positions(self) -> int:
        """How many items there are."""
        return self.sizes[0]

    @property
    def written(self) -> tuple[int | None, ...]:
        """The sizes as the data have them: None for a number of items that varies."""
        return (None, *self.sizes[1:])

    def __str__(self) -> str:
        return f"B [{'+'.join(map(str, self.of))}] {' '.join(map(str, self.sizes[1:]))}"


@dataclass(frozen=True, slots=True)
class Coded(MaskedTokens):
    """Masked tokens of which each is something else than a vector; the second size says how many kinds there are.

    Abstract: use `MaskedText`, `MaskedEvents` or `MaskedSeries`. Only an input of a network has such a shape, and only
    a port that names its layout takes it: `B text[n] _`.
    """

    @property
    def width(self) -> int:
        """The second size."""
        return self.sizes[1]

    @property
    def positions(self) -> int:
        """How many tokens there are."""
        return self.sizes[0]

    def __str__(self) -> str:
        return f"B {self.layout}[{'+'.join(map(str, self.of))}] {self.width}"


@dataclass(frozen=True, slots=True)
class MaskedText(Coded):
    """The ids of N tokens of a text, whole numbers from 0 to below `width`, the size of the vocabulary.

    Carried as (B, N) int64.
    """

    layout: ClassVar[str] = "text"
    whole: ClassVar[bool] = True
    axes: ClassVar[tuple[str, ...]] = ("tokens", "vocabulary")

    @property
    def carried(self) -> tuple[int, ...]:
        """One id for each token."""
        return self.sizes[:1]


@dataclass(frozen=True, slots=True)
class MaskedEvents(Coded):
    """N events of a case: a time, one of `width` variables, and a value each.

    Carried as (B, N, 3): time, variable and value; a module is given `Events`.
    """

    layout: ClassVar[str] = "events"
    axes: ClassVar[tuple[str, ...]] = ("events", "variables")

    @property
    def carried(self) -> tuple[int, ...]:
        """A time, a variable and a value for each event."""
        return (self.positions, 3)


@dataclass(frozen=True, slots=True)
class MaskedSeries(Coded):
    """N steps of a series of `width` channels, some of which may not have been observed, each with its time.

    Carried as (B, N, 2 width + 1): values, 1 or 0 for observed or not, and the time; a module is given `Series`.
    """

    layout: ClassVar[str] = "series"
    axes: ClassVar[tuple[str, ...]] = ("steps", "channels")

    @property
    def carried(self) -> tuple[int, ...]:
        """Two numbers for each channel of each step, and its time."""
        return (self.positions, 2 * self.width + 1)


@dataclass(frozen=True, slots=True)
class Image(TensorShape):
    """(B, channels, height, width)."""

    layout: ClassVar[str] = "image"
    axes: ClassVar[tuple[str, ...]] = ("channels", "height", "width")


@dataclass(frozen=True, slots=True)
class Volume(TensorShape):
    """(B, channels, depth, height, width)."""

    layout: ClassVar[str] = "volume"
    axes: ClassVar[tuple[str, ...]] = ("channels", "depth", "height", "width")


@dataclass(frozen=True, slots=True)
class Scalar(TensorShape):
    """One number for the whole batch; only auxiliary losses have this shape."""

    layout: ClassVar[str] = "scalar"


_BY_RANK: dict[int, type[TensorShape]] = {0: Scalar, 1: Vector, 2: Tokens, 3: Image, 4: Volume}
ITEMS = "items"
"""The layout of several images or volumes of a case, whose sizes a graph states as those of one of them."""
LAYOUTS: dict[str, type[TensorShape]] = {cls.layout: cls for cls in (Vector, Tokens, Image, Volume)}
CODED: dict[str, type[Coded]] = {cls.layout: cls for cls in (MaskedText, MaskedEvents, MaskedSeries)}
"""The layouts of inputs of which a token is no vector; a rule names them: `text[n]`."""
KINDS_KEY = {"text": "vocabulary", "events": "variables"}
"""The key of a graph file that says how many kinds of token a coded input has."""


def shape_of(sizes: tuple[int, ...]) -> TensorShape:
    """The shape with these sizes (no batch axis); the number of axes determines the layout.

    Raises: ValueError if no layout has that many axes or a size is not positive.
    """
    if len(sizes) not in _BY_RANK or any(size < 1 for size in sizes):
        raise ValueError(f"no layout has the sizes {sizes!r} after the batch axis")
    return _BY_RANK[len(sizes)](tuple(sizes))


def with_width(shape: TensorShape, width: int) -> TensorShape:
    """The same layout and positions with another number of features; masked tokens stay masked."""
    if isinstance(shape, Coded):
        return MaskedTokens((shape.positions, width), shape.of)
    if isinstance(shape, Tokens):
        return replace(shape, sizes=(shape.positions, width))
    return shape_of((width, *shape.spatial))


def joined_tokens(shapes: Sequence[TensorShape], width: int) -> Tokens:
    """The tokens of several inputs one after the other, as many as these have positions; masked if one of them is."""
    count = sum(shape.positions for shape in shapes)
    if not any(isinstance(shape, MaskedTokens) for shape in shapes):
        return Tokens((count, width))
    parts = [shape.of if isinstance(shape, MaskedTokens) else (shape.positions,) for shape in shapes]
    return MaskedTokens((count, width), tuple(part for of in parts for part in of))


def windowed_tokens(shape: TensorShape, size: int, width: int) -> Tokens:
    """One token for each window of `size` tokens of an input, the last of which may be shorter; masked if these are.

    Raises: ValueError if the tokens are not those of one input.
    """
    if not isinstance(shape, MaskedTokens):
        return Tokens((-(-shape.positions // size), width))
    if len(shape.of) != 1 or not isinstance(shape.of[0], str):
        raise ValueError(f"windows of {shape}: the tokens are not those of one input")
    windows = Windows(shape.of[0], size)
    return MaskedTokens((windows.count(shape.positions), width), (windows,))


def names_of(of: TokenAxis) -> tuple[str, ...]:
    """The inputs whose tokens an axis has."""
    return tuple(part.of if isinstance(part, Windows) else part for part in of if not isinstance(part, int))


def counted(of: TokenAxis, tokens: Mapping[str, int]) -> int:
    """How many tokens an axis has where the inputs have so many."""
    return sum(part if isinstance(part, int) else tokens[part] if isinstance(part, str) else part.count(tokens[part.of])
               for part in of)


def masked_shape(sizes: tuple[int, ...], of: TokenAxis, layout: str = "") -> MaskedTokens:
    """Masked tokens, or masked items where each has more than one axis; or those of a coded layout."""
    if layout in CODED:
        return CODED[layout](sizes, of)
    return MaskedTokens(sizes, of) if len(sizes) == 2 else MaskedItems(sizes, of)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The named outputs of one node, in order."""

    items: tuple[tuple[str, TensorShape], ...]

    def __iter__(self) -> Iterator[tuple[str, TensorShape]]:
        return iter(self.items)

    @property
    def names(self) -> tuple[str, ...]:
        """Output names in order."""
        return tuple(name for name, _ in self.items)

    def __str__(self) -> str:
        return ", ".join(f"{name}: {shape}" for name, shape in self.items)


Shape = TensorShape | Bundle


def stated(shape: TensorShape) -> dict[str, Any]:
    """How a graph file states the layout and the sizes of an input of this shape."""
    if isinstance(shape, MaskedItems):
        return {shape.layout: {shape.item.layout: list(shape.item.sizes)}}
    if isinstance(shape, Coded) and shape.layout in KINDS_KEY:
        return {shape.layout: shape.positions, KINDS_KEY[shape.layout]: shape.width}
    return {shape.layout: list(shape.written)}


def members(shape: Shape, name: str = "") -> tuple[tuple[str, TensorShape], ...]:
    """The tensors of a shape with their names; a single tensor is called `name`."""
    return shape.items if isinstance(shape, Bundle) else ((name, shape),)


def is_loss(name: str) -> bool:
    """Whether an output of this name is an auxiliary loss, collected by the trainer."""
    return name.startswith("loss_")


def features_of(shape: Shape) -> tuple[tuple[str, TensorShape], ...]:
    """The tensors of a shape that other nodes can read: all except the auxiliary losses."""
    return tuple(item for item in members(shape) if not is_loss(item[0]))

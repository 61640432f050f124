"""`recipe.yaml`: what must be known of weights besides the numbers, in a file beside them.

The form is that of docs/pretrained.md. It is read as a graph file is: bounded, without objects, every mistake at its
line and column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, model_validator

from fusionkit.errors import Diagnostic, GraphError, Span, in_file_order
from fusionkit.files import sha256_of
from fusionkit.pretrained.shards import INDEXED, WeightFiles
from fusionkit.syntax.options import check_options
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import Leaf, Mapping, Tree, find
from fusionkit.syntax.version_key import unread_version

RECIPE, VERSION = "recipe.yaml", 1
VERSION_KEY = "fusionkit-recipe"
WEIGHTS = "model.safetensors"
"""The file of weights where a recipe names no other."""

_Words = Annotated[str, StringConstraints(min_length=1, max_length=500)]
_Range = Annotated[list[float], Field(min_length=2, max_length=2)]
_Numbers = Annotated[list[float], Field(min_length=1, max_length=1000)]
_Axes = Annotated[list[PositiveInt], Field(min_length=2, max_length=3)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RecipeNetwork(_Part):
    """The component that the weights fit, and its options."""

    use: _Words = Field(description="The id of the component, such as encoder.resnet3d.")
    options: dict[str, Any] = Field(default_factory=dict, alias="with", description="Its options.")


class RecipeWeights(_Part):
    """Which file has the weights, and where it is from."""

    file: Annotated[str, StringConstraints(pattern=r"^[^/\\]+$")] = Field(
        WEIGHTS, description="The file of weights beside the recipe, or the index of its shards.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="SHA-256 of that file, of shards that of all of them one after the other in the order of "
                          "their names: 64 digits from 0 to f in lower case.")
    source: _Words | None = Field(None, description="Where it was published, such as OWNER/NAME of a model hub.")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = Field(
        None, description="Revision of the source: 40 digits from 0 to f in lower case.")


class RecipeInput(_Part):
    """What the network was trained on: the grid, and the way from stored values to those of the input."""

    layout: Literal["image", "volume"] | None = Field(None, description="image or volume.")
    channels: Annotated[list[_Words], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="The name of each channel, such as [ct] or [red, green, blue].")
    order: Literal["hw", "wh", "dhw", "dwh", "hdw", "hwd", "wdh", "whd"] | None = Field(
        None, description="The spatial axes after batch and channels: d depth, h height, w width.")
    orientation: Annotated[str, StringConstraints(pattern=r"^[RLAPSI]{2,3}$")] | None = Field(
        None, description="The direction in which each axis increases, letters in the order of 'order'.")
    spacing: _Numbers | None = Field(None, description="Distance of voxel centres in mm, in the order of 'order'.")
    size: _Axes | None = Field(None, description="Sizes of the axes in the order of 'order'.")
    divisible: PositiveInt | _Axes | None = Field(
        None, description="What every size, or each, must be a multiple of.")
    window: _Range | None = Field(None, description="Two stored values; those outside are clipped.")
    scale: _Range | None = Field(None, description="What the limits of the window, or of the stored range, become.")
    mean: _Numbers | None = Field(None, description="Subtracted after 'scale': one number, or one for each channel.")
    std: _Numbers | None = Field(None, description="The rest is divided by it: one number, or one for each channel.")
    per_case: Literal["zscore", "zscore_foreground", "none"] | None = Field(
        None, description="Statistics of the case that are subtracted and divided by: zscore, of all voxels; "
                          "zscore_foreground, of those above 0; none.")
    resize: Literal["nearest", "linear", "bilinear", "trilinear", "cubic", "bicubic"] | None = Field(
        None, description="How values between voxels are made.")
    crop: Literal["center", "none"] | None = Field(None, description="Whether the middle is cut out after resizing.")
    pad: float | None = Field(None, description="The value of voxels beyond the edge.")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        axes = len(self.order) if self.order else {"image": 2, "volume": 3}.get(self.layout or "")
        for name in ("orientation", "spacing", "size", "divisible"):
            value = getattr(self, name)
            if axes and value is not None and not isinstance(value, int) and len(value) != axes:
                raise ValueError(f"'{name}' has {len(value)} parts for {axes} axes")
        if self.orientation and len({_AXIS[letter] for letter in self.orientation}) < len(self.orientation):
            raise ValueError("'orientation' takes one letter of each pair R L, A P, S I")
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None and self.channels is not None and len(value) not in (1, len(self.channels)):
                raise ValueError(f"'{name}' has {len(value)} numbers for {len(self.channels)} channels")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("'std' must be above 0")
        for name in ("window", "scale"):
            value = getattr(self, name)
            if value is not None and value[0] >= value[1]:
                raise ValueError(f"'{name}' must begin with the smaller number")
        return self


_AXIS = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}


class RecipeFeatures(_Part):
    """Which features were published of the network; advice, nothing is computed from it."""

    pool: _Words | None = Field(None, description="How tokens or maps become one vector, such as cls or mean.")
    width: PositiveInt | None = Field(None, description="How many features there are.")
    norm: _Words | None = Field(None, description="Norm applied to them.")
    precision: _Words | None = Field(None, description="Precision in which they were published.")


class RecipeLicence(_Part):
    """Under which terms the weights may be used."""

    name: _Words = Field(description="Its name, such as CC-BY-NC-ND-4.0.")
    gated: bool = Field(False, description="Whether its publisher asks for registration.")
    commercial: bool | None = Field(None, description="Whether it allows commercial use, if that is known.")

    def __str__(self) -> str:
        terms = {True: "commercial use allowed", False: "no commercial use", None: ""}[self.commercial]
        return ", ".join(part for part in (self.name, "gated" * self.gated, terms) if part)


class RecipeContent(_Part):
    """All of a recipe, without its version."""

    network: RecipeNetwork | None = Field(None, description="{use: ID, with: {OPTION: VALUE}}.")
    weights: RecipeWeights = Field(
        default_factory=lambda: RecipeWeights.model_validate({}), description="{file, sha256, source, revision}.")
    input: RecipeInput = Field(
        default_factory=lambda: RecipeInput.model_validate({}), description="What the network was trained on.")
    features: RecipeFeatures | None = Field(None, description="{pool, width, norm, precision}.")
    licence: RecipeLicence | None = Field(None, description="{name, gated, commercial}.")
    citation: list[_Words] = Field(default_factory=list, description="DOIs or addresses of what to cite.")
    notes: list[_Words] = Field(default_factory=list, description="What else a user has to know, a sentence each.")


@dataclass(frozen=True)
class Recipe:
    """A recipe and the file it was read from."""

    file: Path
    content: RecipeContent
    tree: Tree = field(compare=False, repr=False)

    def span(self, *path: str) -> Span:
        """The location of a value, or of the closest enclosing one."""
        return find(self.tree, path)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file.

    Raises: GraphError with every mistake, each at its line and column: `recipe-version`, those of options, and those
    of `fusionkit.syntax.reader`.
    """
    tree = read_file(path)
    found: list[Diagnostic] = []
    if span := unread_version(tree, VERSION_KEY, VERSION):
        found.append(Diagnostic("recipe-version", "the recipe has no version, or one that cannot be read", span,
                                why=f"this fusionkit reads version {VERSION}",
                                fix=f"start it with '{VERSION_KEY}: {VERSION}', or update fusionkit"))
    body = tree
    if isinstance(tree, Mapping):
        body = Mapping({name: _with_digits(value) if name == "weights" else value for name, value in tree.items()
                        if name != VERSION_KEY}, tree.keys, tree.span)
    content, faults = check_options(RecipeContent, body, "the recipe", tree.span)
    if found or faults or content is None:
        raise GraphError(in_file_order([*found, *faults]))
    return Recipe(path, content, tree)


def _with_digits(tree: Tree) -> Tree:
    """The part `weights`; a checksum may be digits alone, and is text all the same."""
    if not isinstance(tree, Mapping):
        return tree
    digits = ("sha256", "revision")
    return Mapping({name: Leaf(value.text, value.span, value.text)
                    if name in digits and isinstance(value, Leaf) and isinstance(value.value, int | float)
                    else value for name, value in tree.items()}, tree.keys, tree.span)


def recipe_of(weights: Path) -> Recipe | None:
    """The recipe beside a file of weights or an index of them, if there is one that is about this file.

    Raises: as `read_recipe`.
    """
    beside = weights.parent / RECIPE
    if not beside.is_file():
        return None
    found = read_recipe(beside)
    named = found.content.weights.file
    return found if weights.name in (named, named + INDEXED) else None


_checked: dict[tuple[tuple[str, int, int], ...], str | None] = {}


def digest_of(weights: WeightFiles) -> str | None:
    """The SHA-256 of a file, or of shards one after the other in the order of their names.

    None if one cannot be read; computed once for files that have not changed.
    """
    try:
        known = tuple((str(path), stat.st_mtime_ns, stat.st_size) for path in weights.paths if (stat := path.stat()))
    except OSError:
        return None
    if known not in _checked:  # each fold of a run would read gigabytes again
        _checked[known] = sha256_of(*weights.paths)
    return _checked[known]


def check_sha256(weights: WeightFiles, recipe: Recipe | None, span: Span | None = None) -> None:
    """Compare a file of weights with the checksum in its recipe, before anything reads it.

    Raises: GraphError with `wrong-weights`.
    """
    wanted = recipe.content.weights.sha256 if recipe else None
    if recipe is None or wanted is None:
        return
    met = digest_of(weights)
    if met is not None and met != wanted:  # whoever reads a file that is missing says so
        what = f"are not the {len(weights.shards)} shards" if weights.shards else "is not the file"
        raise GraphError(Diagnostic(
            "wrong-weights", f"{str(weights.named)!r} {what} that its recipe describes",
            span or recipe.span("weights", "sha256"),
            why=f"its SHA-256 is {met}; {recipe.span('weights', 'sha256')} says {wanted}",
            fix="download the file again; if it is meant, correct 'sha256' in the recipe"))

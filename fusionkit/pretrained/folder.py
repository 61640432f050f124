"""A folder of pretrained weights as the value of an option: its place, its files, its recipe."""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field
from pydantic_core import core_schema

from fusionkit.components.config import ComponentError
from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.files import inside
from fusionkit.pretrained.json_files import object_in, read_json_of, unreadable
from fusionkit.pretrained.recipe import RECIPE, WEIGHTS, Recipe, check_sha256, read_recipe
from fusionkit.pretrained.shards import INDEX, INDEXED, SAFETENSORS, WeightFiles, check_there, files_at, read_files

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG = "config.json"
DESCRIPTIONS = (CONFIG, RECIPE, "preprocessor_config.json", "modules.json", "1_Pooling/config.json")
"""Files of a folder, besides the weights, that a network is made from; a run keeps copies of them."""
FORMAT = "weights-folder"
"""What schemas call an option of this type."""


@dataclass(frozen=True)
class WeightsFolder:
    """A folder with `config.json`, a file of weights, and if there is one a `recipe.yaml`.

    `name` is what the graph says. Planning finds `path`, and `within`, the folder that no file of it may lie outside
    of, links followed; None allows any place, for a folder typed on the command line. `follows`: a file of a run will
    set the weights, so that none are read here.
    """

    name: str
    path: Path | None = None
    within: Path | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
    follows: bool = field(default=False, compare=False, repr=False)

    @classmethod
    def at(cls, path: str | Path) -> Self:
        """A folder at hand: for tests, and in networks built in Python."""
        return cls(str(path), Path(path))

    def __str__(self) -> str:
        return self.name

    @property
    def found(self) -> Path:
        """The folder itself."""
        if self.path is None:
            raise ComponentError(f"the folder {self.name!r} was not looked up", fix="in Python, give "
                                 "WeightsFolder.at(path)")
        return self.path

    def file(self, name: str) -> Path:
        """The path of a file of the folder.

        Raises: GraphError with `unreadable-weights` if it is missing, `outside-folder` if it is a link that leads out.
        """
        path, parts = self.found / name, PurePath(name).parts
        if (self.within is not None and inside(self.within, str(path.absolute())) is None) or (
                ".." in parts or PurePath(name).is_absolute()):
            raise GraphError(Diagnostic("outside-folder", f"{str(path)!r} leads out of the graph's folder", self.span,
                                        why=f"a graph file may only use files inside {str(self.within)!r}",
                                        fix="copy the file into that folder"))
        if not path.is_file():
            raise GraphError(Diagnostic("unreadable-weights", f"{str(self.found)!r} has no file {name!r}", self.span,
                                        fix="download it from where the weights were published, into that folder"))
        return path

    def has(self, name: str) -> bool:
        """Whether the folder has a file of this name."""
        return (self.found / name).is_file()

    def json(self, name: str = CONFIG) -> dict[str, Any]:
        """The object in a JSON file of at most 1 MiB.

        Raises: GraphError with `unreadable-weights`, with line and column in that file, and what `file` raises.
        """
        return object_in(self.file(name), self.span)

    def listed(self, name: str) -> list[Any]:
        """The list in a JSON file; the rest as `json`."""
        path = self.file(name)
        read = read_json_of(path, self.span)
        if not isinstance(read, list):
            raise unreadable(path, "it is not a JSON list", Span(str(path), 1, 1))
        return read

    @property
    def recipe(self) -> Recipe | None:
        """The recipe, None if the folder has none. Raises: GraphError as `read_recipe`."""
        return read_recipe(self.file(RECIPE)) if self.has(RECIPE) else None

    def named_weights(self) -> WeightFiles:
        """The file of weights, which the recipe names, `model.safetensors` without one; or its shards where there is an
        index in its place. Whether they are there is not looked at.

        Raises: GraphError as `files_at`.
        """
        recipe = self.recipe
        name = recipe.content.weights.file if recipe else WEIGHTS
        if name.endswith(SAFETENSORS) and not self.has(name) and self.has(name + INDEXED):
            name += INDEXED
        return files_at(self.file(name) if self.has(name) else self.found / name, self.span)

    def weights(self) -> WeightFiles:
        """The file of weights, or its shards; their checksum is right.

        Raises: GraphError with `wrong-weights` if the recipe has another checksum, with `unreadable-weights` for shards
        that are missing, and what `file` and `named_weights` raise.
        """
        recipe, files = self.recipe, self.named_weights()
        name = files.named.name
        if not name.endswith((SAFETENSORS, INDEX)):
            raise GraphError(Diagnostic(
                "unreadable-weights", f"the weights {name!r} are not .safetensors",
                recipe.span("weights", "file") if recipe else self.span,
                why="files of other kinds can run code when they are loaded", fix="convert them once: load them with "
                "torch.load(..., weights_only=True), save them with safetensors.torch.save_file"))
        if not self.has(name):
            others = sorted(path.name for path in self.found.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
            if others:
                raise GraphError(Diagnostic(
                    "unreadable-weights", f"{str(self.found)!r} has {others[0]}, but no {name}", self.span,
                    why="only .safetensors is read: files of other kinds can run code when they are loaded",
                    fix=f"convert it once: load {others[0]} with torch.load(..., weights_only=True), save it with "
                    "safetensors.torch.save_file"))
        self.file(name)
        check_there(files, self.span)
        for path in files.paths:
            self.file(path.name)
        check_sha256(files, recipe, self.span)
        return files

    @property
    def reads(self) -> bool:
        """Whether weights are to be read now: not where the file of a run follows, nor on the meta device, except to
        compare what files say of their tensors."""
        import torch

        from fusionkit.pretrained.tensor_files import reads_numbers

        return not self.follows and (torch.get_default_device().type != "meta" or not reads_numbers())

    def fill(self, module: nn.Module, adapt: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
             ) -> None:
        """Set every tensor of a module from the folder's weights, exactly, where weights are to be read now.

        Names and shapes of the file are converted by `adapt`, or by the module's `adapt_weights` if it has one.
        Raises: GraphError with `unreadable-weights`, `wrong-weights` or `outside-folder`.
        """
        if not self.reads:
            return
        from fusionkit.pretrained.tensor_files import load_into

        files = self.weights()
        change = adapt or getattr(module, "adapt_weights", None)
        tensors = read_files(files, self.span)
        load_into(module, change(tensors) if change else tensors, f"the network of {self.name!r}", self.span,
                  "take the files of the folder from one release, and give the options and the input that its weights "
                  "were trained with")

    def without_fetching(self) -> Self:
        """The folder where a file of a run sets the weights."""
        return replace(self, follows=True)

    @property
    def stored(self) -> str:
        """The name under which a run keeps it: as written, or one of its own for a folder outside of the graph's."""
        plain = PurePath(os.path.normpath(self.name)).as_posix()
        if not PurePath(self.name).is_absolute() and not plain.startswith(".."):
            return plain
        return f"pretrained/{PurePath(plain).name}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"

    def descriptions(self) -> Iterator[tuple[str, Path]]:
        """The files that a run keeps copies of, by their names in the folder."""
        yield from ((name, self.file(name)) for name in DESCRIPTIONS if self.has(name))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.stored))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": FORMAT}


def _read(value: Any) -> WeightsFolder:
    if isinstance(value, WeightsFolder):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("it must be the path of a folder")
    return WeightsFolder(value)


def weights_folder(description: str = "") -> Any:
    """The field of an option for a folder of weights: `folder: WeightsFolder | None = weights_folder()`."""
    return Field(None, description=description or (
        "Folder with config.json and model.safetensors, or its shards and their index, below the folder of the graph "
        "file, and if there is one with the recipe.yaml of the weights."))

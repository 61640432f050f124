"""`fusionkit weights show FOLDER`: the recipe of pretrained weights, and whether their file is the one it describes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.pretrained.recipe import RecipeContent

SUMMARY = "Show the recipe of pretrained weights: network, input, licence, checksum."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("folder", metavar="FOLDER", help="a folder with weights and a recipe.yaml")


def run(args: Namespace, console: Console) -> int:
    """Read, compare the checksum, and show; 2 if the file is another one than the recipe describes."""
    from fusionkit.pretrained.folder import CONFIG, WeightsFolder
    from fusionkit.pretrained.recipe import RECIPE, check_sha256, digest_of

    folder = WeightsFolder.at(args.folder)
    if not Path(args.folder).is_dir():
        raise GraphError(Diagnostic("unreadable-weights", f"there is no folder {args.folder!r}",
                                    fix="give the folder that holds the weights"))
    recipe = folder.recipe
    if recipe is None:
        raise GraphError(Diagnostic("no-recipe", f"{args.folder!r} has no {RECIPE}",
                                    why="nothing tells how the input of the network was prepared, or the licence",
                                    fix="write one from the page of the weights; docs/pretrained.md has the form"))
    content = recipe.content
    files = folder.named_weights()
    digest = digest_of(files)
    rows = [*_rows(content)]
    if folder.has(CONFIG):
        described = folder.json()
        rows.insert(0, ("config.json", str(described.get("architecture") or described.get("model_type") or "")))
    if files.shards:
        rows.append(("shards", str(len(files.shards))))
    state = "the file is missing" if digest is None else "not in the recipe" if content.weights.sha256 is None else (
        "right" if digest == content.weights.sha256 else "WRONG")
    rows.append(("checksum", state))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        console.line(f"{name:<{width}}  {text}")
    console.data({"folder": str(folder.found), "sha256": digest, "checksum": state,
                  "recipe": content.model_dump(mode="json", by_alias=True, exclude_none=True)})
    check_sha256(files, recipe)
    return 0


def _rows(content: RecipeContent) -> list[tuple[str, str]]:
    """Every part that is written, one a line."""
    from fusionkit.syntax.writer import write_in_braces

    plain: dict[str, Any] = content.model_dump(mode="json", by_alias=True, exclude_none=True)
    rows = [(part, write_in_braces(value)) for part in ("network", "weights", "input", "features")
            if (value := plain.get(part))]
    if content.licence:
        rows.append(("licence", str(content.licence)))
    rows += [("citation", each) for each in content.citation]
    return [*rows, *(("note", each) for each in content.notes)]

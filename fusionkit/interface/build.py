"""`fusionkit.build`: the network of a graph, with `output` also as a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.components.component import Component
from fusionkit.drawing.svg import mermaid, svg
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import write_text
from fusionkit.interface.plan import planned
from fusionkit.network.build import build_plan
from fusionkit.network.folder import LISTING, save_network
from fusionkit.planning.open_graph import Source
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import discover
from fusionkit.runs.recipe_comparison import refuse_differences

if TYPE_CHECKING:
    from fusionkit.network.model import FusionModel


def build(
    source: Source | Plan,
    *,
    output: str | Path | None = None,
    data: str | Path | None = None,
    data_roots: Sequence[str | Path] = (),
    seed: int = 0,
    sets: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    sizes: Mapping[str, Sequence[int]] | None = None,
    components: Sequence[Component] = (),
    strict: bool = False,
) -> FusionModel:
    """The network of a graph as an `nn.Module`, its weights drawn from `seed`; with `output` also as a folder.

    The other options are those of `fusionkit.plan`; its result may be given instead of a graph. With `strict`, inputs
    other than the recipe of pretrained weights asks for are an error.
    Raises: GraphError or DataError with all diagnostics of the step that failed; GraphError with `folder-not-empty`
    where `output` holds other files.
    """
    if output is not None:
        refuse_other_files(Path(output))
    if isinstance(source, Plan):
        made: Plan = source
    else:
        registry = discover(components=components, files=[str(file) for file in plugins])
        made, warnings = planned(source, data, sets, registry, data_roots=data_roots, sizes=sizes,
                                 measured=output is not None)
        if strict:
            refuse_differences(warnings)
    model = build_plan(made, seed)
    if output is not None:
        save_network(model, Path(output))
        write_text(Path(output) / "graph.svg", svg(made))
        write_text(Path(output) / "graph.mmd", mermaid(made))
    return model


def refuse_other_files(folder: Path) -> None:
    """Refuse a folder with other files, which are never overwritten (the graph itself, for example).

    Raises: GraphError with `folder-not-empty`.
    """
    built = folder.is_dir() and (not any(folder.iterdir()) or (folder / LISTING).is_file())
    if folder.exists() and not built:
        raise GraphError(Diagnostic("folder-not-empty", f"{str(folder)!r} holds something other than a built network",
                                    fix="give a new folder after -o"))

"""Sizes that a graph takes from the data (`auto`), from a data description."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionkit.errors import Diagnostic
from fusionkit.planning.open_graph import Source
from fusionkit.registry.lookup import Registry


def data_sizes(
    source: Source, data: str | Path | None, sets: Sequence[str], registry: Registry, *,
    data_roots: Sequence[str | Path] = ()
) -> tuple[dict[str, tuple[int, ...]] | None, tuple[Diagnostic, ...]]:
    """Sizes of the inputs in the data, None without data, and the warnings about the data.

    Raises: DataError when the data is wrong, GraphError when the graph is.
    """
    if data is None:
        return None, ()
    from fusionkit.runs.setup import matched

    _, cohort = matched(source, data, sets, registry, data_roots=data_roots)
    return cohort.sizes, cohort.warnings

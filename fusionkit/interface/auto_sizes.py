"""The sizes that a graph leaves to the data, from a data description."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionkit.planning.open_graph import Source
from fusionkit.registry.lookup import Registry


def data_sizes(
    source: Source, data: str | Path | None, sets: Sequence[str], registry: Registry
) -> dict[str, tuple[int, ...]] | None:
    """Sizes of inputs as the data has them, None without data.

    Raises: DataError when the data is wrong, GraphError when the graph is.
    """
    if data is None:
        return None
    from fusionkit.runs.setup import matched

    _, cohort = matched(source, data, sets, registry)
    return cohort.sizes

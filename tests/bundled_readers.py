"""The readers that come with fusionkit, by name."""

from __future__ import annotations

from fusionkit.data.readers.lookup import reader_names, reader_of
from fusionkit.data.readers.reader import InputReader
from fusionkit.registry.lookup import Registry
from fusionkit.registry.providers import own_providers


def _found() -> dict[str, InputReader]:
    registry = Registry(own_providers())
    made = {name: reader_of(name, registry) for name in reader_names(registry)}
    return {name: reader for name, reader in made.items() if reader is not None}


READERS = _found()

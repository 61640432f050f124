"""What a fixture is compared with: a module, the correspondence of its parts to the release, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fusionkit.components.release import Release
from fusionkit.conversion.name_mapping import Part
from fusionkit.conversion.verification.case import Fixture
from fusionkit.errors import DataError, Diagnostic


@dataclass
class Subject:
    """A module in evaluation mode, its parts with their releases, and the submodule of each tap."""

    module: nn.Module
    parts: tuple[Part, ...]
    taps: Mapping[str, str]

    @property
    def replays(self) -> bool:
        """Whether the results come from a `replay`, which may use parameters that are not ours."""
        return False

    def run(self, inputs: Sequence[Tensor], fixture: Fixture) -> Mapping[str, Tensor]:
        """The results of the release by name."""
        raise NotImplementedError


def wrong(message: str, fix: str, why: str | None = None) -> DataError:
    """The error for a request that does not match the fixture."""
    return DataError(Diagnostic("wrong-fixture", message, why=why, fix=fix))


def options_read(release: Release, shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options that follow from the shapes of the release's tensors.

    Raises: DataError with `wrong-fixture` if they are not those of the component.
    """
    try:
        return release.read(shapes, meta) if release.read else {}
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise wrong("the options cannot be derived from the fixture's parameters", "is it a fixture of this component?",
                    f"{type(error).__name__}: {error}") from None

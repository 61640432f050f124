"""What answers requests, and the limits within which it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fusionkit.data.loading import Cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.inference.head_result import HeadResult
from fusionkit.registry.lookup import Registry


class Engine(Protocol):
    """A network that is ready to run.

    `data` is the description of its data as plain values, `heads` and `inputs` are what it requires of a case.
    `at_once` is how many cases it may be given together; 1 where the result of a case would depend on the others.
    """

    name: str
    uncertainty: str | None
    data: Mapping[str, Any]
    heads: Mapping[str, HeadTarget]
    inputs: Mapping[str, InputNeed]
    preprocessing: Preprocessing
    registry: Registry
    at_once: int

    def prepared(self, cohort: Cohort) -> Any:
        """The first case of a cohort in the form that `results` takes."""

    def results(self, cases: Sequence[Any]) -> dict[str, HeadResult]:
        """Each head's results for some cases; called by one thread at a time."""


@dataclass(frozen=True)
class RequestLimits:
    """Of requests: bytes of one, files and unpacked bytes of its archives, cases that wait or run, seconds of one.

    `gather` is how many seconds the first of several simultaneous cases waits for others.
    """

    request_bytes: int = 512 << 20
    unpacked_bytes: int = 2 << 30
    files: int = 4096
    waiting: int = 64
    seconds: float = 60.0
    gather: float = 0.004
    readers: int = 2
    form_fields: int = 64
    cells_bytes: int = 1 << 20

"""Batches are copied to a GPU one ahead: while it computes a step, the next batch arrives in a stream of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import torch

from fusionkit.data.batch import Batch

Begun = TypeVar("Begun")


class Copier(Protocol[Begun]):
    """Copies batches; what `begin` gives is for `end`."""

    def begin(self, batch: Batch) -> Begun:
        """Begin to copy a batch, without waiting."""

    def end(self, begun: Begun) -> Batch:
        """The batch on the device, for work that is asked of the device from now on."""


class StreamCopier:
    """Copies from page-locked memory in a stream beside the one that computes."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(self, batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        """Begin to copy."""
        with torch.cuda.stream(self.stream):
            return batch.to(self.device, non_blocking=True), self.stream.record_event()

    def end(self, begun: tuple[Batch, torch.cuda.Event]) -> Batch:
        """The stream that computes waits for this copy, not for the next, and the CPU for none."""
        computing, (batch, arrived) = torch.cuda.current_stream(self.device), begun
        computing.wait_event(arrived)
        for tensor in batch.tensors():
            if tensor.is_cuda:
                tensor.record_stream(computing)  # its memory is not given away before that stream is done with it
        return batch


def copied_ahead(batches: Iterable[Batch], copier: Copier[Begun]) -> Iterator[Batch]:
    """The batches on the device; when one is given, the copy of the next has begun."""
    waiting: list[Begun] = []
    for batch in batches:
        waiting.append(copier.begin(batch))
        if len(waiting) > 1:
            yield copier.end(waiting.pop(0))
    for begun in waiting:
        yield copier.end(begun)


def arriving(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches, of which each is copied while the one before is computed with; on a CPU as they are."""
    return copied_ahead(batches, StreamCopier(device)) if device.type == "cuda" else batches


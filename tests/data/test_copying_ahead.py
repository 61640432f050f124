"""Batches arrive on a GPU one ahead of the step that computes with them; a recorder stands for the GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case, Mixed
from fusionkit.data.copying_ahead import StreamCopier, arriving, copied_ahead
from fusionkit.training.batch_order import Batches, make_loader, read_batches


def batch(number: int) -> Batch:
    return Batch({"x": torch.full((2, 3), float(number))}, {"x": torch.ones(2, dtype=torch.bool)}, {}, {},
                 torch.arange(2))


class Recorder:
    """A copier that notes what it is asked for."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, batch: Batch) -> tuple[int, Batch]:
        number = int(batch.inputs["x"][0, 0])
        self.said.append(f"begin {number}")
        return number, batch

    def end(self, begun: tuple[int, Batch]) -> Batch:
        self.said.append(f"end {begun[0]}")
        return begun[1]


def test_the_next_batch_is_on_its_way_when_one_is_computed_with() -> None:
    recorder = Recorder()
    for given in copied_ahead(map(batch, range(3)), recorder):
        recorder.said.append(f"step {int(given.inputs['x'][0, 0])}")
    assert recorder.said == ["begin 0", "begin 1", "end 0", "step 0", "begin 2", "end 1", "step 1", "end 2", "step 2"]


@pytest.mark.parametrize("count", [0, 1])
def test_few_batches_all_arrive(count: int) -> None:
    assert len(list(copied_ahead(map(batch, range(count)), Recorder()))) == count


def test_an_error_of_a_reader_comes_after_the_batches_before_it() -> None:
    def failing() -> Iterator[Batch]:
        yield batch(0)
        yield batch(1)
        raise RuntimeError("unreadable")

    seen = []
    with pytest.raises(RuntimeError, match="unreadable"):
        for given in copied_ahead(failing(), Recorder()):
            seen.append(int(given.inputs["x"][0, 0]))
    assert seen == [0]  # the second was on its way; its step would have come after the error was known


def test_on_a_cpu_nothing_is_read_ahead() -> None:
    batches = map(batch, range(3))
    assert arriving(batches, torch.device("cpu")) is batches


def test_every_tensor_that_moves_with_a_batch_is_named() -> None:
    """The memory of one that was forgotten could be given away while it is in use."""
    whole = Batch(*({"x": torch.zeros(2)} for _ in range(4)), torch.arange(2), {"x": torch.zeros(2)},
                  {"x": torch.zeros(2)}, mixed=Mixed({"x": torch.zeros(2)}, torch.zeros(2)))
    moved: list[torch.Tensor] = []

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        moved.append(tensor)
        return tensor

    whole._map(noted, noted)
    assert {id(tensor) for tensor in whole.tensors()} == {id(tensor) for tensor in moved} and len(moved) == 9


class Decoded(Dataset[Case]):
    """Cases that say which process read them."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, place: int) -> Case:
        return {"index": place, "inputs": {"process": torch.tensor([float(os.getpid())])}, "present": {"process": True},
                "targets": {}, "target_present": {}}


def test_with_workers_the_main_process_reads_no_case() -> None:
    order = Batches(lambda _: np.arange(5), 5, 2)
    found = torch.cat([given.inputs["process"] for given in read_batches(make_loader(Decoded(), order, 1, pin=False))])
    assert len(found) == 5 and os.getpid() not in found.flatten().tolist()


def test_a_step_waits_for_the_copy_of_its_own_batch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the whole stream would wait for the next batch too, and nothing would overlap."""
    waited: list[int] = []
    events = iter(range(9))
    copying = SimpleNamespace(record_event=lambda: next(events))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: copying)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(wait_event=waited.append))
    copier = StreamCopier(torch.device("cpu"))
    seen = []
    for number, given in enumerate(copied_ahead(map(batch, range(3)), copier)):
        seen.append(int(given.inputs["x"][0, 0]))
        assert waited == list(range(number + 1))
    assert seen == [0, 1, 2] and next(events) == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_a_gpu_batches_are_those_of_the_cpu() -> None:
    there = list(arriving(map(batch, range(3)), torch.device("cuda")))
    assert [int(given.inputs["x"].sum()) for given in there] == [0, 6, 12]
    assert {tensor.device.type for given in there for tensor in given.tensors()} == {"cuda"}

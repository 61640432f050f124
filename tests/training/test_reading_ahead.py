"""How many processes read ahead, by what there is to read, processors and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionkit.data.augmentation import Augmentation
from fusionkit.data.dataset import CaseDataset, ColumnInput, FileInput
from fusionkit.data.processors import usable_processors
from fusionkit.training import reading_ahead as module
from fusionkit.training.reading_ahead import changes_on_device, reading_ahead
from fusionkit.training.settings import TrainingSettings


def cases(count: int, size: tuple[int, ...] = (1, 100, 200, 200), changed: bool = False) -> CaseDataset:
    read: Any = FileInput(spec=None, paths=(), size=size) if size else ColumnInput(vectors=None, present=None)
    made = CaseDataset([str(row) for row in range(count)], range(count), {"x": read}, {}, cache=None)
    made.augmentation = Augmentation({"x": ()}) if changed else None
    return made


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(module, "usable_processors", lambda: 6)
    monkeypatch.setattr(module, "free_memory", lambda: 100 * 10**9)
    monkeypatch.setattr(module, "_free_shared", lambda: 50 * 10**9)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return monkeypatch


def workers(dataset: CaseDataset, **changed: Any) -> int:
    return reading_ahead(TrainingSettings(device="cpu", batch_size=4, **changed), dataset).workers


def test_a_number_is_taken_as_it_is(machine: pytest.MonkeyPatch) -> None:
    assert workers(cases(3), workers=7) == 7 and workers(cases(300), workers=0) == 0


def test_auto_reads_ahead_where_there_is_something_to_read_or_change(machine: pytest.MonkeyPatch) -> None:
    assert workers(cases(1000, ())) == 0  # columns
    assert workers(cases(60)) == 0 and workers(cases(70)) == 5  # 16 MB a case, of which 1 GB is kept
    assert workers(cases(60, changed=True)) == 5 and workers(cases(7, changed=True)) == 2  # batches
    assert workers(cases(60, changed=True), augment_on="device") == 0
    assert reading_ahead(TrainingSettings(device="cpu"), cases(60, changed=True), training=False).workers == 0


def test_processors_are_shared_by_the_processes_of_a_machine(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("LOCAL_WORLD_SIZE", "2")
    assert workers(cases(100)) == 0  # three processors, which the network needs itself
    machine.setattr(module, "usable_processors", lambda: 64)
    assert workers(cases(100)) == 8


def test_little_memory_makes_them_fewer_with_a_warning(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(module, "_free_shared", lambda: 64 * 2**20 * 10)
    found = reading_ahead(TrainingSettings(device="cpu", batch_size=4), cases(100))
    assert found.workers == 2 and found.warning is not None and found.warning.code == "shared-memory"
    assert "2 processes read ahead, not 5: the shared memory" in found.warning.message
    machine.setattr(module, "_free_shared", lambda: 64 * 2**20)
    assert workers(cases(100)) == 0


@pytest.mark.parametrize(("cpu", "where", "on_device"), [
    (False, "auto", True), (False, "workers", False), (True, "auto", False), (True, "device", True)])
def test_cases_are_changed_on_a_gpu_or_where_they_are_read(
        cpu: bool, where: Any, on_device: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wants_cpu", lambda settings: cpu)
    assert changes_on_device(TrainingSettings(augment_on=where)) is on_device


@pytest.mark.parametrize(("text", "most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None),
                                            ("what", None)])
def test_a_container_limits_the_processors(text: str, most: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text)
    every = usable_processors(tmp_path / "missing")
    assert usable_processors(tmp_path / "cpu.max") == (most or every)

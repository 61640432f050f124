"""The choice of a series by rules: recorded choices, what is told where none or several are left, folders below."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundled_readers import READERS
from fusionkit_plugins.blocks.dicom.advice import of_files
from fusionkit_plugins.blocks.dicom.headers import Slice, find_files, read_slices
from fusionkit_plugins.blocks.dicom.stacks import Stack, choose, elements_of, stacks_of
from fusionkit_plugins.readers.dicom import DicomOptions, examine
from recorded import GOLDEN

from fusionkit.data.input_spec import InputSpec
from fusionkit.data.preprocessing import reading_of
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError
from fusionkit.errors import Span

STUDY = GOLDEN / "images/series/study"
STATED = json.loads((GOLDEN / "images/series/expected.json").read_text())
VARIANT = ("AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier", "DiffusionBValue", "TriggerTime",
           "ConvolutionKernel")


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="{id}", **given)


@pytest.fixture(scope="module")
def slices() -> list[Slice]:
    also = elements_of({"having": {"DiffusionBValue": 0}})
    return [item for file in find_files(STUDY) for item in read_slices(file, also=also)]


@pytest.fixture(scope="module")
def stacks(slices: list[Slice]) -> list[Stack]:
    return stacks_of(slices)


def summary(stack: Stack) -> list[Any]:
    variant = "/".join(stack.head.variants.get(key, "") for key in VARIANT)
    return [stack.value("number"), stack.head.description, len(stack.slices), stack.value("acquisition"), variant]


def test_the_stacks_are_those_that_were_recorded(stacks: list[Stack]) -> None:
    keys = ("number", "description", "modality", "orientation", "thickness", "kernel", "image_type", "contrast",
            "body_part", "acquisition", "slices")
    assert [{key: stack.value(key) for key in keys} for stack in stacks] == [
        {key: stack[key] for key in keys} for stack in STATED["stacks"]]


@pytest.mark.parametrize("name", STATED["rules"])
def test_rules_choose_what_was_recorded(stacks: list[Stack], name: str) -> None:
    rule, expected = STATED["rules"][name]["rule"], STATED["rules"][name]["result"]
    options(choose=rule)
    if isinstance(expected, dict):
        assert summary(choose(stacks, rule, volume=True)) == [
            expected[key] for key in ("number", "description", "slices", "acquisition", "variant")]
        return
    with pytest.raises(ReadError) as caught:
        choose(stacks, rule, volume=True)
    assert caught.value.code == {"none": "dicom-no-series", "several": "dicom-several-series"}[expected[0]]
    if expected[0] == "several":
        assert caught.value.message.startswith(f"contains {len(expected[1])} series")
        assert all(repr(found[1]) in str(caught.value.why) for found in expected[1])


def test_the_fix_singles_one_out_by_its_shortest_condition(stacks: list[Stack]) -> None:
    for rule, fix in (({"description": "*lung*", "modality": "CT", "orientation": "axial"}, "slices: 4"),
                      ({"description": "Liver*"}, "acquisition: 1")):
        with pytest.raises(ReadError) as caught:
            choose(stacks, rule, volume=True)
        assert f"'{fix}'" in str(caught.value.fix)
        key, value = fix.split(": ")
        choose(stacks, {**rule, key: int(value)}, volume=True)


def test_why_no_series_fits_is_told_for_each(stacks: list[Stack]) -> None:
    with pytest.raises(ReadError) as caught:
        choose(stacks, {"modality": "CT", "contrast": True, "kernel": "B70f"}, volume=True)
    said = str(caught.value.why)
    for part in ("(CT, 1 slice, coronal, 0.6 mm): a localizer", "contrast is false", "no image with a place",
                 "kernel is 'B30f'", "modality is 'PT'"):
        assert part in said


def test_what_was_chosen_is_read_from_folders_below_and_stated(tmp_path: Path) -> None:
    for place, file in enumerate(sorted(STUDY.iterdir())):
        folder = tmp_path / ("a", "b/c", ".hidden")[2 if file.name.startswith("zz") else place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / file.name)
    (tmp_path / ".hidden").mkdir(exist_ok=True)
    (tmp_path / ".hidden/note").write_text("no DICOM")
    rule = {"modality": "CT", "description": "*lung*", "orientation": "axial", "most": "slices"}
    values, facts = examine(tmp_path, options(choose=rule, below=True))
    np.testing.assert_array_equal(values, examine(STUDY, options(choose=rule))[0])
    assert values.shape[1] == 9 and facts.spacing[0] == 1.25
    assert facts.remark("series") == STATED["stacks"][1]["uid"] and facts.remark("chosen") == "axial 1.25 mm B70f"
    with pytest.raises(ReadError, match="no DICOM files") as caught:
        examine(tmp_path, options(choose=rule))
    assert "below: true" in str(caught.value.fix)


def test_one_picture_may_be_chosen_and_a_phase_of_a_series() -> None:
    picture = examine(STUDY, options(form="image", choose={"description": "Topogram*"}))[0]
    assert picture.shape[0] == 1
    early, late = (examine(STUDY, options(choose={"description": "Liver*", "most": most}))[0]
                   for most in ("earliest", "latest"))
    assert early.shape == late.shape and not np.array_equal(early, late)


def test_a_run_keeps_which_series_was_chosen_for_each_training_case() -> None:
    facts = {"a": Facts(remarks=(("series", "1.2"),)), "b": Facts()}
    spec = InputSpec("ct", READERS["dicom"], options(choose={"number": 3}), Span("data.yaml", 1, 1), Path())
    assert reading_of(spec, (1, 2, 3, 4), facts).series == {"a": "1.2"}


def test_the_elements_of_a_rule_are_read_at_every_depth() -> None:
    found = elements_of({"having": {"KVP": 1}, "not": {"having": {"Exposure": 1}, "not": {"having": {"EchoTime": 1}}}})
    assert {"KVP", "Exposure", "EchoTime", "BodyPartExamined"} <= set(found) and elements_of(None) == ()


def test_series_of_several_kinds_are_warned_of() -> None:
    files = [Facts(remarks=(("chosen", kind),)) for kind in ("axial 1.25 mm", "axial 5 mm", "axial 1.25 mm")]
    found = {advice.code: advice for advice in of_files(options(), files)}["chosen-differ"]
    assert found.cases == (1,) and "axial 1.25 mm in 2, axial 5 mm in 1" in found.message


@pytest.mark.parametrize(("rule", "said"), [
    ({"desc": "x"}, "no condition 'desc'"), ({"most": "thick"}, "one of slices"), ({"thickness": [5, 1]}, "lowest"),
    ({"orientation": "tra"}, "one of axial"), ({"number": "3"}, "whole number"), ({"contrast": 1}, "true or false"),
    ({"not": {"kernels": "x"}}, "no condition 'kernels'"), ({"having": {"BValue": 1}}, "no element 'BValue'"),
    ({"description": 3}, "it is a text")])
def test_rules_that_cannot_be_followed_are_refused(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options(choose=rule)


def test_a_rule_is_refused_beside_a_series() -> None:
    with pytest.raises(ValueError, match="'series' chooses already"):
        options(choose={"number": 3}, series=3)

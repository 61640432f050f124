"""The report of a run and of a comparison: what it says, what it leaves open, and how a browser shows it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from small_study import DATA, train, write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.pages import embedded
from fusionkit.reporting.case_flow import CaseFlow, FlowBox, flow_mermaid, flow_svg
from fusionkit.reporting.characteristics import characteristic_tables
from fusionkit.reporting.checklists import CHECKLISTS, OPEN
from fusionkit.reporting.readable_rows import readable
from fusionkit.reporting.run_files import read_run

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose name of a site would be HTML."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, data=DATA)
    table = folder / "cases.csv"
    table.write_text(table.read_text().replace("north", "<b>north</b>"))
    return train(folder)


def test_a_run_gives_a_page_a_sheet_and_a_card(run: Path, tmp_path: Path) -> None:
    for name in CHECKLISTS:
        assert main(["report", str(run), "-o", str(tmp_path), "--checklist", name]) == 0
        sheet = (tmp_path / f"checklist-{name}.md").read_text()
        assert OPEN in sheet and "(from cohort.json: parts.train)" in sheet
    page = (tmp_path / "report.html").read_text()
    assert "<b>north</b>" not in page and html.escape("<b>north</b>") in page
    assert "://" not in re.sub(r"base64,[^\"]*", "", page) and "<script" not in page
    auroc = json.loads((run / "metrics.json").read_text())["heads"]["result"]["metrics"]["auroc"]["value"]
    assert f"{auroc:.3f}" in page and f"AUROC {auroc:.3f}" in (tmp_path / "model_card.md").read_text().replace("\\", "")
    assert "44 cases of 22 patients" in (tmp_path / "case-flow.svg").read_text()
    assert "patients in more than one part: 0" in page
    copied = shutil.copytree(run, tmp_path / "single")
    found = json.loads((run / "metrics.json").read_text())
    assert "wilson" not in found["heads"]["result"], "patients have two cases"
    found["heads"]["result"]["wilson"] = {"yes": {"sensitivity": [0.25, 0.75]}}
    (copied / "metrics.json").write_text(json.dumps(found))
    assert main(["report", str(copied)]) == 0
    assert "0.250 to 0.750</td><td>Wilson</td>" in (copied / "report" / "report.html").read_text()


def test_rows_are_told_as_a_reader_wants_them(run: Path) -> None:
    names = ["head", "group", "patients", "metric", "value", "low", "high", "against", "difference", "difference_low",
             "difference_high", "simultaneous_low", "simultaneous_high", "p", "p_holm", "note"]
    found = readable(read_run(run), names, [
        ["result", "a", "", "auroc", "0.81", "0.7", "0.9", "the rest", "0.1", "-0.1", "0.3", "-0.2", "0.4", "0.01",
         "0.02", ""],
        ["result", "b", "", "auroc", "", "", "", "the rest", "", "", "", "", "", "", "", "no case is 'yes'"]])
    assert found == (
        ["head", "group", "metric", "value (95 % interval)", "difference from the rest", "interval for all groups",
         "p (Holm)", "note"],
        [["result", "a", "AUROC", "0.810 (0.700 to 0.900)", "0.100 (-0.100 to 0.300)", "-0.200 to 0.400", "0.020", ""],
         ["result", "b", "AUROC", "undefined", "", "", "", "no case is 'yes'"]])
    assert readable(read_run(run), ["id", "value"], [["c1", "0.123456"]]) == (["id", "value"], [["c1", "0.123456"]])


def test_a_picture_of_several_panels_has_a_row_of_its_own_and_folds_are_told_together(run: Path) -> None:
    for width, broad in ((420, False), (909.2, True)):
        made = embedded(f'<svg xmlns="x" width="{width}pt" height="264.4pt">'.encode(), "curves")
        assert ('class="broad"' in made) == broad
    assert 'class="broad"' not in embedded(b"not of a known size", "curves")
    about = {"head": None, "outcome": None, "cases": 9, "known": 9, "missing": 0, "counts": {"f": 4}}
    parts = ("all", *(f"fold {number}" for number in range(4)))
    groups = [about | {"part": part, "head": head, "outcome": outcome} for part in parts
              for head, outcome in ((None, None), ("result", "no"), ("result", "yes"))]
    found = characteristic_tables(replace(read_run(run), cohort={"characteristics": [
        {"column": "sex", "input": "table", "kind": "words", "groups": groups}]}))
    assert [(heading, names) for heading, names, _ in found] == [
        ("By part", ["", "all", "fold 0", "fold 1", "fold 2", "fold 3"]), ("By result", ["", "no", "yes"])]


def test_a_run_without_metrics_or_counts_says_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old"
    shutil.copytree(run, old)
    for name in ("metrics.json", "cohort.json", "history.csv"):
        (old / name).unlink()
    assert main(["report", str(old)]) == 0
    assert "not evaluated" in capsys.readouterr().err
    page = (old / "report" / "report.html").read_text()
    assert "The run is not evaluated" in page and "not recorded: the run was made by a release" in page


@pytest.mark.parametrize(("files", "said"), [
    ((), "it has neither run.json"), (("cases.json",), "has not finished"), (("comparison.json",), "has not finished")])
def test_what_is_no_finished_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                            files: tuple[str, ...], said: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    assert main(["report", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert said in message and "[nothing-to-report]" in message


def test_an_unknown_checklist_and_changed_files_are_refused(run: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "-o", str(tmp_path), "--checklist", "mine"]) == 2
    assert "give one of tripod-ai, claim, stard-ai" in capsys.readouterr().err
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    (changed / "metrics.json").write_text('{"heads": {"result": 3}}')
    assert main(["report", str(changed)]) == 2
    assert "[unreadable-run]" in capsys.readouterr().err


def test_a_comparison_gives_its_ranks(tmp_path: Path) -> None:
    row = {"name": "fusion.<sum>", "kind": "candidate", "value": 0.8, "low": 0.7, "high": 0.9, "difference": None}
    other = row | {"name": "best", "value": 0.9, "difference": {"value": 0.1, "low": 0.05, "high": 0.2, "p": 0.01}}
    (tmp_path / "comparison.json").write_text("{}")
    (tmp_path / "compare.json").write_text(json.dumps({"node": "both", "units": [], "heads": {"result": {
        "metric": "auroc", "cases": 22, "patients": None, "test": "paired bootstrap", "rows": [row, other]}}}))
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.index(">best") < page.index("fusion.&lt;sum&gt;") and "0.050 to 0.200" in page


def test_names_cannot_break_out_of_the_diagram() -> None:
    box = FlowBox(('"]; a --> b', "<script>"))
    flow = CaseFlow(box, box, (box,), (box,), (box,), (0,))
    assert "<script>" not in flow_svg(flow) and "<script>" not in flow_mermaid(flow)
    assert all(line.count('"') % 2 == 0 for line in flow_mermaid(flow).splitlines())


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_and_prints_the_page(run: Path, tmp_path: Path) -> None:
    assert main(["report", str(run), "-o", str(tmp_path)]) == 0
    text = (tmp_path / "report.html").read_text()
    # A copy without the policy, which forbids scripts, measures itself.
    probe = "<script>document.title = [390, 1280].map(function (width) { var root = document.documentElement; " \
            "root.style.width = width + 'px'; return document.body.scrollWidth <= width; }).join()" \
            " + ' ' + performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length;" \
            "</script>"
    measured = tmp_path / "measured.html"
    measured.write_text(re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", probe + "</body>"))
    command = [CHROMIUM or "", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run([*command, "--dump-dom", measured.as_uri()], capture_output=True, text=True, check=True,
                           timeout=120)
    assert "<title>true,true 0</title>" in shown.stdout
    pdf = tmp_path / "page.pdf"
    subprocess.run([*command, f"--print-to-pdf={pdf}", (tmp_path / "report.html").as_uri()], capture_output=True,
                   check=True, timeout=120)
    assert pdf.read_bytes().startswith(b"%PDF")

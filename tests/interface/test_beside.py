"""`evaluate --beside`: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_study import DATA, read_table, train, write_study, write_table
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import DataError
from fusionkit.evaluation import report_files


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside")
    described = DATA.replace("patient: patient", "patient: patient\ndate: {seen: {order: dmy}}\nsite: hospital")
    write_study(folder, data=described)
    rows = [{**row, "seen": "" if place % 11 == 0 else f"0{place % 9 + 1}/03/{2017 + place // 5 % 4}",
             "hospital": ("p", "q", "r")[place // 7 % 3]} for place, row in enumerate(read_table(folder / "cases.csv"))]
    write_table(folder / "cases.csv", rows)
    train(folder, "--epochs", "1")
    write_table(folder / "other.csv", [{**row, "id": f"o{row['id']}", "patient": f"o{row['patient']}",
                                        "a": float(row["a"]) + 2, "hospital": "p"} for row in rows])
    (folder / "other.yaml").write_text(DATA.replace("cases.csv", "other.csv"))
    (folder / "dated.yaml").write_text(described.replace("cases.csv", "other.csv"))
    (folder / "blank.yaml").write_text(DATA.replace("cases.csv", "other.csv").partition("targets:")[0])
    return folder


def test_one_table_of_both(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = str(study / "other.yaml")
    assert main(["evaluate", str(study / "run"), "-o", str(study / "out"), "--beside", other]) == 0
    printed = capsys.readouterr().out
    assert "own test cases" in printed and "sd of the log odds of 'yes'" in printed
    found = json.loads((study / "out" / "beside.json").read_text())["heads"]["result"]
    assert found["internal"]["cases"] == 22 and found["external"][0]["cases"] == 66
    assert found["external"][0]["absent_inputs"] == {"lab": 0, "scan": 11}
    auroc = found["external"][0]["differences"]["auroc"]["value"]
    both = [part["figures"]["auroc"]["value"] for part in (found["internal"], found["external"][0])]
    assert auroc == pytest.approx(both[1] - both[0], abs=1e-5)
    header = (study / "out" / "beside.csv").read_text().splitlines()[0]
    assert header == f"head,figure,own test cases,{other},difference,note"


def test_the_mix_of_cases_of_both(study: Path) -> None:
    mix = fusionkit.evaluate(study / "run", output=study / "mix", beside=[study / "dated.yaml"], quiet=True).case_mix
    assert mix is not None
    table = {row[0]: row[1:] for row in mix.rows()}
    tested = [row for row in read_table(study / "cases.csv") if row["split"] == "test"]
    other = read_table(study / "other.csv")
    unknown = [sum(not row["seen"] for row in rows) for rows in (tested, other)]
    assert table["dates"] == (*(f"2017-03 to 2020-03; {count} not known" for count in unknown), "")
    numbers = [np.array([float(row["a"]) for row in rows]) for rows in (tested, other)]
    spread = np.sqrt(np.mean([each.var(ddof=1) for each in numbers]))
    assert table["a (lab): mean (sd)"][2] == f"{(numbers[1].mean() - numbers[0].mean()) / spread:.2f}"
    share = sum(row["hospital"] == "p" for row in tested) / len(tested)
    assert table["sites"] == ("3", "1", "")
    assert table["site p, n (%)"][1:] == ("66 (100 %)", f"{(1 - share) / np.sqrt(share * (1 - share) / 2):.2f}")
    assert table["a (lab): missing, n (%)"] == ("0 (0 %)", "0 (0 %)", "")
    written = read_table(study / "mix" / "case-mix.csv")
    assert written[0]["what"] == "cases" and len(written) == len(mix.rows())
    assert "dates" in json.loads((study / "mix" / "beside.json").read_text())["case_mix"]["own test cases"]


def test_without_plots_nothing_is_drawn(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(report_files, "draw_figures", lambda *given: drawn.append(given) or [])
    assert main(["evaluate", str(study / "run"), "-o", str(study / "plain"), "--no-plots"]) == 0
    assert not drawn and (study / "plain" / "metrics.json").is_file()
    fusionkit.evaluate(study / "run", output=study / "plain", quiet=True)
    assert len(drawn) == 1


def test_a_report_tells_dates_sites_and_other_data(study: Path) -> None:
    fusionkit.evaluate(study / "run", beside=[study / "dated.yaml"], quiet=True)
    assert main(["report", str(study / "run")]) == 0
    sheet = (study / "run" / "report" / "checklist-tripod-ai.md").read_text().replace("\\", "")
    page = (study / "run" / "report" / "report.html").read_text()
    assert "all: 2017-03 to 2020-03 by column seen; 6 not known" in sheet and "all: 3 sites, cases: p 24, q 21" in sheet
    assert f"own test cases beside {study / 'dated.yaml'}: " in sheet and "Mix of cases" in page
    assert main(["report", str(study / "run"), "--checklist", "claim"]) == 0
    assert "the 20 cases with the largest negative log-likelihood" in (
        study / "run" / "report" / "checklist-claim.md").read_text().replace("\\", "")


def test_a_cell_that_is_no_date_is_a_warning(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_table(study / "cases.csv")
    write_table(study / "odd.csv", [{**row, "seen": "spring"} if not place else row for place, row in enumerate(rows)])
    for named, code, status in (("odd.csv", "not-a-date", 0), ("cases.csv", "unknown-column", 2)):
        described = (study / "dated.yaml").read_text().replace("other.csv", named)
        (study / "odd.yaml").write_text(described if status == 0 else described.replace("hospital", "clinic"))
        assert main(["check", str(study / "graph.yaml"), str(study / "odd.yaml")]) == status
        assert code in "".join(capsys.readouterr())


@pytest.mark.parametrize(("file", "code"), [("data.yaml", "beside-itself"), ("blank.yaml", "no-target")])
def test_files_that_cannot_stand_beside(study: Path, file: str, code: str) -> None:
    with pytest.raises(DataError) as error:
        fusionkit.evaluate(study / "run", beside=[study / file], quiet=True)
    assert error.value.diagnostics[0].code == code

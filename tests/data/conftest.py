"""A small cohort as files: 12 cases of 6 patients, a picture each, a table with blanks."""

import numpy as np
import pytest
from PIL import Image

CASES = 12


def write_cohort(folder, extra=""):
    random = np.random.default_rng(0)
    (folder / "x").mkdir(parents=True)
    lines = ["id,patient,age,weight,sex,split,kind,cough,fever,days"]
    for i in range(CASES):
        part = ("train", "train", "train", "validation", "test", "test")[i // 2]
        weight = "" if i == 5 else f"{60 + i}.5"
        sex = "x" if i == 7 else "mf"[i % 2]
        lines.append(f"c{i},p{i // 2},{50 + i},{weight},{sex},{part},{'ab'[i % 2]},{i % 2},{i // 2 % 2},{10 * i}")
        if i != 3:
            Image.fromarray(random.integers(0, 256, (11, 7), dtype=np.uint8)).save(folder / "x" / f"c{i}.png")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text(f"""fusionkit-data: 1
cases: cases.csv
id: id
patient: patient
split: {{column: split}}
inputs:
  picture: {{read: image, path: "x/{{id}}.png", missing_ok: true}}
  table: {{read: columns, numeric: [age, weight], categorical: [sex], fill: mean}}
targets:
  kind: {{column: kind}}
  symptoms: {{columns: [fever, cough]}}
  days: {{column: days}}
{extra}""")
    return folder / "data.yaml"


@pytest.fixture(scope="session")
def cohort_folder(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("shared") / "cohort").parent


@pytest.fixture
def cohort_file(tmp_path):
    return write_cohort(tmp_path / "cohort")

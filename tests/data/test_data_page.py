"""docs/data.md says what the code does."""

import re
from pathlib import Path

import pytest
from bundled_readers import READERS

from fusionkit.data.geometry.options import GeometryOptions

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "data.md"


def option_rows(fields):
    for option, field in fields.items():
        default = "needed" if field.is_required() else f"`{written(field.default)}`"
        yield f"| `{option}` | {default} | {field.description} |"


def written(value):
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return "[]" if value == () else str(value)


@pytest.mark.parametrize("name", READERS)
def test_the_page_lists_every_option_as_the_code_has_it(name):
    text = PAGE.read_text()
    section = text.split(f"### `{name}`")[1].split("\n### ")[0].split("\n## ")[0]
    own = {option: field for option, field in READERS[name].options.model_fields.items()
           if option not in GeometryOptions.model_fields}
    assert [line for line in section.split("\n") if line.startswith("| `")] == list(option_rows(own))


def test_the_page_lists_the_options_of_geometry_once():
    section = PAGE.read_text().split("\n## Geometry\n")[1].split("\n### ")[0].split("\n## ")[0]
    rows = [line for line in section.split("\n") if line.startswith("| `")]
    assert rows == list(option_rows(GeometryOptions.model_fields))


def test_the_page_lists_every_code_of_the_room():
    text = PAGE.read_text().split("## Codes")[1]
    listed = set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", text))
    expected = set()
    for path in (Path(__file__).parent / "bad").glob("*/expected.txt"):
        expected |= set(re.findall(r" \[([a-z0-9-]+)\]$", path.read_text(), re.MULTILINE))
    assert {code for code in expected if not code.startswith(("dicom-", "suv-"))} - listed - {"yaml-syntax"} == set()
    room = ROOT / "fusionkit" / "data"
    source = "".join(path.read_text() for path in [*room.glob("*.py"), *(room / "readers").glob("*.py"),
                                                      *(room / "geometry").glob("*.py"),
                                                      *(ROOT / "plugins" / "readers").glob("*.py"),
                                                      *(ROOT / "plugins" / "blocks").rglob("*.py"),
                                                      *(ROOT / "plugins" / "tasks").glob("*.py"),
                                                      ROOT / "fusionkit" / "syntax" / "fields.py"])
    assert [code for code in sorted(listed) if f'"{code}"' not in source] == []

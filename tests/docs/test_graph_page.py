"""docs/graph.md: every example plans, every wrong one is refused as the page shows, every key is explained."""

import re
from pathlib import Path

import pytest

from fusionkit.errors import GraphError
from fusionkit.graph.builder import NODE_KEYS, TOP_KEYS
from fusionkit.network.build import plan
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import LAYOUTS

PAGE = (Path(__file__).parents[2] / "docs" / "graph.md").read_text(encoding="utf-8")
GOOD = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
WRONG = re.findall(r"^```yaml wrong\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.M | re.S)
REGISTRY = discover()
# What the data would say of the sizes that an example leaves open.
SIZES = {"ct": (1, 12, 48, 48), "xray": (3, 48, 48)}


def test_the_page_has_examples() -> None:
    assert len(GOOD) >= 9 and len(WRONG) >= 2
    assert len(GOOD) + 2 * len(WRONG) == PAGE.count("```") // 2


@pytest.mark.parametrize("text", GOOD, ids=[f"example-{i}" for i in range(1, len(GOOD) + 1)])
def test_an_example_plans(text: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    made = plan(path, sizes=SIZES, registry=REGISTRY)
    assert made.heads and made.total


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_example_is_refused_as_shown(text: str, said: str, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("graph.yaml").write_text(text)
    with pytest.raises(GraphError) as caught:
        plan("graph.yaml", registry=REGISTRY)
    assert str(caught.value) == said.strip()


@pytest.mark.parametrize("key", sorted({*TOP_KEYS, *NODE_KEYS, *LAYOUTS}))
def test_every_key_is_explained(key: str) -> None:
    assert f"| `{key}` |" in PAGE


def test_links_lead_somewhere() -> None:
    for name in re.findall(r"\]\(([a-z-]+\.md)\)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / name).is_file()

"""Random graphs, opened in the browser and edited by random gestures, have the text that the edits of the library give.

    FUSIONKIT_STUDIO_GRAPHS=300 python -m pytest tests/studio/test_random_gestures.py::test_random_gestures

draws as many; two to three seconds each on a busy machine.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_tour import CHROMIUM, TOKEN, DeskLink, address, browser  # noqa: F401 - fixtures

from fusionkit.errors import UserError
from fusionkit.graph.text_edits import edited
from fusionkit.studio.worker import Desk
from fusionkit.syntax.reader import read
from fusionkit.syntax.text_changes import RefusedEditError, applied
from fusionkit.syntax.tree import to_plain
from fusionkit.testing.probing.examples import needed_options
from fusionkit.testing.random_graphs.graphs import graphs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COUNT = int(os.environ.get("FUSIONKIT_STUDIO_GRAPHS", "3"))
MOST_NODES, WAITS = 12, 1000
ADDED = ("encoder.dropout", "fusion.concat", "head.classify", "encoder.project")
BUTTONS = {"rename": "Rename", "insert": "Add a node that reads it", "connect": "Let it read the name too",
           "delete": "Delete"}


@pytest.mark.slow  # a browser, and components that are built; FUSIONKIT_STUDIO_GRAPHS=300 by hand
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # by a package that a component imports
def test_random_gestures(address: str, browser: Browser, monkeypatch: pytest.MonkeyPatch):  # noqa: F811 - fixtures
    check = Desk.check
    # Costs build every component, and are no part of the text.
    monkeypatch.setattr(Desk, "check", lambda self, given: check(self, {**given, "costs": False}))
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    checked: list[str] = []
    # Another graph may have the same names at other places, to which a click on its drawing would go.
    page.on("requestfinished", lambda request: checked.append(json.loads(request.post_data)["text"])
            if request.url.endswith("/api/check") else None)
    page.set_default_timeout(30_000)
    page.goto(f"{address}#token={TOKEN}")
    page.locator(".node").first.wait_for()
    page.get_by_label("Search components").wait_for()  # a wide page has them open
    registry = DeskLink().desk.registry

    @settings(max_examples=COUNT, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(graphs(most_nodes=MOST_NODES), st.data())
    def tried(graph: Any, data: st.DataObject) -> None:
        text = graph.text
        page.locator("textarea").fill(text)
        drawn(page, text, checked)
        for _ in range(3):
            edit = data.draw(gesture(text))
            expected = predicted(text, edit, registry)
            done(page, edit)
            assert page.locator("textarea").input_value() == (expected or text), edit
            assert (page.get_by_role("status").get_by_text("write it in the text").count() > 0) == (expected is None)
            if expected is None:
                continue
            drawn(page, expected, checked)
            if data.draw(st.booleans()):
                text = expected
                continue
            page.locator("textarea").press("Control+z")
            assert page.locator("textarea").input_value() == text, edit
            drawn(page, text, checked)

    tried()
    assert wrong == []
    page.close()


def drawn(page: Page, text: str, checked: list[str]) -> None:
    """Wait until a text is the last that was checked, and every input and node of it is drawn, and nothing else."""
    plain = to_plain(read(text))
    names = {*plain["inputs"], *plain["nodes"]}
    script = "[...document.querySelectorAll('.node')].map((each) => each.dataset.node)"
    for _ in range(WAITS):
        if checked[-1:] == [text] and set(page.evaluate(script)) == names:
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"drawn are {page.evaluate(script)} of {sorted(names)}")


def gesture(text: str) -> st.SearchStrategy[dict[str, Any]]:
    """A gesture on a node or input of the graph: a button below the drawing, or a component of the list."""
    plain = to_plain(read(text))
    nodes, inputs = list(plain["nodes"]), list(plain["inputs"])
    every, new = st.sampled_from([*nodes, *inputs]), st.sampled_from(["other_1", "thing", nodes[0]])
    return st.one_of(
        st.fixed_dictionaries({"op": st.just("rename"), "old": every, "new": new}),
        st.fixed_dictionaries({"op": st.just("insert"), "name": new, "use": st.sampled_from(ADDED), "reads": every}),
        st.fixed_dictionaries({"op": st.just("connect"), "source": every, "target": st.sampled_from(nodes)}),
        st.fixed_dictionaries({"op": st.just("delete"), "name": st.sampled_from(nodes)}),
        st.fixed_dictionaries({"op": st.just("palette"), "use": st.sampled_from(ADDED), "at": every}))


def predicted(text: str, edit: dict[str, Any], registry: Any) -> str | None:
    """The text after a gesture by the library's edits, None where it is refused."""
    if edit["op"] == "palette":
        plain = to_plain(read(text))
        name, number = edit["use"].partition(".")[2], 2
        while name in plain["nodes"] or name in plain["inputs"]:
            name, number = f"{edit['use'].partition('.')[2]}_{number}", number + 1
        edit = {"op": "insert", "name": name, "use": edit["use"], "reads": edit["at"]}
    if "use" in edit:
        edit = {**edit, "options": needed_options(registry.load(edit["use"]))}
    try:
        return applied(text, edited(text, edit))
    except (RefusedEditError, UserError):
        return None


def done(page: Page, edit: dict[str, Any]) -> None:
    """The gesture in the page, until its text is checked; or until it is refused."""
    chosen = edit.get("old") or edit.get("reads") or edit.get("target") or edit.get("at") or edit["name"]
    page.locator(f'.node[data-node="{chosen}"]').focus()
    page.keyboard.press("Enter")
    tools = page.get_by_role("toolbar")
    tools.get_by_text(f"chosen: {chosen}", exact=True).wait_for()
    before = page.locator("textarea").input_value()
    with page.expect_response(lambda response: response.url.endswith("/api/edit")) as caught:
        if edit["op"] == "palette":
            page.get_by_label("Search components").fill(edit["use"])
            page.get_by_label("Where a component is added").select_option(label=f"reading {chosen}")
            page.get_by_role("button", name=f"{edit['use']}:").press("Enter")
        else:
            tools.get_by_label("Name").fill(str(edit.get("new") or edit.get("source") or (
                edit["name"] if edit["op"] == "insert" else "")))
            tools.get_by_label("Component").fill(edit.get("use", ""))
            tools.get_by_role("button", name=BUTTONS[edit["op"]], exact=True).click()
    found = caught.value.json()
    for _ in range(WAITS):
        there = page.get_by_role("status").get_by_text("write it in the text").count() > 0
        if there if "refused" in found else page.locator("textarea").input_value() != before:
            break
        page.wait_for_timeout(20)

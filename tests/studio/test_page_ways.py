"""Ways through the page: a new address, a studio that is gone, keyboard focus, a narrow window, names on one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_tour import CHROMIUM, TEXT, TOKEN, address, browser  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
              pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def page(browser: Browser) -> Page:  # noqa: F811 - a fixture
    made = browser.new_page(viewport={"width": 1400, "height": 850})
    made.set_default_timeout(20_000)
    return made


def test_the_printed_address_is_taken_in_a_tab_that_is_there_already(address: str, page: Page):  # noqa: F811
    banner = page.locator("#lost")
    page.goto(f"{address}#token=another")
    page.get_by_text("open the address that the command printed").first.wait_for()
    assert banner.is_visible()
    page.evaluate("(address) => { location.href = address; }", f"{address}#token={TOKEN}")
    page.locator(".node").first.wait_for()
    assert banner.is_hidden() and TOKEN not in page.url
    page.context.set_offline(True)
    page.get_by_role("link", name="Runs").click()
    page.get_by_text("no answer from the studio").first.wait_for()
    assert banner.is_visible()
    page.context.set_offline(False)
    page.get_by_role("link", name="cv", exact=True).wait_for()  # the page that could not be shown comes by itself
    assert banner.is_hidden()
    page.close()


def test_each_name_of_a_line_is_chosen_by_itself(address: str, page: Page):  # noqa: F811
    page.goto(f"{address}#token={TOKEN}")
    page.locator(".node").first.wait_for()
    for name in ("scan", "lab"):
        page.locator(f".node[data-node={name}]").click()
        page.get_by_role("toolbar").get_by_text(f"chosen: {name}", exact=True).wait_for()
        before = page.evaluate("document.activeElement.value.slice(0, document.activeElement.selectionStart)")
        assert before == TEXT[:TEXT.index(f"{name}: {{vector")]
    page.close()


@pytest.mark.slow
def test_a_data_file_is_opened_and_tells_the_sizes(address: str, page: Page, tmp_path: Path):  # noqa: F811
    (tmp_path / "graph.yaml").write_text(TEXT.replace("lab: {vector: [3]}", "lab: {vector: [auto]}"))
    (tmp_path / "cases.csv").write_text("case,first,second\na,1,2\n")
    (tmp_path / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: case\ninputs:\n"
                                        "  lab: {read: columns, numeric: [first, second]}\ntargets: {}\n")
    page.goto(f"{address}#token={TOKEN}")
    page.locator("[data-wire=lab]").get_by_text("B 2", exact=True).wait_for()
    sizes = page.get_by_label("Where sizes come from")
    assert sizes.input_value() == "data.yaml"
    sizes.select_option("")
    page.locator("#findings").get_by_text("choose the data file").wait_for()
    page.get_by_label("File").select_option("data.yaml")
    page.locator("#findings").get_by_text("in the text and in the table").wait_for()
    page.get_by_role("button", name="Train").click()
    assert page.get_by_label("Data file").input_value() == "data.yaml"
    assert page.get_by_label("Graph").input_value() == "graph.yaml"
    page.close()


def test_who_follows_a_link_by_keyboard_is_on_the_new_page(address: str, page: Page):  # noqa: F811
    page.goto(f"{address}#token={TOKEN}")
    page.locator(".node").first.wait_for()
    page.get_by_role("link", name="Runs").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="cv", exact=True).wait_for()
    assert page.evaluate("document.activeElement.id") == "main" and page.title() == "runs - fusionkit studio"
    page.close()


def test_who_goes_on_while_a_page_loads_is_not_led_back(address: str, page: Page):  # noqa: F811
    page.add_init_script("""const asked = fetch;
        let first = true;
        fetch = async (path, options) => {
            const answer = await asked(path, options);
            if (path === "/api/files" && first) {
                first = false;
                location.hash = "#/runs";
                await new Promise((go) => setTimeout(go, 300));
            }
            return answer;
        };""")
    page.goto(f"{address}#token={TOKEN}")
    page.get_by_role("link", name="cv", exact=True).wait_for()
    page.wait_for_timeout(300)
    assert page.url.endswith("#/runs") and page.locator("textarea").count() == 0
    page.close()


def test_nothing_is_cut_off_on_a_narrow_window(address: str, page: Page):  # noqa: F811
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{address}#token={TOKEN}")
    for place, there in (("graph/graph.yaml", ".node"), ("diff/graph.yaml/other.yaml", ".changes td"),
                         ("run/cv", "svg.curve"), ("begin", ".card"), ("cases/cv", ".side table"),
                         ("compare/cmp", "svg.dots"), ("train/graph.yaml", "form"), ("work", "table")):
        page.evaluate(f"location.hash = '#/{place}'")
        page.locator(there).first.wait_for()
        wide, room = page.evaluate("(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])"
                                   "(document.querySelector('.place'))")
        assert wide <= room, place
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("address", [False], indirect=True)
def test_without_write_the_text_is_kept_and_offered(address: str, page: Page, tmp_path: Path):  # noqa: F811
    page.goto(f"{address}#token={TOKEN}")
    page.locator(".node").first.wait_for()
    page.locator("textarea").fill(TEXT + "# mine\n")
    page.get_by_role("button", name="Save").click()
    page.locator(".note code", has_text=f"fusionkit studio {tmp_path} --write").wait_for()
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download the text").click()
    assert Path(caught.value.path()).read_text() == TEXT + "# mine\n"
    assert caught.value.suggested_filename == "graph.yaml"
    page.reload()
    page.get_by_text("This is your text, which is not saved yet").wait_for()
    assert page.locator("textarea").input_value() == TEXT + "# mine\n"
    assert (tmp_path / "graph.yaml").read_text() == TEXT
    page.get_by_role("link", name="New").click()
    page.get_by_text("it cannot write files").wait_for()
    assert page.get_by_role("button", name="Run it").is_disabled()
    page.close()


@pytest.mark.slow
def test_names_run_nothing_and_what_is_no_yaml_keeps_the_drawing(address: str, page: Page, tmp_path: Path):  # noqa: F811
    evil = "<img src=x onerror=alert(1)>"
    run = tmp_path / evil.replace("/", "")
    run.mkdir()
    (run / "run.json").write_text("{}")
    (run / "graph.yaml").write_text(TEXT.replace("small", f"'{evil}'"))
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"{address}#token={TOKEN}")
    page.locator(".node").first.wait_for()
    area = page.locator("textarea")
    area.fill(TEXT.replace("small", f"'{evil}'").replace("[a, b]", f"[a, '{evil}']"))
    page.locator(".drawing").locator("text", has_text=evil).first.wait_for()
    area.fill(TEXT.replace("nodes:", "nodes: ["))
    page.locator(".drawing.stale .node").first.wait_for()
    page.locator("#findings").get_by_text("this is not YAML").wait_for()
    page.locator(".node[data-node=told]").click()
    page.get_by_role("button", name="Delete").click()
    page.locator(".note", has_text="this is not YAML").wait_for()
    assert area.input_value() == TEXT.replace("nodes:", "nodes: [")
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name=evil).click()
    page.get_by_role("heading", name=evil).wait_for()
    assert page.locator("img").count() == 0 and dialogs == []
    page.close()


@pytest.mark.slow  # it waits for the next look at the folder
def test_a_run_that_a_terminal_begins_comes_into_the_list(address: str, page: Page, tmp_path: Path):  # noqa: F811
    page.goto(f"{address}#token={TOKEN}")
    page.get_by_role("link", name="Runs").click()
    page.get_by_text("2 of 2 runs").wait_for()
    page.get_by_role("link", name="cv", exact=True).focus()
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "run.json").write_text("{}")
    (tmp_path / "later" / "graph.yaml").write_text(TEXT)
    page.get_by_role("link", name="later", exact=True).wait_for()
    assert page.evaluate("document.activeElement.textContent") == "cv"
    page.close()

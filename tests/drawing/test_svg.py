"""Pictures of plans: nothing overlaps, nothing is cut off, every text is escaped, and both formats say all."""

import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from fusionkit.drawing.labels import INK, OUTLINES, TINTS, amount, clean, shorten, text_width
from fusionkit.drawing.svg import MUTED, PAPER, mermaid, svg
from fusionkit.network.build import plan
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import discover

REGISTRY = discover()
NS = "{http://www.w3.org/2000/svg}"

ORGAN = {
    "fusionkit": 1, "name": "organ",
    "inputs": {"cube": {"volume": [1, 7, 7, 7]}, "place": {"vector": [3], "optional": True}},
    "nodes": {
        "tissue": {"use": "encoder.conv", "from": "cube", "with": {"widths": [2, 5], "output": "taps"}, "freeze": True},
        "levels": {"use": "encoder.pool", "from": "tissue", "each": True},
        "table": {"chain": [{"use": "encoder.mlp", "with": {"width": 13}}, "encoder.dropout"], "from": "place"},
        "fused": {"use": "fusion.gmu", "from": ["levels", "table"], "with": {"width": 11}},
        "organ": {"use": "head.classify", "from": "fused", "with": {"classes": ["liver", "kidney"]}},
        "side": {"use": "head.regress", "from": "table", "with": {"values": ["depth"]}, "loss": 0.5},
    },
    "uncertainty": {"use": "uncertainty.mc_dropout", "with": {"samples": 5}},
}


def planned(graph: dict, measured: bool = False) -> Plan:
    return plan(graph, registry=REGISTRY, measured=measured)


def chain(count: int) -> dict:
    nodes = {f"layer_{i}": {"use": "encoder.mlp", "from": f"layer_{i - 1}" if i else "table", "with": {"width": 3}}
             for i in range(count - 1)}
    nodes["last"] = {"use": "head.regress", "from": f"layer_{count - 2}", "with": {"values": ["y"]}}
    return {"fusionkit": 1, "inputs": {"table": {"vector": [7]}}, "nodes": nodes}


@st.composite
def graphs(draw: st.DrawFn) -> dict:
    """Graphs of several inputs whose nodes read one or more of what stands before them."""
    text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
    inputs = {f"in_{i}": {"vector": [draw(st.integers(1, 50))], "optional": draw(st.booleans())}
              for i in range(draw(st.integers(1, 5)))}
    names, unread, nodes = list(inputs), dict.fromkeys(inputs), {}
    for index in range(draw(st.integers(0, 14))):
        name = f"node_{index}" + "_of_long_name" * draw(st.integers(0, 4))
        picked = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
        several = len(picked) > 1
        nodes[name] = {"use": "fusion.gmu" if several else "encoder.mlp", "from": picked, "with": {"width": 17},
                       "freeze": draw(st.booleans())}
        for source in picked:
            unread.pop(source, None)
        names.append(name)
        unread[name] = None
    for index, source in enumerate(list(unread)):
        nodes[f"head_{index}"] = {"use": "head.classify", "from": source, "with": {
            "classes": draw(st.lists(text.filter(bool), min_size=2, max_size=6, unique=True))}}
    return {"fusionkit": 1, "name": draw(text), "inputs": inputs, "nodes": nodes}


@cache
def font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' if bold else ''}.ttf")
    return ImageFont.truetype(path, size * 10)


def shown(text: ElementTree.Element) -> str:
    """What is read of a text without its tooltip."""
    return (text.text or "") + "".join(child.tail or "" for child in text)


def extent(text: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text; letters that the font lacks are taken to be 0.6 wide."""
    size, x, y = float(text.get("font-size", 0)), float(text.get("x", 0)), float(text.get("y", 0))
    face = font(size, text.get("font-weight") is not None)
    width = sum(face.getlength(c) / 10 if c.isascii() else 0.6 * size for c in shown(text))
    return x, y - 0.8 * size, x + width, y + 0.25 * size


def numbers(path: str) -> list[tuple[float, float]]:
    values = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]
    return list(zip(values[::2], values[1::2], strict=True))


def outline(group: ElementTree.Element) -> tuple[float, float, float, float] | None:
    """The bounds of the box that a group draws, None for the group of a line."""
    shape = group[1]
    if shape.tag == f"{NS}rect":
        x, y = float(shape.get("x", 0)), float(shape.get("y", 0))
        return x, y, x + float(shape.get("width", 0)), y + float(shape.get("height", 0))
    if shape.get("fill") == "none":
        return None
    points = numbers(shape.get("d", ""))
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def holds(outer: tuple[float, ...], inner: tuple[float, ...], slack: float = 0.6) -> bool:
    return (outer[0] - slack <= inner[0] and outer[1] - slack <= inner[1]
            and inner[2] <= outer[2] + slack and inner[3] <= outer[3] + slack)


def overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def check_picture(text: str) -> None:
    root = ElementTree.fromstring(text)
    view = tuple(map(float, root.get("viewBox", "").split()))
    texts = [extent(element) for element in root.iter(f"{NS}text")]
    assert all(holds(view, words) for words in texts)
    groups = root.findall(f"{NS}g")
    boxes = [(box, group) for group in groups if (box := outline(group))]
    for index, (box, group) in enumerate(boxes):
        assert holds(view, box)
        assert all(holds(box, extent(words)) for words in group.iter(f"{NS}text"))
        assert not any(overlap(box, other) for other, _ in boxes[:index])
    labels = [extent(words) for group in groups if not outline(group) for words in group.iter(f"{NS}text")]
    for index, label in enumerate(labels):
        assert not any(overlap(label, box) for box, _ in boxes)
        assert not any(overlap(label, other) for other in labels[:index])


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_pictures_of_random_plans_are_sound(graph: dict) -> None:
    made = planned(graph)
    check_picture(svg(made))
    lines = mermaid(made).splitlines()
    assert len([line for line in lines if ":::" in line]) == len(made.inputs) + len(made.nodes)


@pytest.mark.parametrize("graph", [ORGAN, chain(2), chain(60)], ids=["organ", "chain-2", "chain-60"])
def test_pictures_of_known_plans_are_sound(graph: dict) -> None:
    check_picture(svg(planned(graph, measured=graph is ORGAN)))


def test_a_long_chain_is_broken_into_bands() -> None:
    root = ElementTree.fromstring(svg(planned(chain(60))))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert width < 2600 and 0.5 < width / height < 3


def test_the_picture_says_what_the_plan_knows() -> None:
    text = svg(planned(ORGAN, measured=True))
    words = [shown(element) for element in ElementTree.fromstring(text).iter(f"{NS}text")]
    for expected in ("organ", "f1: B 2 7 7 7", "f2: B 5 4 4 4", "B 13", "frozen", "each x2", "loss 0.5", "optional",
                     "encoder.dropout", "width 13", "classes liver/kidney", "may be missing",
                     "volume: B channels depth height width", "vector: B features",
                     "uncertainty: uncertainty.mc_dropout (samples 5)"):
        assert expected in words
    assert any(word.endswith("mult-adds") for word in words)
    assert "frozen)" in words[1] and "multiply-adds a case" in words[1]


def test_a_node_with_a_rate_and_an_epoch_of_its_own_says_so() -> None:
    head = {"use": "head.classify", "from": "table", "with": {"classes": ["a", "b"]}, "rate": 0.1, "unfreeze": 5}
    graph = {"fusionkit": 1, "inputs": {"table": {"vector": [7]}}, "nodes": {"subtype": head}}
    words = [shown(element) for element in ElementTree.fromstring(svg(planned(graph))).iter(f"{NS}text")]
    assert "rate 0.1" in words and "from epoch 5" in words


def test_what_was_cut_is_shown_whole_on_hover() -> None:
    classes = [f"a long name of class {number}" for number in range(9)]
    graph = {"fusionkit": 1, "inputs": {"table": {"vector": [7]}}, "nodes": {
        "subtype": {"use": "head.classify", "from": "table", "with": {"classes": classes}}}}
    cut = [element for element in ElementTree.fromstring(svg(planned(graph))).iter(f"{NS}text") if len(element)]
    (row,) = cut
    assert shown(row).endswith("\u2026") and row[0].tag == f"{NS}title"
    assert row[0].text == "classes " + "/".join(classes)


def test_costs_are_left_out_before_measuring() -> None:
    assert "mult-adds" not in svg(planned(ORGAN)) and "parameters" not in svg(planned(ORGAN))


def test_absence_is_dashed_up_to_where_it_ends() -> None:
    root = ElementTree.fromstring(svg(planned(ORGAN)))
    dashed = {(group[0].text or "").partition(":")[0] for group in root.findall(f"{NS}g")
              if any(part.get("stroke-dasharray") for part in group)}
    assert dashed == {"input place", "place", "table", "side"}


def test_every_text_is_escaped() -> None:
    nasty = ["<script>alert(1)</script>", '"]:::x', "&amp; \x01\x0b \ud7ff", "``` %%{init: {}}%%"]
    graph = {"fusionkit": 1, "name": "</svg><b>&\x02 %%{init}%%", "inputs": {"end": {"vector": [3]}},
             "nodes": {"graph": {"use": "head.classify", "from": "end", "with": {"classes": nasty}}}}
    made = planned(graph)
    assert not {element.tag for element in ElementTree.fromstring(svg(made)).iter()} & {f"{NS}script", f"{NS}b"}
    flow = mermaid(made)
    assert "<script" not in flow and "%%{" not in flow
    assert '\\"' not in flow and all(line.count('"') % 2 == 0 for line in flow.splitlines())


def test_mermaid_says_what_the_plan_knows() -> None:
    lines = [line.strip() for line in mermaid(planned(ORGAN)).splitlines()]
    assert lines[:4] == ["---", 'title: "organ"', "---", "flowchart LR"]
    assert '%% uncertainty: uncertainty.mc_dropout (samples 5)' in lines
    assert 'n0 -->|"B 1 7 7 7"| n2' in lines
    assert 'n1 -.->|"B 3"| n3' in lines
    assert 'n2 -->|"f1#58; B 2 7 7 7"| n4' in lines
    assert "style n1 stroke-dasharray:5 3" in lines
    assert {line.split()[1] for line in lines if line.startswith("classDef")} == {"input", "encoder", "fusion", "head"}


def test_pictures_are_the_same_every_time() -> None:
    assert svg(planned(ORGAN)) == svg(planned(ORGAN))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_have_contrast() -> None:
    for paper in (*TINTS.values(), PAPER):
        assert contrast(INK, paper) > 7 and contrast(MUTED, paper) > 4.5
    assert all(contrast(OUTLINES[kind], TINTS[kind]) > 3 for kind in OUTLINES)


@pytest.mark.parametrize(("number", "said"), [(0, "0"), (999, "999"), (1000, "1.00k"), (14312, "14.3k"),
                                              (99_949, "99.9k"), (99_951, "100k"), (999_499, "999k"),
                                              (999_500, "1.00M"), (3_993_928, "3.99M"), (10**18, "1000P")])
def test_amounts_have_three_digits(number: int, said: str) -> None:
    assert amount(number) == said


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.floats(20, 300))
def test_words_are_cut_to_fit_and_cleaned(text: str, widest: float) -> None:
    cut = shorten(clean(text), 11, widest)
    assert text_width(cut, 11) <= widest
    assert cut == clean(cut)


def test_estimated_widths_hold_for_the_widest_common_font() -> None:
    sample = "The quick brown fox, encoder.mlp_2 (B 16 9 9 9): {x/y} 14.3k WAVES"
    for bold in (False, True):
        real = font(13, bold).getlength(sample) / 10
        assert real * 0.99 <= text_width(sample, 13, bold) <= real * 1.1

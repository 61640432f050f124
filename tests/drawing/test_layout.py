"""Layouts of random graphs: boxes apart, lines from box to box and through none, all within the whole size."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionkit.drawing.crossings import Segment, Slot, count_crossings, reduce_crossings
from fusionkit.drawing.layout import Box, BoxPosition, GraphLayout, Line, Track, arrange


@st.composite
def drawings(draw: st.DrawFn) -> tuple[list[Box], list[Line]]:
    count = draw(st.integers(1, 24))
    boxes = [Box(f"b{i}", draw(st.floats(40, 260)), draw(st.floats(30, 90))) for i in range(count)]
    lines = []
    for source in range(count):
        for _ in range(draw(st.integers(0, 2))):
            later = [f"b{i}" for i in range(source + 1, count)]
            targets = draw(st.lists(st.sampled_from(later), max_size=4, unique=True)) if later else []
            lines.append(Line(f"b{source}", tuple(targets), draw(st.floats(20, 120)), 18))
    return boxes, lines


def points_on(track: Track) -> list[tuple[float, float]]:
    """Points along a track; a rounding lies within its corner, so the corner stands for it."""
    if len(track.points) != 4:
        return along(track.points)
    start, (x1, y1), (x2, y2), end = track.points
    middle, curve = (x1 + x2) / 2, []
    for step in range(1, 12):
        t = step / 12
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        curve.append((a * x1 + (b + c) * middle + d * x2, (a + b) * y1 + (c + d) * y2))
    return [*along((start, (x1, y1))), *curve, *along(((x2, y2), end))]


def along(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    return [(x0 + (x1 - x0) * step / 8, y0 + (y1 - y0) * step / 8)
            for (x0, y0), (x1, y1) in pairwise(points) for step in range(9)]


def inside(place: BoxPosition, point: tuple[float, float]) -> bool:
    x, y = point
    return place.x + 0.1 < x < place.x + place.width - 0.1 and place.y + 0.1 < y < place.y + place.height - 0.1


def on_left(place: BoxPosition, point: tuple[float, float]) -> bool:
    return point[0] == pytest.approx(place.x) and place.y < point[1] < place.y + place.height


def on_right(place: BoxPosition, point: tuple[float, float]) -> bool:
    return point[0] == pytest.approx(place.x + place.width) and place.y < point[1] < place.y + place.height


def check(boxes: list[Box], lines: list[Line]) -> GraphLayout:
    layout = arrange(boxes, lines)
    places = list(layout.places.values())
    assert set(layout.places) == {box.key for box in boxes}
    for index, place in enumerate(places):
        assert place.x >= 0 and place.x + place.width <= layout.width + 0.1
        assert place.y >= -0.1 and place.y + place.height <= layout.height + 0.1
        assert not any(place.x < other.x + other.width and other.x < place.x + place.width
                       and place.y < other.y + other.height and other.y < place.y + place.height
                       for other in places[:index])
    assert all(layout.places[box.key].width >= box.width and layout.places[box.key].height >= box.height
               for box in boxes)
    for line, tracks in zip(lines, layout.tracks, strict=True):
        assert on_right(layout.places[line.source], tracks[0].points[0])
        assert sorted(track.target for track in tracks if track.target) == sorted(line.targets)
        starts = {track.points[-1] for track in tracks if not track.target}
        for track in tracks:
            begins = on_right(layout.places[line.source], track.points[0])
            assert begins or any(track.points[0] == pytest.approx(start) for start in starts)
            assert not track.target or on_left(layout.places[track.target], track.points[-1])
            assert not any(inside(place, point) for place in places for point in points_on(track))
            assert all(-0.1 <= x <= layout.width + 0.1 for x, _ in track.points)
            assert all(-0.1 <= y <= layout.height + 0.1 for _, y in track.points)
    return layout


@settings(max_examples=40, deadline=None)
@given(drawings())
def test_random_layouts_are_sound(drawing: tuple[list[Box], list[Line]]) -> None:
    check(*drawing)


def test_a_line_is_straight_where_nothing_is_in_its_way() -> None:
    boxes = [Box(key, 101, 53) for key in "abcde"]
    lines = [Line(a, (b,), 47, 18) for a, b in zip("abcd", "bcde", strict=True)]
    layout = check(boxes, lines)
    assert len({track.points[0][1] for tracks in layout.tracks for track in tracks}) == 1


def test_bands_keep_lines_apart_and_in_order() -> None:
    boxes = [Box(f"{row}{column}", 181, 61) for column in range(40) for row in "xyz"]
    lines = [Line(f"{row}{column}", (f"{row}{column + 1}",), 61, 18) for column in range(39) for row in "xyz"]
    layout = check(boxes, lines)
    turns = [track.points for tracks in layout.tracks for track in tracks if len(track.points) == 6]
    assert len(turns) >= 6 and layout.width < 3000
    horizontal = {points[2][1] for points in turns}
    assert len(horizontal) == len(turns)


def test_one_line_with_readers_near_and_far_shares_a_trunk() -> None:
    boxes = [Box(key, 97, 41) for key in ("a", "b", "c", "d")]
    lines = [Line("a", ("b", "c", "d"), 31, 18), Line("b", ("c",), 31, 18), Line("c", ("d",), 31, 18)]
    layout = check(boxes, lines)
    assert len(layout.tracks[0]) == 5


def test_crossings_are_counted_and_taken_out() -> None:
    first = [Slot(0, 10, "a"), Slot(0, 10, "b"), Slot(0, 10, "c")]
    second = [Slot(1, 10, "d"), Slot(1, 10, "e"), Slot(1, 10, "f")]
    for source, target in ((0, 2), (1, 1), (2, 0)):
        segment = Segment(0, first[source], second[target])
        first[source].outs.append(segment)
        second[target].ins.append(segment)
    assert count_crossings([first, second]) == 3
    assert count_crossings(reduce_crossings([first, second])) == 0


def test_a_drawing_of_one_box() -> None:
    layout = check([Box("a", 83, 59)], [])
    assert (layout.width, layout.height) == (83, 59)


def test_many_boxes_are_laid_out() -> None:
    boxes = [Box(f"b{i}", 100, 50) for i in range(150)]
    lines = [Line(f"b{i}", tuple(f"b{j}" for j in (i + 1, i + 7, i + 31) if j < 150), 40, 18) for i in range(149)]
    assert len(arrange(boxes, lines).places) == 150

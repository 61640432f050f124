"""Which slices a montage shows, where the map stands in the picture, and that long names do not break it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fusionkit_plugins.blocks.overlay_plot import MOST_SLICES, Overlay, overlay_figure, slices_shown
from fusionkit_plugins.explanations.tsne import Scatter, scatter_figure

from fusionkit.evaluation.formatting import MetricResult
from fusionkit.evaluation.plots import style
from fusionkit.explanation.bar_plot import MOST_GROUPS, BarGroup, Panel, bars_figure
from fusionkit.explanation.output_folder import Folder


def volume(depth: int, hottest: int) -> np.ndarray[Any, Any]:
    heat = np.zeros((depth, 8, 10))
    heat[hottest, 1:3, 6:9] = 2.0
    return heat


def slices_of(figure: Any) -> list[tuple[str, Any]]:
    """The panels of a montage that have a picture: their title, and what is drawn in them."""
    return [(axes.get_title(loc="left"), axes.get_images()) for axes in figure.axes if axes.get_images()]


@pytest.mark.parametrize(("depth", "hottest"), [(5, 4), (12, 0), (13, 6), (40, 17), (40, 39), (300, 1)])
def test_a_montage_spreads_its_slices_and_has_the_hottest(depth: int, hottest: int) -> None:
    shown = slices_shown(volume(depth, hottest))
    assert hottest in shown
    assert shown == sorted(set(shown))
    assert len(shown) <= MOST_SLICES
    assert (np.diff(shown) <= 2 * -(-depth // MOST_SLICES)).all()
    assert shown[0] in (0, hottest) and shown[-1] in (depth - 1, hottest)


def test_the_map_lies_over_its_own_slice_and_nowhere_else() -> None:
    image = np.random.default_rng(0).normal(size=(1, 20, 8, 10))
    with style.applied():
        figure = overlay_figure(Overlay(image, volume(20, 13), ("case", "class")))
    panels = slices_of(figure)
    shown = slices_shown(volume(20, 13))
    titles = [title for title, _ in panels if title]
    assert titles == [f"slice {number + 1}" for number in shown]
    lit = []
    heated = [images[1].get_array() for _, images in panels if len(images) == 2]
    assert len(heated) == len(shown)
    for array in heated:
        if array.max() > 0:
            lit.append(np.argwhere(array == array.max()))
    (places,) = lit
    assert places.min(0).tolist() == [1, 6] and places.max(0).tolist() == [2, 8]


def test_slices_are_large_and_the_map_is_smooth() -> None:
    image, heat = np.ones((1, 20, 32, 32)), np.zeros((20, 32, 32))
    heat[13, 5:9, 5:9] = 0.0258
    with style.applied():
        figure = overlay_figure(Overlay(image, heat, ("case", "class")))
        figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.get_images()]
    assert min(axes.get_window_extent().width for axes in panels) / figure.dpi > 1.8
    assert len({round(axes.get_position().x0, 3) for axes in panels}) == 4
    assert {axes.get_images()[1].get_interpolation() for axes in panels if len(axes.get_images()) == 2} == {"bilinear"}
    assert any("largest value, 0.0258 in units of the head's score" in axes.get_xlabel() for axes in figure.axes)


def test_an_image_stands_beside_itself_with_the_map() -> None:
    image = np.random.default_rng(0).normal(size=(3, 8, 10))
    heat = np.zeros((8, 10))
    heat[5, 2] = 0.25
    with style.applied():
        figure = overlay_figure(Overlay(image, heat, ("case", "class")))
    plain, heated = figure.axes[:2]
    assert plain.get_images()[0].get_array().shape == (8, 10, 3)
    np.testing.assert_array_equal(np.argwhere(heated.get_images()[1].get_array() == 1), [[5, 2]])
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"half of the largest value", "largest value"}


def test_a_map_of_nothing_draws_the_image_alone() -> None:
    with style.applied():
        figure = overlay_figure(Overlay(np.ones((1, 8, 10)), np.zeros((8, 10)), ("case",)))
    assert [len(axes.get_images()) for axes in figure.axes] == [1, 1]
    assert not figure.legends


def test_names_of_files_stay_in_the_folder_and_apart(tmp_path: Any) -> None:
    folder = Folder(tmp_path / "explain")
    names = [folder.table(["id"], [["1"]], *parts) for parts in (
        ("a", "../../b"), ("a", "..//..b"), ("A", "_.._b"), ("..",), ("/",), ("x" * 500,))]
    assert len({name.lower() for name in names}) == len(names)
    assert all((tmp_path / "explain" / name).is_file() for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["explain"]


def test_pictures_of_many_things_and_long_names_are_drawn(tmp_path: Any) -> None:
    folder = Folder(tmp_path)
    rows = tuple(BarGroup(f"a very long name of a case $number$ {index} " * 3,
                          (MetricResult(-0.5, -0.7, 0.1), None, MetricResult(None)),
                          "no input: 0.5") for index in range(MOST_GROUPS + 3))
    folder.picture(lambda: bars_figure([Panel("mean", "added", rows)], ["one", "two" * 30, "three"], ["title " * 30]),
                   "bars")
    points = np.random.default_rng(0).normal(size=(40, 2))
    labels = (*(f"class {index % 10}" for index in range(39)), "not known")
    classes = tuple(f"class {index}" for index in range(10))
    made = Scatter(points, labels, np.arange(40) % 3 == 0, classes, 13.0)
    figure = scatter_figure(made, ["title"])
    assert len(figure.legends[0].get_texts()) == 12
    folder.picture(lambda: scatter_figure(made, ["title"]), "tsne")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.png", "tsne.png"]

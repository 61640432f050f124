"""Sizes of embeddings beside the categories of the data: filled in or refused, before anything is trained."""

import pytest
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.errors import GraphError
from fusionkit.runs.setup import set_up

PARTS = ("train", "train", "train", "validation", "test")
TABLE = "\n".join(["id,split,age,sex,smoking,label", *(
    f"c{row},{PARTS[row // 2 % 5]},{40 + row},{'fm'[row % 2]},{'abcde'[row % 5]},{'xy'[row // 3 % 2]}"
    for row in range(60))]) + "\n"
COLUMNS = "categorical: [sex, smoking]"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Writes a graph with the given `categories` and a data file, and gives their names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases.csv").write_text(TABLE)

    def write(categories, columns=COLUMNS, chain=False, width=3):
        (tmp_path / "data.yaml").write_text(
            "fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {column: split}\n"
            f"inputs:\n  ehr: {{read: columns, numeric: [age], {columns}}}\ntargets:\n  kind: {{column: label}}\n")
        embed = f"use: encoder.embed, with: {{{categories}, width: 8}}"
        node = f"{{from: ehr, chain: [{{{embed}}}, {{use: encoder.mlp}}]}}" if chain else f"{{from: ehr, {embed}}}"
        (tmp_path / "graph.yaml").write_text(
            f"fusionkit: 1\ninputs:\n  ehr: {{vector: [{width}]}}\nnodes:\n  clinic: {node}\n"
            "  kind: {use: head.classify, from: clinic, with: {classes: [x, y]}}\n"
            "training: {epochs: 1, hold_out: 0, batch_size: 16}\n")
        return "graph.yaml", "data.yaml"
    return write


@pytest.mark.parametrize("chain", [False, True])
def test_auto_takes_the_sizes_of_the_data_and_keeps_them_with_the_run(study, chain):
    files = study("categories: auto", chain=chain)
    fusionkit.train(*files, output="run", quiet=True)
    kept = fusionkit.load("run").plan.node("clinic").lanes[0].calls[0].config
    assert kept.categories == [2, 5]


@pytest.mark.parametrize(("categories", "says"), [
    ("categories: [3, 5]", "'sex' of input 'ehr' has 2 categories in the training cases; node 'clinic' has room for 3"),
    ("categories: [2, 3]", "'smoking' of input 'ehr' has 5 categories in the training cases; node 'clinic' has room "
                           "for 3"),
    ("categories: [2]", "node 'clinic' lists 1 sizes under 'categories'; input 'ehr' has 2 columns of categories"),
    ("categories: [2, 5, 2]", "lists 3 sizes"), ("activation: relu", "lists 0 sizes"),
])
@pytest.mark.parametrize("chain", [False, True])
def test_a_list_that_does_not_fit_is_refused_with_the_list_to_write(study, categories, says, chain):
    files = study(categories, chain=chain)
    for ask in (lambda: set_up(*files), lambda: fusionkit.check(files[0], data=files[1])):
        with pytest.raises(GraphError) as caught:
            ask()
        (found,) = caught.value.diagnostics
        assert found.code == "categories-differ" and says in found.message
        assert "'categories: [2, 5]' or 'categories: auto'" in found.fix and found.span.line == 5


def test_both_directions_are_told_at_once(study):
    with pytest.raises(GraphError) as caught:
        set_up(*study("categories: [5, 2]"))
    large, small = caught.value.diagnostics
    assert "'sex' of input 'ehr' has 2" in large.message and "has room for 5" in large.message
    assert "'smoking' of input 'ehr' has 5" in small.message and "has room for 2" in small.message


def test_what_is_advised_for_categories_to_come_works(study):
    with pytest.raises(GraphError) as caught:
        set_up(*study("categories: [3, 5]"))
    (found,) = caught.value.diagnostics
    assert "'categories: {sex: [...]}'" in found.fix
    more = COLUMNS + ", categories: {sex: [f, m, x]}"
    assert not set_up(*study("categories: [3, 5]", columns=more)).cohort.warnings
    files = study("categories: auto", columns=more)
    fusionkit.train(*files, output="run", quiet=True)
    assert fusionkit.load("run").plan.node("clinic").lanes[0].calls[0].config.categories == [3, 5]


def test_codes_and_onehot_are_told_apart(study):
    files = study("categories: [2, 5]", columns=f"{COLUMNS}, encode: onehot", width=8)
    with pytest.raises(GraphError, match="'onehot'"):
        set_up(*files)
    assert not set_up(*study("categories: auto", columns=f"{COLUMNS}, encode: onehot", width=8)).cohort.warnings


def test_auto_without_data_says_what_is_missing(study):
    with pytest.raises(GraphError, match=r"--data data\.yaml"):
        fusionkit.plan(study("categories: auto")[0])

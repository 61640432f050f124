import pytest

from fusionkit.data.spelling import likely_same, spellings


@pytest.mark.parametrize(("text", "names", "meant"), [
    ("Malignant", ["benign", "malignant"], "malignant"), ("malignat", ["benign", "malignant"], "malignant"),
    ("beningn", ["benign", "malignant"], "benign"), ("ex_smoker", ["ex smoker", "smoker"], "ex smoker"),
    ("no tumour", ["tumour"], None), ("non-malignant", ["malignant"], None), ("abnormal", ["normal"], None),
    ("male", ["female"], None), ("hypertension", ["hypotension"], None), ("T1", ["T2"], None),
    ("increased", ["decreased"], None), ("grade 2", ["grade 1", "grade 3"], None), ("stage 1", ["stage -1"], None),
    ("-1", ["1"], None), ("A+", ["A-"], None),
])
def test_a_word_is_taken_for_another_only_where_it_cannot_be_its_opposite(text, names, meant):
    assert likely_same(text, names) == meant


def test_groups_of_spellings():
    assert spellings({"former", "Former", "FORMER ", "never"}) == [("FORMER ", "Former", "former")]
    assert spellings({"m", "male", "f", "female"}) == [("female", "f"), ("male", "m")]
    assert spellings({"m", "male", "mixed"}) == [] and spellings({"1", "-1", "T1", "T2", "a", "b"}) == []

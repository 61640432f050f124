"""Yes and no in tables, and classes by name; a meaning is never guessed, and no fix inverts one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fusionkit.data.numeric_column import yaml_word
from fusionkit.data.spelling import likely_same

_PAIRS = (("0", "1"), ("false", "true"), ("no", "yes"), ("negative", "positive"), ("neg", "pos"), ("absent", "present"))
_LETTERS = (("n", "y"), ("f", "t"), ("-", "+"))
_NOT_KNOWN = frozenset({"unknown", "uncertain", "unclear", "missing", "na", "n/a", "nan", "none", "null", "nd",
                        "not assessed", "not available", "not known", "?", "u"})
_OPEN = "..."
_MOST = 8  # words that an advice lists

YES_NO: dict[str, int] = {word: value for pair in _PAIRS for value, word in enumerate(pair)}


def meaning(words: Collection[str]) -> dict[str, int]:
    """0 or 1 for each word of a column that means no or yes; single letters only if there is nothing else."""
    found = {word: YES_NO[_bare(word)] for word in words if _bare(word) in YES_NO}
    rest = {word for word in words if word not in found}
    for pair in _LETTERS:
        letters = {word: pair.index(word.casefold()) for word in rest if word.casefold() in pair}
        if letters and letters.keys() == rest:
            return found | letters
    return found


def _bare(word: str) -> str:
    """A word in lower case; spreadsheet programs write whole numbers as 1.0."""
    return whole(word).casefold()


def whole(word: str) -> str:
    """An integer without the decimals that spreadsheet programs and Parquet add."""
    return word[:-2] if word.endswith(".0") else word


def named(cell: str, values: Mapping[str, str]) -> str:
    """A cell as renamed by `values`, else unchanged."""
    return values.get(cell, values.get(whole(cell), cell))


def label_fix(words: Sequence[str], understood: Collection[str]) -> str:
    """The fix for unknown words in a column of labels."""
    bare = {whole(word) for word in words}
    if bare == {"-1"}:
        beside = {_bare(word) for word in understood}
        if "0" in beside:
            return ("where -1 means that the label is not known, add 'values: {-1: null}' to the target; "
                    "'values: {-1: 0}' and 'values: {-1: 1}' count it as no and as yes")
        return ("where -1 means no, add 'values: {-1: 0}' to the target; where it means that the label is not known, "
                "'values: {-1: null}'")
    if bare == {"2"} and {_bare(word) for word in understood} <= {"1"}:
        return ("add what is meant to the target: 'values: {1: 1, 2: 0}' where 1 means yes, 'values: {1: 0, 2: 1}' "
                "where 2 does")
    unknown = [word for word in words if word.casefold() in _NOT_KNOWN]
    if len(unknown) == len(words):
        return f"add 'values: {{{_listed([(word, 'null') for word in words])}}}' to the target: null is for not known"
    mapped = [(word, "null") if word in unknown else (word, _OPEN) for word in words]
    return (f"say what each means, 1 for yes, 0 for no, null for not known: add 'values: {{{_listed(mapped)}}}' to the "
            "target")


def class_of(cell: str, words: Collection[str], classes: Sequence[str]) -> str | None:
    """The class in a cell: by name, as an integer, or as yes or no if the classes are these.

    `words` are all words of the column.
    """
    if cell in classes:
        return cell
    if whole(cell) in classes:
        return whole(cell)
    sense = meaning(classes)
    if len(classes) == 2 and sorted(sense.values()) == [0, 1]:
        wanted = meaning(words).get(cell)
        return next((name for name, value in sense.items() if value == wanted), None)
    return None


def class_fix(words: Sequence[str], classes: Sequence[str], met: Collection[str]) -> str:
    """The fix for words of a column that are not a class; `met` are the classes in other cells."""
    meant = {word: likely_same(word, classes) for word in words}
    if all(meant.values()):
        pairs = [(word, str(name)) for word, name in meant.items()]
        asked = f"did you mean {pairs[0][1]!r}? " if len(words) == 1 else ""
        return f"{asked}for many such cells add 'values: {{{_listed(pairs)}}}' to the target"
    if len(words) == len(classes) == 2 and not met:
        ways = (zip(words, classes, strict=True), zip(words, reversed(classes), strict=True))
        return "add what is meant to the target: " + " or ".join(f"'values: {{{_listed(list(way))}}}'" for way in ways)
    unknown = [(word, "null" if word.casefold() in _NOT_KNOWN else "CLASS") for word in words]
    return (f"correct the cell, map it with 'values: {{{_listed(unknown)}}}', or add the class to the head's 'classes'")


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{yaml_word(word)}: {name if name == _OPEN else yaml_word(name)}"
                      for word, name in pairs[:_MOST])
    return shown + (", ..." if len(pairs) > _MOST else "")

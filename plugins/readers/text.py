"""Text of a column or of files as the ids of its tokens, by a tokenizer.json of the tokenizers library.

A tokenizer.json holds rules and a vocabulary and no program: nothing in it is run, and nothing is fetched.
"""
# Axes: n tokens of a case, its windows one after the other.

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from fusionkit_plugins.blocks.utf8_text import utf8_text
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from fusionkit.api import Probes, Reader
from fusionkit.reading import Advice, CohortCases, CohortOptions, ReadError, SequenceFault, Sequences

_MOST_BYTES = 1 << 24  # of one text: 16 MB are some two million words


class TextOptions(CohortOptions):
    """Options of the reader `text`."""

    named: ClassVar[tuple[str, ...]] = ("column",)
    placed: ClassVar[tuple[str, ...]] = ("tokenizer",)

    column: str | None = Field(None, min_length=1, description="The column of the table with the text; a cell that is "
                                                               "blank is a case without text.")
    path: str | None = Field(
        None, min_length=1,
        description="In place of 'column': the path of a UTF-8 file for each case, such as notes/{id}.txt, relative to "
                    "the data file; {column} is replaced by the cell of that column.")
    missing_ok: bool = Field(False, description="If true, the input is missing for cases whose file does not exist.")
    tokenizer: str | None = Field(
        None, min_length=1,
        description="The tokenizer.json that turns a text into ids, relative to the data file.")
    vocabulary: PositiveInt | None = Field(
        None, description="In place of 'tokenizer': the texts are ids already, whole numbers below this one that are "
                          "separated by spaces.")
    length: PositiveInt = Field(256, description="The most tokens of one window, special ones included.")
    keep: Literal["head", "tail", "head_tail"] = Field(
        "head", description="What remains of a longer text in one window: its beginning, its end, or half of each.")
    windows: PositiveInt = Field(1, description="The most windows of a text, one after the other from its beginning, "
                                                "each with its special tokens.")
    overlap: int = Field(0, ge=0, description="How many tokens of a window, without special ones, the next repeats.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.column is None) == (self.path is None):
            raise ValueError("a text is in a column or in files; write 'column: NAME' or 'path: FOLDER/{id}.txt'")
        if (self.tokenizer is None) == (self.vocabulary is None):
            raise ValueError("ids come from a tokenizer, or are in the texts; write 'tokenizer: tokenizer.json' or "
                             "'vocabulary: NUMBER'")
        if self.windows > 1 and self.keep != "head":
            raise ValueError("windows begin at the beginning of a text; remove 'keep', or write 'windows: 1'")
        if self.overlap and self.windows == 1:
            raise ValueError("one window has no next; write 'windows' of at least 2, or remove 'overlap'")
        return self


def gather(cases: CohortCases, options: TextOptions) -> Sequences:
    """The ids of every case, the number of ids that there are, and what is wrong with single texts.

    A text of nothing but white space is a case without text. Texts are never quoted in a message, only their place.

    Raises: ReadError with `missing-package`, `bad-tokenizer` or `bad-option`.
    """
    cutting = _Cutting(cases, options)
    arrays: list[NDArray[np.int64] | None] = []
    faults = []
    for row in range(len(cases.ids)):
        ids = None
        try:
            text = _text(cases, options, row)
            ids = cutting.ids(text, row) if text is not None and text.strip() else None
        except ReadError as problem:
            faults.append(SequenceFault(problem, row, options.column))
        arrays.append(None if ids is None or not len(ids) else np.array(ids, np.int64))
    return Sequences(tuple(arrays), cutting.kinds, cutting.record, tuple(faults), cutting.advice(),
                     counts=cutting.counts(sum(array is not None for array in arrays)))


def _text(cases: CohortCases, options: TextOptions, row: int) -> str | None:
    """Raises: ReadError for a file that is no text."""
    if options.column is not None:
        return cases.cells[options.column][row]
    path = cases.files[row]
    if path is None:
        return None
    return utf8_text(path, str(path), _MOST_BYTES)


class _Cutting:
    """Turns texts into ids of at most so many windows, and counts what was cut off."""

    def __init__(self, cases: CohortCases, options: TextOptions) -> None:
        self.options = options
        self.tokenizer: Any = None
        self.record: dict[str, str] = {}
        self.kinds = options.vocabulary or 0
        self.lost: dict[int, tuple[int, int]] = {}
        self.special = 0
        if "tokenizer" in cases.placed:
            contents = cases.placed["tokenizer"].read_bytes()
            self.tokenizer = _tokenizer(contents)
            self.record = {"tokenizer": hashlib.sha256(contents).hexdigest()}
            self.kinds = 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
            self.special = self.tokenizer.num_special_tokens_to_add(is_pair=False)
        room = options.length - self.special
        if room < 1 or options.overlap >= room:
            raise ReadError("bad-option", f"'length: {options.length}' leaves {max(room, 0)} tokens beside the special "
                            f"ones{f', and overlap is {options.overlap}' if options.overlap else ''}",
                            fix="write a larger 'length', or a smaller 'overlap'")
        self.room = room

    def ids(self, text: str, row: int) -> list[int]:
        """The ids of one text. Raises: ReadError for a text that should be ids and is not."""
        if self.tokenizer is None:
            before, plain, after = [], self._given(text), []
        else:
            whole = self.tokenizer.encode(text)
            first, last = _inner(whole.special_tokens_mask)
            before, plain, after = whole.ids[:first], whole.ids[first:last], whole.ids[last:]
        parts = _windows(len(plain), self.room, self.options)
        read = len({place for part in parts for place in part})
        if read < len(plain):
            self.lost[row] = len(plain) - read, len(plain)
        return [id for part in parts for id in (*before, *(plain[place] for place in part), *after)]

    def _given(self, text: str) -> list[int]:
        found = []
        for number, word in enumerate(text.split(), 1):
            if not (word.isascii() and word.isdigit() and int(word) < self.kinds):
                raise ReadError("bad-id", f"entry {number} of its text is no id",
                                f"ids are whole numbers from 0 to {self.kinds - 1:,}, separated by spaces",
                                "correct the text or 'vocabulary', or name a 'tokenizer'")
            found.append(int(word))
        return found

    def counts(self, texts: int) -> dict[str, int]:
        """How many of the texts are read in part only, and how many tokens are not read."""
        lost = sum(lost for lost, _ in self.lost.values())
        return {"texts": texts, "texts_cut": len(self.lost), "tokens_not_read": lost}

    def advice(self) -> tuple[Advice, ...]:
        """One warning about texts that are longer than what is read of them."""
        if not self.lost:
            return ()
        share = sum(lost for lost, _ in self.lost.values()) / sum(count for _, count in self.lost.values())
        window = f"{self.options.windows} windows" if self.options.windows > 1 else "one window"
        return (Advice("text-cut", f"{len(self.lost)} texts are longer than {window} of {self.options.length} tokens; "
                       f"{share:.0%} of their tokens are not read", tuple(self.lost),
                       "'keep' says what remains of a longer text",
                       "write a larger 'length' or 'windows' if the rest matters"),)


def _windows(count: int, room: int, options: TextOptions) -> list[Sequence[int]]:
    """Which tokens of a text each window has, by their places."""
    if count <= room:
        return [range(count)]
    if options.windows > 1:
        step = room - options.overlap
        starts = range(0, max(count - options.overlap, 1), step)
        return [range(start, min(start + room, count)) for start in starts[: options.windows]]
    if options.keep == "tail":
        return [range(count - room, count)]
    if options.keep == "head_tail":
        return [[*range(-(-room // 2)), *range(count - room // 2, count)]]
    return [range(room)]


def _inner(special: Sequence[int]) -> tuple[int, int]:
    """Where the tokens between the special ones at both ends begin and end."""
    first = next((place for place, is_special in enumerate(special) if not is_special), len(special))
    last = next((place for place in range(len(special), first, -1) if not special[place - 1]), first)
    if first == len(special):  # a text without a token of its own: half of the special ones are in front
        first = last = (len(special) + 1) // 2
    return first, last


def _tokenizer(contents: bytes) -> Any:
    """The tokenizer, without the truncation and padding that many files ask for."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ReadError("missing-package", "reading text needs the package tokenizers",
                        fix="install it: pip install 'fusionkit[text]'") from None
    try:
        found = Tokenizer.from_buffer(contents)
        found.no_truncation()
        found.no_padding()
    except Exception as problem:  # the library raises Exception itself
        raise ReadError("bad-tokenizer", "'tokenizer' is no tokenizer.json", str(problem).partition("\n")[0],
                        "give the tokenizer.json beside a model's weights; a vocab.txt alone does not say how a text "
                        "is split") from None
    return found


def sample(folder: Path) -> Path:
    """A study of three texts, one of them blank, with a tokenizer of whole words."""
    words = {word: number for number, word in enumerate(["[UNK]", "no", "nodule", "left", "right"])}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}}))
    (folder / "cases.csv").write_text("id,note\na,no nodule\nb,\nc,nodule left and right\n")
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\n"
                                      "inputs: {note: {read: text, column: note, tokenizer: tokenizer.json}}\n")
    return folder / "data.yaml"


component = Reader("text", TextOptions, gather, category="text", whole=True, gives="text", sample=sample,
                   probes=Probes(together=[{"column": "note", "tokenizer": "tokenizer.json"},
                                           {"column": "note", "vocabulary": 9},
                                           {"path": "{id}.txt", "tokenizer": "tokenizer.json"}]))

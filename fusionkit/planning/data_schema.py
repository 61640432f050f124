"""The JSON Schema (draft 2020-12) of data files, for completion, explanation and checking in editors.

What a schema cannot express (columns and files that exist, paths inside the folder) is left to `fusionkit check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusionkit.components.transform import Transform
from fusionkit.data.augmentation import MIXUP, SWAP, TOGETHER, MixupOptions
from fusionkit.data.description import KEYS, VERSION
from fusionkit.data.input_references import SAME_GRID
from fusionkit.data.readers.lookup import reader_names, reader_of
from fusionkit.data.split_spec import KEYS as SPLIT_KEYS
from fusionkit.data.split_spec import WAYS as SPLIT_WAYS
from fusionkit.data.target_spec import TARGET_KEYS
from fusionkit.errors import FusionkitError
from fusionkit.planning.json_schema import Schema, closed, document, options_schema
from fusionkit.registry.tasks import tasks_with_keys

if TYPE_CHECKING:
    from fusionkit.components.task import Task
    from fusionkit.registry.lookup import Registry

_TEXT: Schema = {"type": ["string", "number"]}
_COLUMN: Schema = {**_TEXT, "description": "A column of the table."}
_TEXTS: Schema = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}
_SHARE: Schema = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_LIMITS = ["value", "half", "blank"]


def data_schema(registry: Registry) -> Schema:
    """The schema of data files that use the readers of a registry.

    A reader that cannot be used is left out and listed under `$comment` with the reason.
    """
    defs: dict[str, Schema] = {}
    names, left_out = [], []
    for name in reader_names(registry):
        try:
            reader = reader_of(name, registry)
        except FusionkitError as error:
            left_out.append(f"{name} ({str(error).partition(chr(10))[0]})")
            continue
        if reader is not None:
            defs |= options_schema(f"read.{name}", reader.options, f"Read by {name!r}.")
            defs[f"read.{name}"]["properties"]["read"] = {"const": name}
            names.append(name)
    defs |= {"input": _input(names), "target": _target(tasks_with_keys(registry)), "split": _split()}
    defs["augmented"] = _augmented(registry, defs, left_out)
    top = closed(KEYS, _top(), ("fusionkit-data", "cases", "id", "inputs"))
    return document("fusionkit data file", "The cases of a study: their table, their split, and what is read for each.",
                    top, defs, left_out)


def _top() -> dict[str, Schema]:
    folder: Schema = {"anyOf": [_TEXT, _TEXTS]}
    return {
        "fusionkit-data": {"const": VERSION, "description": "Version of this file format."},
        "root": {**folder, "description": "Folders outside that of this file whose files may be read."},
        "cases": {**_TEXT, "description": "The table with one case a row: CSV, Parquet or a workbook."},
        "id": {**_TEXT, "description": "The column that names a case; unique."},
        "patient": {**_TEXT, "description": "The column whose rows of one value are never divided by a split."},
        "date": {"anyOf": [_TEXT, {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {
            "type": "object", "properties": {"order": {"enum": ["dmy", "mdy"]}}, "additionalProperties": False}}],
            "description": "The column with the date of each case, for reports."},
        "site": {**_TEXT, "description": "The column with the site of each case, for reports."},
        "sheet": {**_TEXT, "description": "Which sheet of a workbook; the first without it."},
        "blank": {**_TEXTS, "description": "Words that mean no value, in any cell; an empty cell always does."},
        "decimal": _marks("What precedes the decimals in cells, for all columns or by column."),
        "thousands": _marks("What separates groups of three digits, for all columns or by column."),
        "split": {"$ref": "#/$defs/split"},
        "inputs": {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/input"},
                   "description": "What is read for each case: the name of an input, and a reader with options."},
        SAME_GRID: {"anyOf": [_TEXTS, {"type": "array", "items": _TEXTS, "minItems": 1}],
                    "description": "Inputs whose volumes must lie on one grid, or several groups of such inputs."},
        "augment": {"type": "object", "additionalProperties": {"$ref": "#/$defs/augmented"},
                    "properties": {TOGETHER: {"type": "array", "minItems": 1, "description": "Inputs that move alike.",
                                              "items": {**_TEXTS, "minItems": 2}},
                                   MIXUP: {"anyOf": [options_schema("mixup", MixupOptions, "")["mixup"],
                                                     {"enum": [True, False, None, "off"]}],
                                           "description": "Training cases are joined in pairs."},
                                   SWAP: {"type": "object", "description": "Two values of a column that change places "
                                          "in a mirrored case.", "additionalProperties": {
                                              **_TEXTS, "minItems": 2, "maxItems": 2}}},
                    "description": "How training cases are changed at random, by input."},
        "targets": {"type": "object", "additionalProperties": {"$ref": "#/$defs/target"},
                    "description": "What heads learn: the name of a head, and its column or columns."},
    }


def _marks(text: str) -> Schema:
    return {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}],
            "description": text}


def _input(names: list[str]) -> Schema:
    read: Schema = {"enum": names, "description": "The reader."}
    return {"type": "object", "required": ["read"], "properties": {"read": read}, "allOf": [
        {"if": {"required": ["read"], "properties": {"read": {"const": name}}},
         "then": {"$ref": f"#/$defs/read.{name}"}} for name in names]}


def _augmented(registry: Registry, defs: dict[str, Schema], left_out: list[str]) -> Schema:
    """The transforms of one input: a preset by its name, or options by transform."""
    properties: dict[str, Schema] = {"chance": {"type": "number", "minimum": 0, "maximum": 1,
                                                "description": "The probability of every transform."}}
    presets = []
    for entry in registry.entries:
        if entry.kind != "transform":
            continue
        name = entry.id.partition(".")[2]
        try:
            declared = registry.load(entry.id, of=Transform)
        except FusionkitError as error:
            left_out.append(f"{entry.id} ({str(error).partition(chr(10))[0]})")
            continue
        defs |= options_schema(entry.id, declared.config, entry.summary)
        if declared.acts == "preset":
            presets.append(name)
            properties |= defs[entry.id].get("properties", {})
            continue
        short = defs[entry.id]["properties"].get(declared.short)
        ways = [{"$ref": f"#/$defs/{entry.id}"}, {"enum": [True, False, None, "off"]}, *([short] if short else [])]
        properties[name] = {"anyOf": ways, "description": entry.summary, "markdownDescription": entry.summary}
    named: Schema = {"enum": presets, "description": "A preset, whose transforms those beside it change."}
    whole: Schema = {"type": "object", "properties": {**properties, "preset": named}, "additionalProperties": False}
    return {"anyOf": [named, whole]}


def _target(tasks: Sequence[Task]) -> Schema:
    properties: dict[str, Schema] = {
        "column": {**_COLUMN, "description": "The column with the class or the value."},
        "columns": {**_TEXTS, "description": "One column for each label, or each value."},
        "values": {"type": "object", "description": "Cells renamed to classes: {0: benign, 1: malignant}."},
        "limits": {"enum": _LIMITS, "description": "What cells such as <0.6 are: the limit, half of it, or blank."},
    }
    ways: list[tuple[str, ...]] = [("column",), ("columns",)]
    for task in tasks:
        properties |= {key: {**_COLUMN, "description": f"The column with the {key}, of a target for {task.id}."}
                       for key in task.keys}
        properties |= {word: {**_TEXT, "description": f"The {word} for tables, of a target for {task.id}."}
                       for word in task.words}
        ways.append(task.keys)
    properties["unit"] = {**_TEXT, "description": "The unit of the numbers, a word for tables; nothing is converted."}
    keys = tuple(dict.fromkeys((*TARGET_KEYS, *properties)))
    return {**closed(keys, properties), "oneOf": [{"required": list(way)} for way in ways]}


def _split() -> Schema:
    stored: Schema = {"type": "object", "required": ["column"], "additionalProperties": False,
                      "properties": {"column": {"anyOf": [_COLUMN, _TEXTS]}}}
    parts = dict.fromkeys(("validation", "val", "test"), _SHARE)
    properties: dict[str, Schema] = {
        "column": {**_COLUMN, "description": "A column with train, validation (or val) and test."},
        "folds": {"anyOf": [{"type": "integer", "minimum": 2}, stored],
                  "description": "The number of folds, or the column that holds them."},
        "leave_out": {**_COLUMN, "description": "The column of which each value, such as a site, is tested once by a "
                                                "network that is trained on the others."},
        "allow_undefined": {"type": "boolean", "default": False,
                            "description": "Leave out values too whose cases are of one class."},
        "fraction": {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": parts,
                     "description": "Shares for validation and test; the remaining cases are for training."},
        "stratify": {**_TEXT, "description": "The target whose classes every part has evenly."},
        "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "Seed of the draw."},
        "group": {**_TEXT, "description": "The column whose rows of one value stay together; none for no groups."},
    }
    return {**closed(SPLIT_KEYS, properties), "description": "Which cases are for training.",
            "oneOf": [{"required": [way]} for way in SPLIT_WAYS]}

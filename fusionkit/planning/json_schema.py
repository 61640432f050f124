"""The JSON Schema (draft 2020-12) of graph files, for completion, explanation and checking in editors.

What a schema cannot express (names that exist, shapes that fit, the last step of a chain) is left to
`fusionkit check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.components.declaration import Declaration
from fusionkit.components.inner import ABSENT, KINDS
from fusionkit.components.kinds import KIND_TABLE, NODE_KINDS, kind_of
from fusionkit.errors import FusionkitError
from fusionkit.graph.builder import FORMAT, MAX_EPOCH, MAX_RATE, NODE_KEYS, STEP_KEYS, TOP_KEYS
from fusionkit.graph.inputs import INPUT_KEYS
from fusionkit.graph.reserved import RESERVED
from fusionkit.registry.lookup import library_names
from fusionkit.shapes.layouts import CODED, ITEMS, KINDS_KEY, LAYOUTS

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fusionkit.registry.lookup import Registry

Schema = dict[str, Any]

NAME = "[A-Za-z][A-Za-z0-9_]*"


def graph_schema(registry: Registry, training: type[BaseModel] | None = None) -> Schema:
    """The schema of graph files that use the components of a registry.

    `training` is the class of the settings under the key `training`; without it they are not checked.
    A component that cannot be used is left out and listed under `$comment` with the reason.
    """
    components, left_out = _components(registry)
    defs: dict[str, Schema] = {}
    for component in components:
        defs |= options_schema(component.id, component.config, component.summary)
    if training:
        defs |= options_schema("training", training, _TOP_NOTES["training"])
        for kind in KIND_TABLE.values():
            section, _, key = kind.setting.partition(".")
            if section == "training" and key:
                named = [component for component in components if kind_of(component.id) == kind.name]
                # By its key, since there is a kind that is called as the section.
                defs[key] = _step(named)
                defs["training"]["properties"][key] = _named(defs["training"]["properties"][key], key, named)
        _describe_stages(defs)
    defs |= _components_in_options(defs, components)
    nodes = [component for component in components if kind_of(component.id) in NODE_KINDS]
    methods = [component for component in components if kind_of(component.id) == "uncertainty"]
    defs |= {"size": _size(), "input": _input(), "reference": _reference(), "from": _from(),
             "node": _node(nodes), "step": _chain_step(nodes), "uncertainty": _step(methods)}
    top = closed(TOP_KEYS, _top(training is not None), ("fusionkit", "inputs", "nodes"))
    return document("fusionkit graph", "A multimodal network: inputs, nodes that read them or each other, and heads as "
                    "results.", top, defs, left_out)


def document(title: str, description: str, top: Schema, defs: Schema, left_out: Sequence[str]) -> Schema:
    """A whole schema; what is `left_out` of it, with the reasons, stands in `$comment`."""
    comment = {"$comment": "left out: " + "; ".join(left_out)} if left_out else {}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "description": description,
            **top, "$defs": defs, **comment}


class _Known:
    """One component in the form the schema needs."""

    def __init__(self, name: str, summary: str, config: type[BaseModel]) -> None:
        self.id = name
        self.summary = summary
        self.config = config

    @property
    def demanding(self) -> bool:
        """Whether an option is required."""
        return any(field.is_required() for field in self.config.model_fields.values())


def _components(registry: Registry) -> tuple[list[_Known], list[str]]:
    """Every component that can be used, and a note for each that cannot."""
    known, left_out = [], []
    of_libraries = [f"{kind}.{name}" for kind in KIND_TABLE for name in library_names(kind)]
    for id in [*(entry.id for entry in registry.entries), *of_libraries]:
        try:
            component = registry.load(id, of=Declaration)
            component.config.model_json_schema()
        except FusionkitError as error:
            left_out.append(f"{id} ({str(error).partition(chr(10))[0]})")
        except Exception as error:
            left_out.append(f"{id} (its options have no schema: {type(error).__name__})")
        else:
            known.append(_Known(id, component.summary, component.config))
    return known, left_out


def options_schema(name: str, model: type[BaseModel], summary: str) -> dict[str, Schema]:
    """The schema of an options class under its name, and those that it refers to under `name.Class`."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    inner: dict[str, Schema] = schema.pop("$defs", {})
    optional = not schema.get("required")
    parts = {name: schema, **{f"{name}.{part}": value for part, value in inner.items()}}
    for part in parts.values():
        part.pop("title", None)
        for option in part.get("properties", {}).values():
            _explain(option)
    schema["description"] = f"Options of `{name}`. {summary}" if "." in name else summary
    # In YAML a key with nothing after it is null, and a graph treats an empty `with:` as no options.
    schema["type"] = ["object", "null"] if optional and name != "training" else "object"
    return parts


def _components_in_options(defs: dict[str, Schema], components: Sequence[_Known]) -> dict[str, Schema]:
    """The definitions of components as options, one for each set of kinds; refers to them where options take some."""
    found: dict[str, Schema] = {}
    for part in defs.values():
        for option in part.get("properties", {}).values():
            kinds = option.pop(KINDS, None) if isinstance(option, dict) else None
            if kinds is None:
                continue
            option.pop(ABSENT, None)
            name = f"component.{'.'.join(kinds)}"
            taken = [component for component in components if kind_of(component.id) in kinds]
            found[name] = {**_chain_step(taken), "description": "A component, with options if needed."}
            if option.get("type") == "array":
                option["items"] = _ref(name)
            elif "anyOf" in option:
                option["anyOf"] = [_ref(name), {"type": "null"}]
            else:
                option |= _ref(name)
    return found


def _explain(option: Schema) -> None:
    """Give an option a description for editors with its default; drop the title, which repeats its name."""
    option.pop("title", None)
    text = str(option.get("description", ""))
    if option.get("default") is not None:
        text = f"{text}\n\nDefault: `{json.dumps(option['default'], ensure_ascii=False)}`"
    option["markdownDescription"] = text


def _describe_stages(defs: dict[str, Schema]) -> None:
    """Give the stages of training the settings of training, but no stages of their own."""
    training = defs["training"]
    if "stages" not in training["properties"]:
        return
    own = {name: option for name, option in training["properties"].items() if name not in ("stage", "stages")}
    defs["stage"] = {**training, "properties": own, "type": ["object", "null"],
                     "description": "The settings of a stage where they differ from those of the training."}
    stages = {key: value for key, value in training["properties"]["stages"].items() if key.endswith("escription")}
    training["properties"]["stages"] = {**stages, "type": ["object", "null"], "additionalProperties": _ref("stage")}


def _named(setting: Schema, step: str, components: Sequence[_Known]) -> Schema:
    """A setting that names a component: by a word of its own, by id or name, with options in braces, or as a step."""
    own = [setting["default"], *setting.get("enum", ())]
    names = [component.id.partition(".")[2] for component in components]
    notes = {key: value for key, value in setting.items() if key not in ("type", "enum")}
    return {**notes, "anyOf": [
        {"enum": list(dict.fromkeys([*own, *names, *(component.id for component in components)]))},
        {"type": "string", "pattern": r"^[a-z0-9_.]+\{.*\}$"}, _ref(step)]}


def closed(keys: Sequence[str], properties: dict[str, Schema], required: Sequence[str] = ()) -> Schema:
    """A mapping with exactly these keys, which must be those that the reader of graphs knows."""
    assert set(properties) == set(keys), "the schema and the reader know different keys; please report"
    return {"type": "object", "properties": {key: properties[key] for key in keys}, "additionalProperties": False,
            "required": list(required)}


_TOP_NOTES = {
    "fusionkit": "Version of this file format.",
    "name": "Name of the network.",
    "description": "The purpose of the network, in a sentence.",
    "inputs": "What a case consists of: a name and a layout for each input, without the batch axis.",
    "nodes": "What the network does: each node uses a component and reads inputs or other nodes.",
    "uncertainty": "How predictions are made and their uncertainty estimated: one method for the whole network.",
    "training": "How the network is trained. Flags of fusionkit train override these settings.",
    "reference": "Which node is which part of authors' code: for each release, a mapping from node to the prefix "
                 "of its names there.",
}


def _top(trained: bool) -> dict[str, Schema]:
    notes = {key: {"description": text} for key, text in _TOP_NOTES.items()}
    name = {"pattern": f"^{NAME}$"}
    # A node is a submodule of a PyTorch module under its own name.
    node_name = {**name, "not": {"enum": sorted(RESERVED)}}
    return {
        "fusionkit": {"const": FORMAT, **notes["fusionkit"]},
        "name": {"type": "string", **notes["name"]},
        "description": {"type": "string", **notes["description"]},
        "inputs": {"type": "object", "minProperties": 1, "propertyNames": name,
                   "additionalProperties": _ref("input"), **notes["inputs"]},
        "nodes": {"type": "object", "minProperties": 1, "propertyNames": node_name,
                  "additionalProperties": _ref("node"), **notes["nodes"]},
        "uncertainty": {**_ref("uncertainty"), **notes["uncertainty"]},
        "training": {**(_ref("training") if trained else {"type": "object"}), **notes["training"]},
        "reference": {"type": "object", **notes["reference"], "additionalProperties": {
            "type": "object", "additionalProperties": {"type": "string"}}},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _size() -> Schema:
    return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": (1 << 24) - 1}, {"const": "auto"}],
            "description": "A whole number of at least 1, or auto to take it from the data."}


def _input() -> Schema:
    layouts = {name: _sizes(name, shape.axes) for name, shape in LAYOUTS.items()}
    optional = {"type": "boolean", "default": False, "description": "Whether cases may lack this input."}
    most = {"type": "integer", "minimum": 1, "maximum": (1 << 24) - 1,
            "description": "With tokens: [null, WIDTH] or items, the most tokens or items that a case may have."}
    kinds = ("image", "volume", "vector")
    item: Schema = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
                    "properties": {name: layouts[name] for name in kinds},
                    "description": "Several images, volumes or vectors of a case: what one of them is."}
    varies = {"properties": {"tokens": {"type": "array", "prefixItems": [{"type": "null"}]}}}
    owner = {"type": "string", "description": "With tokens: [null, WIDTH], the input of whose items or tokens each of "
             "these is about one."}
    return {**closed(INPUT_KEYS, {**layouts, ITEMS: item, **_coded(), "optional": optional, "max": most, "of": owner}),
            "description": "One input: its layout with the sizes, and whether it may be missing.",
            "oneOf": [{"required": [name]} for name in (*LAYOUTS, ITEMS, *CODED)],
            "if": {"required": ["max", "tokens"]}, "then": varies}


def _coded() -> dict[str, Schema]:
    """The layouts of ids, and the keys that say how many ids there are."""
    number: Schema = {"type": "integer", "minimum": 1, "maximum": (1 << 24) - 1}
    found: dict[str, Schema] = {}
    for layout, key in KINDS_KEY.items():
        found[layout] = {"anyOf": [number, {"type": "null"}], "description": f"{_CODED_NOTES[layout]}: the most tokens "
                         "that a case may have, null for any number."}
        found[key] = {**_size(), "description": f"With {layout}: how many different ids there are; without it, and "
                      "with auto, from the data."}
    steps: Schema = {"type": "array", "prefixItems": [{"type": "null"}], "items": _ref("size"), "minItems": 2,
                     "maxItems": 2}
    found["series"] = {**steps, "description": "A sampled series: null, and the number of channels."}
    # The keys come after all layouts.
    return {name: found[name] for name in (*CODED, *KINDS_KEY.values())}


_CODED_NOTES = {"text": "The ids of the tokens of a text", "events": "Events with a time, a variable and a value"}


def _sizes(layout: str, axes: Sequence[str]) -> Schema:
    sizes: Schema = {"type": "array", "items": _ref("size"), "minItems": len(axes), "maxItems": len(axes)}
    more = ""
    if "tokens" in axes:
        # The number of tokens may vary between cases.
        sizes = {**sizes, "prefixItems": [{"anyOf": [_ref("size"), {"type": "null"}]}]}
        more = " With null for the tokens their number varies between cases."
    return {"anyOf": [sizes, {"const": "auto"}],
            "description": f"{layout.capitalize()}: [{', '.join(axes)}], without the batch axis.{more}"}


def _reference() -> Schema:
    return {"type": "string", "pattern": r"^[^.]+(\..+)?$",
            "description": "An input or a node, or node.member for one tensor of several."}


def _from() -> Schema:
    several = {"type": "array", "items": _ref("reference"), "minItems": 1}
    ports = {"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [_ref("reference"), several]}}
    return {"description": "What is read: a name, a list of names, or a mapping from port to name.",
            "anyOf": [_ref("reference"), several, ports]}


_NODE_NOTES: dict[str, Schema] = {
    "each": {"type": "boolean", "default": False,
             "description": "A separate module for each tensor that is read; the results are named outputs of the same "
                            "names."},
    "share": {"type": "boolean", "default": False,
              "description": "With each: one module for all tensors, with the same weights."},
    "freeze": {"type": "boolean", "default": False,
               "description": "Weights fixed, and the module kept in evaluation mode."},
    "unfreeze": {"type": "integer", "minimum": 1, "maximum": MAX_EPOCH, "default": 1,
                 "description": "The epoch, from 1, from which the node learns; before it, it is as with freeze."},
    "rate": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_RATE, "default": 1,
             "description": "Learning rate of this node as a factor of the run's."},
    "weights": {"type": "string",
                "description": "A file of weights to start from, or the index of its shards, PATH or PATH#PREFIX, "
                               "inside the folder of this file."},
    "loss": {"type": "number", "minimum": 0, "default": 1,
             "description": "Weight of this head in the loss of the whole network."},
}


def _node(components: Sequence[_Known]) -> Schema:
    chain = {"type": "array", "minItems": 1, "items": _ref("step"),
             "description": "Several components one after the other, each with one input and one output."}
    properties = {**_use(components), "chain": chain, "from": _ref("from"), **_NODE_NOTES}
    head = {"properties": {"use": {"pattern": r"^head\."}}}
    return {
        **closed(NODE_KEYS, properties, ["from"]),
        "description": "One node: a component with its options, or a chain of them, and what it reads.",
        "oneOf": [{"required": ["use"]}, {"required": ["chain"]}],
        "allOf": [
            {"if": {"required": ["chain"]}, "then": _without("with")},
            {"if": _is_true("share"), "then": _is_true("each")},
            *({"if": _is_true("freeze"), "then": _without(key)} for key in ("rate", "unfreeze")),
            {"if": {"required": ["use"], **head}, "then": {"not": _is_true("each")}, "else": {
                "if": {"required": ["use"]}, "then": _without("loss")}},
            *_with(components),
        ],
    }


def _step(components: Sequence[_Known]) -> Schema:
    return {**closed(STEP_KEYS, _use(components), ["use"]), "allOf": [{}, *_with(components)]}


def _chain_step(components: Sequence[_Known]) -> Schema:
    """A step, or the bare id of a component without required options."""
    bare = [component for component in components if not component.demanding]
    return {"anyOf": [_ids(bare), _step(components)],
            "description": "A step of the chain: a component, with options if needed."}


def _use(components: Sequence[_Known]) -> dict[str, Schema]:
    return {"use": _ids(components), "with": {"type": ["object", "null"], "description": "Options of the component."}}


def _ids(components: Sequence[_Known]) -> Schema:
    """The ids to choose from, with a line about each; the extra keys are for editors and ignored by validators."""
    if not components:
        return {"type": "string", "description": "A component, kind.name."}
    summaries = [component.summary for component in components]
    return {"enum": [component.id for component in components], "description": "A component, kind.name.",
            "enumDescriptions": summaries, "markdownEnumDescriptions": summaries}


def _with(components: Iterable[_Known]) -> list[Schema]:
    """For each component: if it is used, `with` has its options."""
    return [{
        "if": {"required": ["use"], "properties": {"use": {"const": component.id}}},
        "then": {
            "properties": {"use": {"markdownDescription": f"`{component.id}`: {component.summary}"},
                           "with": _ref(component.id)},
            **({"required": ["with"]} if component.demanding else {}),
        },
    } for component in components]


def _without(key: str) -> Schema:
    return {"not": {"required": [key]}}


def _is_true(key: str) -> Schema:
    return {"required": [key], "properties": {key: {"const": True}}}

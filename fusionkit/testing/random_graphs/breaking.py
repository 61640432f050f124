"""Faults of structure: each function breaks a graph in one place and returns the expected code and place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fusionkit.shapes.layouts import LAYOUTS
from fusionkit.testing.random_graphs.places import (
    Data,
    Path,
    Spot,
    circular,
    heads,
    ids,
    ids_of,
    put,
    readers,
    references,
    references_of,
    value_at,
    without,
)
from fusionkit.testing.random_graphs.rewriting import renamed

GraphFault = tuple[str, list[Spot]]
"""The expected diagnostic code, and where: at one of the spots."""
Break = Callable[[DrawFn, Data], GraphFault | None]
"""Changes the data in place; None where the graph cannot be broken in this way."""


def wrong_version(draw: DrawFn, data: Data) -> GraphFault:
    """Another version of the format, or not a number."""
    data["fusionkit"] = draw(st.sampled_from((2, 0, "1", 1.0, None, True, [1])))
    return "wrong-version", [Spot(("fusionkit",))]


def missing_top_key(draw: DrawFn, data: Data) -> GraphFault:
    """One of the required keys of a graph is missing."""
    del data[draw(st.sampled_from(("fusionkit", "inputs", "nodes")))]
    return "missing-key", [Spot(())]


def missing_node_key(draw: DrawFn, data: Data) -> GraphFault:
    """A node without its component, or that reads nothing."""
    name = _node(draw, data)
    node = data["nodes"][name]
    for key in ("from",) if draw(st.booleans()) and len(node) > 1 else ("use", "chain", "with"):
        node.pop(key, None)
    return "missing-key", [Spot(("nodes", name))]


def unknown_key(draw: DrawFn, data: Data) -> GraphFault:
    """An unknown key, in the graph, a node or an input."""
    path: Path = draw(st.sampled_from([(), ("nodes", _node(draw, data)), ("inputs", _input(draw, data))]))
    value_at(data, path)["zzqx"] = draw(st.sampled_from((1, "text", None, [])))
    return "unknown-key", [Spot((*path, "zzqx"), key=True)]


def misspelt_key(draw: DrawFn, data: Data) -> GraphFault:
    """A key with two letters swapped."""
    name = _node(draw, data)
    node = data["nodes"][name]
    key = draw(st.sampled_from([key for key in node if key in ("from", "chain", "freeze", "share", "each")]))
    wrong = key[0] + key[2] + key[1] + key[3:]
    data["nodes"][name] = {wrong if old == key else old: value for old, value in node.items()}
    return "unknown-key", [Spot(("nodes", name, wrong), key=True)]


def wrong_type(draw: DrawFn, data: Data) -> GraphFault:
    """A value of another type than its key takes."""
    name = _node(draw, data)
    node: Path = ("nodes", name)
    path, value = draw(st.sampled_from([
        (node, 7), (node, ["encoder.mlp"]), (node, None), (("inputs", _input(draw, data)), "vector"),
        ((*node, "each"), "yes"), ((*node, "freeze"), 1), ((*node, "freeze"), [True]), ((*node, "weights"), 5),
        ((*node, "from"), 3), ((*node, "from"), []), ((*node, "from"), {}), ((*node, "from"), None),
        ((*node, "from"), ".member"), (("nodes",), []), (("inputs",), {}), (("name",), 7),
    ]))
    put(data, path, value)
    return "wrong-type", [Spot(path)]


def wrong_weight(draw: DrawFn, data: Data) -> GraphFault:
    """The weight of a head in the loss is not a number of at least zero."""
    path: Path = ("nodes", draw(st.sampled_from(heads(data))), "loss")
    value = draw(st.sampled_from((-1, float("nan"), float("inf"), "much", True)))
    put(data, path, value)
    return "wrong-type" if value == "much" else "wrong-value", [Spot(path)]


def key_out_of_place(draw: DrawFn, data: Data) -> GraphFault | None:
    """A key on a node where it has no meaning."""
    kind = draw(st.sampled_from(("each", "share", "loss", "use")))
    results = heads(data)
    fits = {"each": results, "share": [name for name, node in data["nodes"].items() if "each" not in node],
            "loss": [name for name in data["nodes"] if name not in results],
            "use": [name for name, node in data["nodes"].items() if "chain" in node]}[kind]
    if not fits:
        return None
    name = draw(st.sampled_from(fits))
    data["nodes"][name][kind] = {"loss": 2, "use": "encoder.dropout"}.get(kind, True)
    return "bad-node", [Spot(("nodes", name, kind), key=True)]


def head_not_last(draw: DrawFn, data: Data) -> GraphFault:
    """A chain continues after its head."""
    name = draw(st.sampled_from(heads(data)))
    node = data["nodes"][name]
    chain = node.get("chain") or [{key: node[key] for key in ("use", "with") if key in node}]
    data["nodes"][name] = {"chain": [*chain, "encoder.dropout"], **without(node, ("use", "with", "chain", "loss"))}
    return "wrong-kind", [Spot(ids_of(data, name)[-2])]


def no_head(draw: DrawFn, data: Data) -> GraphFault:
    """All heads are replaced by other components."""
    for name in heads(data):
        path = ids_of(data, name)[-1]
        put(data, path, "encoder.dropout")
        if path[-1] == "use":
            value_at(data, path[:-1]).pop("with", None)
        data["nodes"][name].pop("loss", None)
    return "no-head", [Spot(("nodes",), key=True)]


def bad_id(draw: DrawFn, data: Data) -> GraphFault:
    """A value that is not the id of a component."""
    path = draw(st.sampled_from(ids(data)))
    strange = ("os.system", "conv", "encoder.", "Encoder.Conv", "torch.nn.Linear", 5, True)
    put(data, path, draw(st.sampled_from(strange)))
    return "bad-id", [Spot(path)]


def unknown_name(draw: DrawFn, data: Data) -> GraphFault:
    """A reference to a node or member that does not exist."""
    path = draw(st.sampled_from(references(data)))
    name = str(value_at(data, path)).partition(".")[0]
    put(data, path, draw(st.sampled_from(("nowhere", f"{name}q", f"{name}.zzqx"))))
    return "unknown-name", [Spot(path)]


def cycle(draw: DrawFn, data: Data) -> GraphFault:
    """A node reads itself, or one that depends on it."""
    name = _node(draw, data)
    put(data, draw(st.sampled_from(references_of(data, name))), draw(st.sampled_from(readers(data, name))))
    return "cycle", [Spot(path) for path in circular(data)]


def taken_name(draw: DrawFn, data: Data) -> GraphFault:
    """A node with the name of an input."""
    name, taken = _node(draw, data), _input(draw, data)
    data["nodes"] = {taken if old == name else old: node for old, node in data["nodes"].items()}
    return "name-taken", [Spot(("nodes", taken), key=True)]


def bad_name(draw: DrawFn, data: Data) -> GraphFault:
    """A name with an invalid character, or one that is reserved in every network."""
    name = _node(draw, data)
    code, new = draw(st.sampled_from([("bad-name", "1st"), ("bad-name", "a-b"), ("bad-name", "d\u00fcnn"),
                                      ("reserved-name", "forward"), ("reserved-name", "train")]))
    changed = renamed(data, {name: new})
    data.clear()
    data.update(changed)
    return code, [Spot(("nodes", new), key=True)]


def leads_nowhere(draw: DrawFn, data: Data) -> GraphFault:
    """A node that nothing reads."""
    data["nodes"]["astray"] = {"use": "encoder.dropout", "from": _input(draw, data)}
    return "leads-nowhere", [Spot(("nodes", "astray"), key=True)]


def unused_input(draw: DrawFn, data: Data) -> GraphFault:
    """An input that nothing reads."""
    data["inputs"] = {"idle": {"vector": [3]}, **data["inputs"]}
    return "unused-input", [Spot(("inputs", "idle"), key=True)]


def bad_input(draw: DrawFn, data: Data) -> GraphFault:
    """Invalid sizes of an input, two layouts, or none."""
    sized = _with_sizes(data)
    if not sized:
        return unused_input(draw, data)
    name, layout = draw(st.sampled_from(sized))
    path: Path = ("inputs", name, layout)
    sizes = value_at(data, path)
    change = draw(st.sampled_from(("size", "more", "bare", "two", "none", "large")))
    if change == "size":
        place = draw(st.integers(0, len(sizes) - 1))
        spot = Spot((*path, place))
        # A number of tokens that is null varies between cases.
        nothing = -1 if layout == "tokens" and not place else None
        put(data, spot.path, draw(st.sampled_from((0, -3, 2.5, "wide", True, nothing, 1 << 24))))
    elif change == "two":
        other = draw(st.sampled_from([key for key in LAYOUTS if key != layout]))
        data["inputs"][name][other] = [3] * len(LAYOUTS[other].axes)
        spot = Spot(("inputs", name, max(layout, other, key=list(LAYOUTS).index)), key=True)
    elif change == "none":
        del data["inputs"][name][layout]
        spot = Spot(("inputs", name), key=True)
    else:
        more: dict[str, Any] = {"more": [*sizes, 3], "bare": 7, "large": [1 << 23] * len(sizes)}
        put(data, path, more[change] if change != "large" or len(sizes) > 1 else [])
        spot = Spot(path)
    return "bad-input", [spot]


def open_size(draw: DrawFn, data: Data) -> GraphFault:
    """A size is left to the data, and there is no data."""
    sized = _with_sizes(data)
    if not sized:
        return unused_input(draw, data)
    name, layout = draw(st.sampled_from(sized))
    data["inputs"][name][layout] = draw(st.sampled_from(("auto", ["auto"] * len(LAYOUTS[layout].axes))))
    data["inputs"][name].pop("max", None)
    return "auto-size", [Spot(("inputs", name), key=True)]


def method_out_of_place(draw: DrawFn, data: Data) -> GraphFault:
    """An invalid uncertainty method."""
    data["uncertainty"] = {"use": value_at(data, draw(st.sampled_from(ids(data))))}
    return "wrong-kind", [Spot(("uncertainty", "use"))]


def _node(draw: DrawFn, data: Data) -> str:
    name: str = draw(st.sampled_from(list(data["nodes"])))
    return name


def _input(draw: DrawFn, data: Data) -> str:
    name: str = draw(st.sampled_from(list(data["inputs"])))
    return name


def _with_sizes(data: Data) -> list[tuple[str, str]]:
    """The inputs whose layout has a list of sizes, with it; items state those of one of them."""
    return [(name, key) for name, entry in data["inputs"].items() for key in entry if key in LAYOUTS]


BREAKS: tuple[Break, ...] = (
    unknown_key, wrong_version, missing_top_key, missing_node_key, misspelt_key, wrong_type, wrong_weight,
    key_out_of_place, head_not_last, no_head, bad_id, unknown_name, cycle, taken_name, bad_name, leads_nowhere,
    unused_input, bad_input, open_size, method_out_of_place)

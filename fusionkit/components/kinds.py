"""The kinds of component, one row each, and the syntax of component names and ids.

Whatever lists kinds reads this table: registry, commands, schema, templates, conformance kit, pages of documentation.
A new kind is a row here, its declaration class in `fusionkit.api`, its two templates and its check in `testing`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Scaffold:
    """What `plugins new` writes besides the two templates of a kind: the line to paste, and the catalogue entry."""

    snippet: str
    summary: str
    rule: str = ""
    absent: str = ""


@dataclass(frozen=True)
class Kind:
    """One kind of component: `name` is the part of an id before the dot.

    `folder` is where bundled ones are, under plugins/, and the name of their page in docs/components/; `guide` is the
    page of docs/ on how to choose one. `declaration` is the class in `fusionkit.api` that declares one. `setting` is
    where a graph file, or with `in_data` a data file, names one, or with `by_command` the command and its flag; '' for
    kinds that stand in the nodes of a graph; `by_head`: the declaration of a head names it. `check` is the check of the
    conformance kit for kinds without a module and a rule. `library` is the module by whose `names`, `find`,
    `package_of` and `why_not` installed libraries give further components of the kind, without a catalogue.
    """

    name: str
    folder: str
    title: str
    guide: str
    declaration: str
    scaffold: Scaffold
    setting: str = ""
    check: str = ""
    in_data: bool = False
    library: str = ""
    by_command: bool = False
    by_head: bool = False

    @property
    def in_graph(self) -> bool:
        """Whether a graph file names it, in its nodes or as a setting."""
        return not (self.in_data or self.by_command or self.by_head)

    @property
    def in_nodes(self) -> bool:
        """Whether it stands in the nodes of a graph."""
        return not self.setting


KIND_TABLE = {kind.name: kind for kind in (
    Kind("encoder", "encoders", "Encoders", "encoders", "Encoder", Scaffold(
        "visual: {use: $id, from: image, with: {width: 16}}", "one learned layer at every position, then a ReLU.",
        "B _ -> B {width} | B n _ -> B n {width} | B _ ... -> B {width} ...", "skip")),
    Kind("fusion", "fusions", "Fusions", "fusions", "Fusion", Scaffold(
        "fused: {use: $id, from: [visual, tabular], with: {width: 24}}",
        "the mean of the projected inputs, each with a learned weight.", "*features: B _ -> B {width}", "drop")),
    Kind("head", "heads", "Heads", "heads", "Head", Scaffold(
        "result: {use: $id, from: fused, with: {classes: [benign, malignant]}}",
        "classification by one linear layer and cross-entropy.", "features: B _ -> B {classes}", "skip")),
    Kind("uncertainty", "uncertainty", "Uncertainty methods", "uncertainty", "Uncertainty", Scaffold(
        "uncertainty: {use: $id, with: {samples: 10}}", "random passes of the network, and how far they spread.",
        absent="none"), setting="uncertainty", check="method"),
    Kind("task", "tasks", "Tasks", "heads", "Task", Scaffold(
        'Head(..., task="$name")', "one class of several, in an order of severity."),
        setting="Head(task=...)", check="task", by_head=True),
    Kind("metric", "metrics", "Metrics", "evaluation", "Metric", Scaffold(
        "training: {monitor: {use: $id}}", "the mean distance between probability and truth."),
        setting="training.monitor", check="metric"),
    Kind("training", "training", "Training methods", "auxiliary-losses", "Training", Scaffold(
        "training: {method: {use: $id, with: {rate: 0.5}}}",
        "gradients of modalities that predict worse than the others are enlarged."),
        setting="training.method", check="training"),
    Kind("reader", "readers", "Readers", "data", "Reader", Scaffold(
        "scan: {read: $name, path: 'scans/{id}.raw'}", "numbers of 4 bytes, after a line with their sizes."),
        setting="inputs", check="reader", in_data=True),
    Kind("optimiser", "optimisers", "Optimisers", "training", "Optimiser", Scaffold(
        "training: {optimiser: {use: $id, with: {momentum: 0.9}}}",
        "steps by the sign of a running mean of the gradients."),
        setting="training.optimiser", check="optimiser", library="fusionkit.training.library_optimisers"),
    Kind("schedule", "schedules", "Schedules", "training", "Schedule", Scaffold(
        "training: {schedule: {use: $id, with: {power: 2.0}}}",
        "the learning rate falls to zero by a power of the time."),
        setting="training.schedule", check="schedule", library="fusionkit.training.library_schedules"),
    Kind("transform", "transforms", "Transforms", "augmentation", "Transform", Scaffold(
        "augment: {scan: {$name: {sd: [0.0, 0.2]}}}", "values of cases that are shifted up or down as a whole."),
        setting="augment", check="transform", in_data=True),
    Kind("explanation", "explanations", "Explanations", "explain", "Explanation", Scaffold(
        "fusionkit explain RUN --method $name", "the mean of each input's gradient times its value."),
        setting="explain RUN --method", check="explanation", by_command=True),
)}
KINDS = tuple(KIND_TABLE)
NODE_KINDS = tuple(name for name, kind in KIND_TABLE.items() if kind.in_nodes)
GRAPH_KINDS = (*NODE_KINDS, "uncertainty")
"""Kinds that a graph file names outside its settings of training."""
COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.v[0-9]+)?")
COMPONENT_ID = re.compile(rf"({'|'.join(KINDS)})\.{COMPONENT_NAME.pattern}")
COMPONENT_USE = re.compile(rf"{COMPONENT_ID.pattern}(@[A-Za-z0-9][A-Za-z0-9._-]*)?")
"""An id as a graph names it: with `@package`, the one of that package."""


def kind_of(id: str) -> str:
    """The part of an id before the dot: `fusion` of `fusion.concat`."""
    return id.partition(".")[0]


def spoken(kinds: tuple[str, ...], last: str = "and") -> str:
    """Kinds in a sentence: `encoder, fusion and head`."""
    return f" {last} ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))

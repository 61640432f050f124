"""What a search may change of a network and its training, drawn at random, and the network with it changed.

Names are `training.SETTING` and `nodes.NODE.OPTION`. A name is drawn by itself, from its own seed: networks that have
an option in common try the same values of it in the same trial, whatever else they have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from fusionkit.comparison.graph_edits import entry_of, with_entry
from fusionkit.comparison.space_file import Overrides, overridden, search_of
from fusionkit.components.search import Search
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, UserError
from fusionkit.network.measure import measure, witness
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.registry.lookup import Registry
from fusionkit.runs.categories import with_categories
from fusionkit.syntax.tree import Leaf, Tree
from fusionkit.syntax.tree import Mapping as Tables
from fusionkit.training.settings import RESUMABLE, TrainingSettings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Space = dict[str, Search]
Values = dict[str, Any]
_TRAINING, _NODES = "training", "nodes"
_OF_THE_COMPARISON = RESUMABLE - {"epochs", "patience"} | {"seed", "fold", "stage", "stages", "hold_out", "monitor"}
"""Settings of training that all networks of a comparison have in common, or that do not change its result."""


def check_installed() -> None:
    """Refuse a search where Optuna is not installed.

    Raises: UserError with `missing-package`.
    """
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise UserError(Diagnostic("missing-package", "--tune needs Optuna, which is not installed",
                                   fix='pip install "fusionkit[tune]"'))


def space_of(plan: Plan, overrides: Overrides | None = None) -> Space:
    """The declared options of the trainer and of every node that learns and has one component.

    Not those of frozen nodes and of nodes that start from a weights file, whose weights fix them. `overrides` are those
    of a file, which may name any setting and option.
    """
    space = {f"{_TRAINING}.{name}": search for name, search in _declared(TrainingSettings)}
    options = _options(plan)
    for prefix, config in options.items():
        space |= {f"{prefix}.{name}": search for name, search in _declared(type(config))}
    found = overridden(space, settable(plan), overrides or {})
    for prefix, config in options.items():
        for name in type(config).model_fields:
            search = found.pop(f"{prefix}.{name}", None)
            if search is not None and (allowed := _allowed(config, name, search)) is not None:
                found[f"{prefix}.{name}"] = allowed
    return found


def misfits(plans: Iterable[Plan], overrides: Overrides) -> dict[str, str]:
    """The entries of a file of which no network can have any value, or not all of a range, with the reason."""
    found: dict[str, str] = {}
    every = [(f"{prefix}.{name}", config, name) for plan in plans
             for prefix, config in ({_TRAINING: TrainingSettings.model_validate({})} | _options(plan)).items()
             for name in type(config).model_fields]
    for pattern, entry in overrides.items():
        search = search_of(entry)
        own = [(config, name) for whole, config, name in every if fnmatchcase(whole, pattern)]
        if search is None or not own:
            continue
        tried = search.choices or (search.low, (search.low + search.high) / 2, search.high)
        whys = [[_misfit(config, name, value) for value in tried] for config, name in own]
        if not any(None in each if search.choices else set(each) == {None} for each in whys):
            found[pattern] = next(why for why in whys[0] if why is not None)
    return found


def _misfit(config: BaseModel, name: str, value: object) -> str | None:
    """Why an option cannot have a value beside the others; None if it can."""
    try:
        type(config).model_validate({**config.model_dump(exclude_unset=True), name: value})
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    return None


def settable(plan: Plan) -> Iterator[str]:
    """The names of everything that a search may change of a network, declared or not."""
    yield from (f"{_TRAINING}.{name}" for name in TrainingSettings.model_fields if name not in _OF_THE_COMPARISON)
    for prefix, config in _options(plan).items():
        yield from (f"{prefix}.{name}" for name in type(config).model_fields)


def _options(plan: Plan) -> dict[str, BaseModel]:
    """The options of every node that learns and has one component."""
    return {f"{_NODES}.{planned.name}": planned.lanes[0].calls[0].config for planned in plan.nodes
            if not (planned.node.freeze or planned.node.weights is not None or len(planned.node.steps) > 1)}


def _allowed(config: BaseModel, name: str, search: Search) -> Search | None:
    """The choices that fit the node's other options, such as no dropout without a layer; None if there is no choice."""
    if not search.choices:
        return search
    choices = tuple(choice for choice in search.choices if _misfit(config, name, choice) is None)
    # One choice is none, unless it is all that was asked for.
    return Search(choices) if len(choices) > 1 or choices == search.choices else None


def _declared(options: type[BaseModel]) -> Iterator[tuple[str, Search]]:
    for name, field in options.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Search):
                yield name, mark


def drawn(space: Space, seeds: tuple[int, ...]) -> Values:
    """A value of every name, by Optuna's random sampler; the same for the same seeds and name."""
    import optuna
    from optuna.samplers import RandomSampler

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        found: Values = {}
        for name, search in space.items():
            study = optuna.create_study(sampler=RandomSampler(seed=_seed(seeds, name)))
            found[name] = study.ask({name: _distribution(search)}).params[name]
        return found
    finally:
        optuna.logging.set_verbosity(level)


def _distribution(search: Search) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if search.choices:
        return CategoricalDistribution(search.choices)
    return FloatDistribution(search.low, search.high, log=search.log)


def _seed(seeds: tuple[int, ...], name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seeds} {name}".encode()).digest()[:4], "big")


def settings_with(settings: TrainingSettings, values: Values) -> TrainingSettings:
    """The settings with those of a trial.

    Raises: UserError with `bad-option` if they do not fit together.
    """
    own = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{_TRAINING}.")}
    try:
        type(settings).model_validate({**settings.model_dump(exclude_unset=True, exclude={"stages"}), **own})
    except ValidationError as error:
        raise UserError(Diagnostic("bad-option", "the settings of a trial do not fit together",
                                   why=str(error.errors(include_url=False)[0]["msg"]))) from None
    return settings.model_copy(update=own)


def plan_with(plan: Plan, values: Values, cohort: Cohort, registry: Registry) -> Plan:
    """The network with the options of a trial.

    Raises: GraphError if it is none with them.
    """
    options: dict[str, Values] = {}
    for name, value in values.items():
        kind, _, rest = name.partition(".")
        if kind == _NODES:
            node, _, option = rest.rpartition(".")
            options.setdefault(node, {})[option] = value
    if not options:
        return plan
    tree: Tree = plan.graph.tree
    nodes = entry_of(tree, _NODES)
    for node, chosen in options.items():
        entry = entry_of(nodes, node)
        given = entry.get("with")
        own = given if isinstance(given, Tables) else Tables({}, {}, entry.span)
        for option, value in chosen.items():
            own = with_entry(own, option, Leaf(value, entry.span, str(value)))
        nodes = with_entry(nodes, node, with_entry(entry, "with", own))
    made = resolve_tree(with_entry(tree, _NODES, nodes), registry)
    return measure(infer(with_categories(made, cohort), witness, cohort.sizes))


def weights_of(plan: Plan) -> int:
    """How many weights a network has: of equally good trials the smaller one is chosen."""
    assert plan.total is not None, "the plan was measured; please report"
    return plan.total.parameters


def as_plain(space: Space) -> Mapping[str, Any]:
    """A space as plain data."""
    return {name: list(search.choices) if search.choices else
            {"low": search.low, "high": search.high, "log": search.log} for name, search in space.items()}

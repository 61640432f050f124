"""The interface for plugin authors: the four kinds of component and what each must offer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Literal, get_args

from fusionkit.components.config import Config, ContractError
from fusionkit.components.kinds import COMPONENT_NAME
from fusionkit.components.protocols import Task
from fusionkit.components.release import Release
from fusionkit.components.requirements import is_requirement
from fusionkit.shapes.layouts import Shape, TensorShape
from fusionkit.shapes.rule import Alternative, Port, Rule, RuleError
from fusionkit.shapes.rule_parser import parse_rule

Absent = Literal["drop", "neutral", "identity", "skip", "fill", "none"]
Claim = Literal["symmetric", "onnx"]
ShapeFunction = Callable[[Any, Sequence[TensorShape]], Shape]
AdviceFunction = Callable[[Any, Sequence[TensorShape]], Sequence[str]]


@dataclass(frozen=True, repr=False)
class Component:
    """The declaration of one component; creating it registers nothing.

    `module` is called as `module(config, inputs)` with the shapes of the inputs in the order of the
    rule's ports, and returns an `nn.Module`. Its `forward` takes one tensor for each port, in that order, and
    returns one tensor, or a tuple in the order of the result's names. Abstract: use one of the four kinds.

    `claims`: `symmetric`, the order of the inputs does not matter; `onnx`, it exports to ONNX. `exceptions` maps a
    check of the conformance kit to the reason why it cannot hold: {'gradients: query.*': reason} for the names that a
    pattern matches, {'rows': reason} for the whole check. `reference` maps names to the published code that it
    reproduces, `release` is that of the authors.

    `advice(config, inputs)`, with the shapes of the inputs in the order of the ports, yields a sentence for each use
    that is valid but probably unintended; `fusionkit build` shows it as a warning at the node.

    Raises: ContractError if a name, rule, need, claim, reason or absence semantics is not valid.
    """

    name: str
    config: type[Config]
    module: Callable[..., Any]
    rule: str = ""
    output: ShapeFunction | None = None
    absent: Absent = "none"
    category: str = ""
    paper: str = ""
    licence: str = "Apache-2.0"
    needs: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    exceptions: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, Release] = field(default_factory=dict)
    advice: AdviceFunction | None = None
    parsed: Rule = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not COMPONENT_NAME.fullmatch(self.name):
            raise ContractError(f"{self.name!r} is not a component name: use lower case, digits and _")
        if not (isinstance(self.config, type) and issubclass(self.config, Config)):
            raise ContractError(f"{self.id}: the options must be a subclass of fusionkit.api.Config")
        if self.absent not in get_args(Absent):
            raise ContractError(f"{self.id}: absent={self.absent!r}; choose one of {', '.join(get_args(Absent))}")
        if self.absent == "fill" and self.kind != "encoder":
            raise ContractError(f"{self.id}: only an encoder can replace a missing input (absent='fill')")
        unknown = sorted(set(self.claims) - set(get_args(Claim)))
        if unknown:
            raise ContractError(f"{self.id}: claims {unknown[0]!r}; choose from {', '.join(get_args(Claim))}")
        strange = [need for need in self.needs if not is_requirement(need)]
        if strange:
            raise ContractError(f"{self.id}: needs {strange[0]!r}, which pip cannot install; write 'name>=1.2'")
        silent = [check for check, reason in self.exceptions.items() if not str(reason).strip()]
        if silent:
            raise ContractError(f"{self.id}: the exception {silent[0]!r} gives no reason")
        self._parse()

    def _parse(self) -> None:
        try:
            rule = parse_rule(self.rule)
        except RuleError as error:
            raise ContractError(f"{self.id}: {error}") from None
        strange = sorted({str(axis.value) for alternative in rule.alternatives
                          for port in (*alternative.inputs, *_results(alternative)) for axis in port.axes or ()
                          if axis.kind == "option"} - self.config.model_fields.keys())
        if strange:
            raise ContractError(f"{self.id}: the rule names {{{strange[0]}}}, which is not an option")
        silent = [alternative for alternative in rule.alternatives if alternative.result is None]
        if silent and self.output is None:
            raise ContractError(f"{self.id}: the rule has no result; write '-> ...', '-> ?' or give output=")
        if self.output is not None and len(silent) != len(rule.alternatives):
            raise ContractError(f"{self.id}: the result is given twice, by the rule and by output=")
        object.__setattr__(self, "parsed", rule)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A component of a plugin file is copied and pickled as a reference to its module, since it is immutable."""
        place = self.module.__module__
        if getattr(sys.modules.get(place), "component", None) is self:
            return _declared_in, (place,)
        return super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        # With all fields it would have tens of thousands of characters if a release's layers are listed.
        return f"<{type(self).__name__} {self.id}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Same as `repr`, for notebooks and Hypothesis, which otherwise print a dataclass field by field."""
        printer.text(repr(self))

    @property
    def id(self) -> str:
        """`kind.name`, as a graph file writes it."""
        return f"{self.kind}.{self.name}"

    @property
    def summary(self) -> str:
        """The first line of the plugin file, which says what the component does."""
        source = sys.modules.get(self.module.__module__)
        text = (source.__doc__ if source else None) or self.module.__doc__ or ""
        return text.strip().partition("\n")[0].strip()


def _declared_in(place: str) -> Component:
    component: Component = import_module(place).component
    return component


def _results(alternative: Alternative) -> tuple[Port, ...]:
    return alternative.result if isinstance(alternative.result, tuple) else ()


@dataclass(frozen=True, repr=False)
class Encoder(Component):
    """Processes one modality: raw input or features in, features out; may take or give several named outputs.

    Rows whose input is missing skip the module and stay missing, unless `absent` says otherwise: with `fill`,
    `forward` takes the keyword `present` and replaces missing rows, and its result is always present.
    `categories` is the option, if there is one, with the number of categories of each of the last columns of a table:
    `auto` becomes the list of the data, and a list is compared with the data before training.
    """

    absent: Absent = "skip"
    categories: str = ""
    kind: ClassVar[str] = "encoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.categories and self.categories not in self.config.model_fields:
            raise ContractError(f"{self.id}: categories={self.categories!r} is no option; name the one that lists them")


@dataclass(frozen=True, repr=False)
class Fusion(Component):
    """Fuses the features of several modalities into one, or exchanges information between them and returns each.

    With `absent` of `drop`, `neutral` or `identity`, `forward` takes a keyword `present`: boolean,
    (B, inputs), true = present, or None if nothing is missing. The contents of a missing entry, NaN
    included, must not affect any output or gradient.
    """

    kind: ClassVar[str] = "fusion"


@dataclass(frozen=True, repr=False)
class Head(Component):
    """Turns features into a result, and owns its loss, its decoding and its metrics.

    `names` is the option that lists the names of the result's columns (classes, labels, values).
    `metrics(targets, decoded)` may add metrics to the standard ones of its task. `partial`: its loss accepts NaN for an
    unknown label or value of a case, and learns nothing from it; without it a case has its whole target or none.
    """

    absent: Absent = "skip"
    task: Task = "multiclass"
    names: str = "classes"
    partial: bool = False
    metrics: Callable[[Any, Any], Mapping[str, float]] | None = None
    kind: ClassVar[str] = "head"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.names not in self.config.model_fields:
            raise ContractError(f"{self.id}: names={self.names!r} is not an option; name one that lists its columns")


@dataclass(frozen=True, repr=False)
class Uncertainty(Component):
    """Runs the network one or more times and estimates the uncertainty of its results; has no rule.

    `module(config)` returns an object with `predict`, see `UncertaintyMethod`. An int option `members` is the number
    of networks it needs: `fusionkit train` then trains that many, each from a seed of its own.
    """

    kind: ClassVar[str] = "uncertainty"

    def _parse(self) -> None:
        if self.rule or self.output:
            raise ContractError(f"{self.id}: an uncertainty method has no rule")
        object.__setattr__(self, "parsed", Rule(()))

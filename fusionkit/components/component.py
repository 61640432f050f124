"""The interface for plugin authors: the kinds of component that stand in graphs and what each must offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any, ClassVar, Literal, get_args

from fusionkit.components.config import Config, ContractError
from fusionkit.components.declaration import Declaration
from fusionkit.components.kinds import COMPONENT_NAME
from fusionkit.components.pretrained import PretrainedFacts
from fusionkit.components.release import Release
from fusionkit.components.task import task_word
from fusionkit.shapes.layouts import Shape, TensorShape
from fusionkit.shapes.rule import Alternative, Port, Rule, RuleError
from fusionkit.shapes.rule_parser import parse_rule

Absent = Literal["drop", "neutral", "identity", "skip", "fill", "none"]
Claim = Literal["symmetric", "onnx"]
Cases = Literal["batch", "step"]
ShapeFunction = Callable[[Any, Sequence[TensorShape]], Shape]
PretrainedFunction = Callable[[Any], PretrainedFacts | None]
AdviceFunction = Callable[[Any, Sequence[TensorShape]], Sequence[str]]


@dataclass(frozen=True, repr=False)
class Component(Declaration):
    """The declaration of a component that stands in a graph. Abstract: use the class of one of its kinds.

    `module` is called as `module(config, inputs)` with the shapes of the inputs in the order of the
    rule's ports, and returns an `nn.Module`. Its `forward` takes one tensor for each port, in that order, and
    returns one tensor, or a tuple in the order of the result's names.

    Where the rule has `[...]`, an input may be tokens of another number for every case, padded to (B, N, c). `forward`
    then takes the keyword `valid`: boolean (B, N), True = a token and not padding, or None for tokens of a fixed
    number; of a component with several ports or a `*` port a list with one of these for each input, or None. What
    padding contains must not affect any output or gradient, nor how much of it there is; it is finite.

    `claims`: `symmetric`, the order of the inputs does not matter; `onnx`, it exports to ONNX. `reference` maps names
    to the published code that it reproduces, `release` is that of the authors.

    `cases` says which cases a loss compares, if it compares any: `batch`, those of one batch in one process; `step`,
    those of one change of the weights, over accumulated batches and processes; or the name of an option with one of
    these values. See `docs/plugins.md` for what it asks of the module.

    `advice(config, inputs)`, with the shapes of the inputs in the order of the ports, yields a sentence for each use
    that is valid but probably unintended; `fusionkit build` shows it as a warning at the node.

    `pretrained(config)` tells where the weights are from that the options ask for and what the module does to its input
    before them, None if they ask for none; `fusionkit build`, runs and reports show the licence. A component with an
    option of type `WeightsFolder` needs it only to tell a mean and a deviation: the folder's recipe tells the rest.

    Raises: ContractError if a name, rule, need, claim, reason, `cases` or absence semantics is not valid.
    """

    rule: str = ""
    output: ShapeFunction | None = None
    absent: Absent = "none"
    _: KW_ONLY
    claims: tuple[Claim, ...] = ()
    reference: Mapping[str, Release] = field(default_factory=dict)
    advice: AdviceFunction | None = None
    pretrained: PretrainedFunction | None = None
    cases: str = "batch"
    parsed: Rule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.absent not in get_args(Absent):
            raise ContractError(f"{self.id}: absent={self.absent!r}; choose one of {', '.join(get_args(Absent))}")
        if self.absent == "fill" and self.kind != "encoder":
            raise ContractError(f"{self.id}: only an encoder can replace a missing input (absent='fill')")
        unknown = sorted(set(self.claims) - set(get_args(Claim)))
        if unknown:
            raise ContractError(f"{self.id}: claims {unknown[0]!r}; choose from {', '.join(get_args(Claim))}")
        if self.cases not in (*get_args(Cases), *self.config.model_fields):
            raise ContractError(f"{self.id}: cases={self.cases!r}; write 'batch', 'step', or the name of an option")
        self._parse()

    def over_step(self, config: Config) -> bool:
        """Whether its loss, with these options, compares the cases of a whole step."""
        literal = self.cases in get_args(Cases)
        return (self.cases if literal else getattr(config, self.cases)) == "step"

    def _parse(self) -> None:
        try:
            rule = parse_rule(self.rule)
        except RuleError as error:
            raise ContractError(f"{self.id}: {error}") from None
        strange = sorted({str(axis.value) for alternative in rule.alternatives
                          for whole in (*alternative.inputs, *_results(alternative))
                          for port in whole.choices for axis in port.axes or ()
                          if axis.kind == "option"} - self.config.model_fields.keys())
        if strange:
            raise ContractError(f"{self.id}: the rule names {{{strange[0]}}}, which is not an option")
        silent = [alternative for alternative in rule.alternatives if alternative.result is None]
        if silent and self.output is None:
            raise ContractError(f"{self.id}: the rule has no result; write '-> ...', '-> ?' or give output=")
        if self.output is not None and len(silent) != len(rule.alternatives):
            raise ContractError(f"{self.id}: the result is given twice, by the rule and by output=")
        object.__setattr__(self, "parsed", rule)

    @property
    def masked(self) -> bool:
        """Whether it takes masked tokens, so that `forward` has a keyword `valid`."""
        return any(axis.masked for alternative in self.parsed.alternatives for whole in alternative.inputs
                   for port in whole.choices for axis in port.axes or ())

    @property
    def several(self) -> bool:
        """Whether it has several inputs, so that `present` and `valid` have one part for each."""
        ports = self.parsed.ports
        return len(ports) > 1 or ports[0].variadic

    @property
    def rule_text(self) -> str:
        """The rule as the catalogue lists it, '' for an uncertainty method."""
        return str(self.parsed) if self.rule else ""

    @property
    def absence(self) -> str:
        """What it does with a missing input: `absent`."""
        return self.absent


def _results(alternative: Alternative) -> tuple[Port, ...]:
    return alternative.result if isinstance(alternative.result, tuple) else ()


@dataclass(frozen=True, repr=False)
class Encoder(Component):
    """Processes one modality: raw input or features in, features out; may take or give several named outputs.

    Rows whose input is missing skip the module and stay missing, unless `absent` says otherwise: with `fill`,
    `forward` takes the keyword `present` and replaces missing rows, and its result is always present.
    `categories` is the option, if there is one, with the number of categories of each of the last columns of a table:
    `auto` becomes the list of the data, and a list is compared with the data before training.
    `known`, True or a function of the options: where it reads an input of columns, `forward` is given the keyword
    `known`, boolean in the shape of the vector, (B, c), True = the cell was not blank; None for any other vector. Blank
    cells are zeros then, not what the data file fills in.
    """

    absent: Absent = "skip"
    _: KW_ONLY
    categories: str = ""
    known: bool | Callable[[Any], bool] = False
    kind: ClassVar[str] = "encoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.known and self.several:
            raise ContractError(f"{self.id}: known= is for an encoder with one input")
        if self.categories and self.categories not in self.config.model_fields:
            raise ContractError(f"{self.id}: categories={self.categories!r} is no option; name the one that lists them")


    def asks_known(self, config: Config) -> bool:
        """Whether it asks for the mask of blank cells with these options."""
        return self.known if isinstance(self.known, bool) else self.known(config)


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
    """Turns features into a result, and owns its loss and its decoding; its task says what is made of the results.

    `task` names a component of kind `task`, with or without `task.`: how targets are read, which metrics measure it.
    `names` is the option, or a property of the options, that lists the names of the result's columns (classes, labels,
    values).
    `partial`: its loss accepts NaN for an unknown label or value of a case, and learns nothing from it; without it a
    case has its whole target or none. `positive` and `scales`, functions of the options: whether every target must be
    above 0, and whether it scales targets by itself.
    """

    absent: Absent = "skip"
    _: KW_ONLY
    task: str = "multiclass"
    names: str = "classes"
    partial: bool = False
    positive: Callable[[Any], bool] | None = None
    scales: Callable[[Any], bool] | None = None
    metrics: InitVar[object] = None
    kind: ClassVar[str] = "head"

    def __post_init__(self, metrics: object) -> None:
        super().__post_init__()
        if metrics is not None:
            raise ContractError(f"{self.id}: nothing calls metrics=; declare each as a component of kind metric, "
                                "fusionkit.api.Metric, which then measures every head of its task")
        object.__setattr__(self, "task", task_word(self.task))
        if not COMPONENT_NAME.fullmatch(self.task):
            raise ContractError(f"{self.id}: task={self.task!r} is not the name of a task, such as 'multiclass'")
        if self.names not in self.config.model_fields and not isinstance(
                getattr(self.config, self.names, None), property):
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

"""How a network is trained: the `training:` section of a graph file, and flags. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fusionkit.components.search import Search
from fusionkit.errors import Diagnostic, Span, UserError, did_you_mean
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Mapping as Tables
from fusionkit.syntax.tree import Tree
from fusionkit.training.former_settings import up_to_date
from fusionkit.training.named_components import NAMING, component_of, try_component, typed_setting

if TYPE_CHECKING:
    from fusionkit.evaluation.chosen_metrics import ChosenMetric
    from fusionkit.registry.lookup import Registry
    from fusionkit.registry.named import Chosen

_EPOCHS, _CASES, _PROCESSES, _LARGEST = 1_000_000, 1 << 24, 512, 1 << 62
LARGEST = {"epochs": _EPOCHS, "steps": 1_000_000_000, "batch_size": _CASES, "accumulate": _CASES,
           "warmup_epochs": _EPOCHS, "step_epochs": _EPOCHS, "patience": _EPOCHS, "validate_steps": 1_000_000_000,
           "workers": _PROCESSES, "threads": _PROCESSES, "seed": _LARGEST, "fold": _EPOCHS,
           "checkpoint_steps": _LARGEST, "complete_first": _EPOCHS}
"""The largest values of settings, far above any use: a slip of the keyboard is refused before memory is taken."""

Tracker = Literal["aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]
HoldOut = Literal["auto", "folds"] | Annotated[float, Field(ge=0, lt=1)]
FOLDS = 5
"""The number of parts of `hold_out: folds`, and the minimum number of networks it trains."""
FEW_CASES = 500
"""Below this number of training cases `hold_out: auto` is folds."""
_PATIENCE_STEPS, _PATIENCE_EPOCHS = 250, 10
"""The minimum patience of `patience: auto`: before the learning rate has fallen, the loss of few epochs is chance."""
HELD_OUT = 0.15
"""The share that `hold_out: auto` holds out of that many training cases or more."""


@dataclass(frozen=True)
class Short:
    """The help of a setting's flag if the first clause of the description is not suitable."""

    text: str


class TrainingSettings(BaseModel):
    """The settings of one training run; every field has a default, and a run records all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    epochs: PositiveInt = Field(50, description="How many times every training case is seen, unless `steps` asks for "
                                                "more.")
    steps: Annotated[NonNegativeInt, Short(
        "minimum number of optimiser steps; epochs are added to reach it, unless --epochs is given")] = Field(
        1000, description="Minimum number of optimiser steps: epochs are added to reach it; 0 counts epochs alone, "
                          "and is the default where `epochs` is set.")
    batch_size: PositiveInt = Field(32, description="Cases in one batch, over all processes together.")
    batches: Literal["random", "by_length"] = Field(
        "random", description="Which cases form a batch: random ones, or by_length those with about as many masked "
                              "tokens, which need less padding; every case is seen as often either way.")
    accumulate: PositiveInt = Field(
        1, description="Batches whose gradients are added up before the weights change; equals a larger batch.")
    optimiser: Annotated[str, Short(
        "the optimiser: adamw, adam, sgd, or the name of another of torch, timm or a plugin")] = Field(
        "adamw", description="The optimiser: adamw, adam, sgd, or another of torch, timm or a plugin by its name, with "
                             "options as {use: optimiser.NAME, with: {option: value}}.")
    learning_rate: Annotated[PositiveFloat, Search(low=1e-4, high=1e-2, log=True)] = Field(
        1e-3, description="The peak learning rate.")
    weight_decay: Annotated[NonNegativeFloat, Search((0.0, 0.01, 0.1))] = Field(
        0.01, description="Weight decay; biases, norms and scalars are exempt.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd; other optimisers have it as an option.")
    schedule: Annotated[str, Short(
        "the learning rate after warm-up: constant, cosine, linear, step, or one of torch, timm or a plugin")] = Field(
        "cosine", description="The learning rate after warm-up: constant; cosine or linear down to zero; step, times "
                              "step_factor every step_epochs; or another of torch, timm or a plugin by its name, with "
                              "options as {use: schedule.NAME, with: {option: value}}.")
    warmup_epochs: NonNegativeFloat = Field(0.0, description="Epochs in which the learning rate rises from zero.")
    step_epochs: PositiveInt = Field(10, description="Epochs between two steps of the schedule step.")
    step_factor: float = Field(0.1, gt=0, le=1, description="Factor applied at each step of the schedule step.")
    clip_gradient: Annotated[NonNegativeFloat, Short(
        "maximum gradient norm, 0 for no clipping")] = Field(
        0.0, description="Maximum gradient norm; 0 for no clipping.")
    patience: Annotated[Literal["auto"] | NonNegativeInt, Short(
        "epochs without a better validation result after which the run stops, 0 never stops, auto: a quarter of them")
    ] = Field(
        "auto", description="Epochs without a better validation result after which the run stops; 0 never stops "
                            "early, auto is a quarter of all epochs, and at least 10 of them and 250 steps.")
    hold_out: Annotated[HoldOut, Short(
        "training cases that select the best epoch: a share of them, or folds; auto: folds below 500 cases, else 0.15")
    ] = Field(
        "auto", description="Training cases that select the best epoch if the data file names no validation cases: a "
                            "share of them; folds, five networks that each hold out another fifth and predict by "
                            "their mean; auto, folds below 500 training cases, else 0.15; 0, none, and the last epoch "
                            "is taken.")
    validate_steps: Annotated[PositiveInt, Short(
        "minimum number of steps between two validations")] = Field(
        10, description="Minimum number of steps between two validations, which take place at the end of an epoch; a "
                        "short run has a hundred of them all the same.")
    monitor: Annotated[str, Short(
        "what selects the best epoch: loss or an installed metric")] = Field(
        "loss", description="What selects the best epoch by the validation cases: loss, or the id of an installed "
                            "metric, with options as {use: ID, with: {option: value}}; the mean over the heads that it "
                            "measures.")
    balance: Annotated[Literal["none", "classes"], Short(
        "classes: draw equally often from every class")] = Field(
        "none", description="classes: each epoch draws equally often from every class of the first head that has "
                            "classes.")
    complete_first: Annotated[NonNegativeInt, Short(
        "first epochs in which cases that have every input come before the others")] = Field(
        0, description="First epochs in which the cases that have every input come before the others, each part in "
                       "random order; 0, none.")
    modality_dropout: Annotated[float, Short(
        "probability with which an optional input of a case is treated as missing")] = Field(
        0.0, ge=0, lt=1, description="Probability with which training treats an optional input as missing; a case "
                                     "keeps at least one input.")
    modality_scheme: Literal["independent", "exactly_one", "subset"] = Field(
        "independent", description="What modality_dropout is the probability of: independent, that each input is "
                                   "dropped; exactly_one, that a case keeps one input only; subset, that it keeps a "
                                   "random subset of its inputs, all equally likely.")
    method: Annotated[str, Short(
        "the training method: none or the id of an installed one")] = Field(
        "none", description="The training method: none, or the id of an installed one, with options as {use: ID, with: "
                            "{option: value}}; it changes losses or gradients, such as of the modality that is learned "
                            "faster than the others.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="Precision of the forward pass; weights stay fp32. bf16 and fp16 are mixed precision.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train; auto uses a GPU if available.")
    strategy: Literal["auto", "ddp", "fsdp"] = Field(
        "auto", description="How several processes share the work: ddp, each has the whole network; fsdp, each has "
                            "a part of it. auto is ddp.")
    compile: bool = Field(False, description="Compile the network with torch.compile.")
    channels_last: Literal["auto", "on", "off"] = Field(
        "auto", description="Keep channels as the innermost axis in memory; auto does so on a GPU in half precision.")
    workers: Annotated[Literal["auto"] | NonNegativeInt, Short(
        "processes that read cases ahead, 0 reads in the main process, auto: as many as help")] = Field(
        "auto", description="Processes that read cases ahead, and change them where augment_on says so; 0 reads in the "
                            "main process, auto is as many as help.")
    augment_on: Literal["auto", "workers", "device"] = Field(
        "auto", description="Where training cases are changed at random: workers, where they are read; device, whole "
                            "batches on the device that trains; auto is device on a GPU.")
    threads: Annotated[NonNegativeInt, Short(
        "CPU threads of each process, 0 leaves the choice to PyTorch")] = Field(
        0, description="CPU threads of each process; 0 leaves PyTorch's choice.")
    seed: NonNegativeInt = Field(0, description="Seed of the initial weights, the order of cases and dropout.")
    fold: Annotated[NonNegativeInt | None, Short(
        "hold out and test this fold only, counted from 0 (default: all, one after the other)")] = Field(
        None, description="Which fold to hold out and test on, counted from 0, where the data file divides into "
                          "folds; all of them, one after the other, when not set.")
    checkpoint_seconds: NonNegativeFloat = Field(
        300.0, description="Seconds between states saved inside an epoch; 0 saves at the end of every epoch, and only "
                           "there.")
    checkpoint_steps: NonNegativeInt = Field(
        0, description="Steps between states saved inside an epoch; 0 for checkpoint_seconds alone.")
    _named: dict[str, Chosen[Any]] = PrivateAttr(default_factory=dict)
    trackers: list[Tracker] = Field([], description="Experiment trackers to report to, by name; none by default.")
    stage: Annotated[str | None, Short(
        "run this stage of the graph's, which learns without targets, in place of the training of the heads")] = Field(
        None, description="The stage of `stages` to run in place of the training of the heads; a run records it.")
    stages: dict[str, dict[str, Any] | None] | None = Field(
        None, description="Trainings without targets that may come before, by name, each with its own settings where "
                          "they differ.")

    @field_validator(*LARGEST)
    @classmethod
    def _bounded(cls, value: Any, about: ValidationInfo) -> Any:
        bound = LARGEST[str(about.field_name)]
        if isinstance(value, int | float) and value > bound:
            raise ValueError(f"it must be at most {bound:,}")
        return value

    @field_validator(*NAMING, mode="before")
    @classmethod
    def _typed(cls, value: Any, about: ValidationInfo) -> Any:
        """A component as it is typed on the command line, without its kind."""
        return typed_setting(value, NAMING[str(about.field_name)].kind)

    def named(self, setting: str) -> Chosen[Any] | None:
        """The component that a setting names, with its options; None for one of the trainer's own words.

        Raises: UserError if it is not installed.
        """
        text, naming = getattr(self, setting), NAMING[setting]
        if text in naming.words and not naming.later:
            return None
        if setting not in self._named:
            from fusionkit.registry.lookup import discover

            self._named[setting] = component_of(setting, text, None, discover())
        return self._named[setting]

    @property
    def chosen_optimiser(self) -> Chosen[Any]:
        """The optimiser with its options.

        Raises: UserError if it is not installed.
        """
        found = self.named("optimiser")
        assert found is not None, "every optimiser is a component; please report"
        return found

    def with_component(self, setting: str, chosen: Chosen[Any]) -> Self:
        """The same settings with a component that need not be installed."""
        made = self.model_copy(update={setting: chosen.declared.name + chosen.written})
        made._named = {**self._named, setting: chosen}
        return made

    @property
    def metric(self) -> ChosenMetric | None:
        """The metric that selects the best epoch; None for the loss and for what every validation counts.

        Raises: UserError if it is not installed.
        """
        from fusionkit.evaluation.chosen_metrics import ChosenMetric

        chosen = self.named("monitor")
        return None if chosen is None else ChosenMetric(chosen.declared, chosen.config, chosen.written)

    @property
    def lower_is_better(self) -> bool:
        """Whether smaller values of what is monitored are better."""
        return self.monitor == "loss" or (self.metric is not None and self.metric.lower_is_better)

    def hold_out_for(self, cases: int) -> float | Literal["folds"]:
        """What is held out of this many training cases: a share of them, or another fifth by each of five networks."""
        if self.hold_out != "auto":
            return self.hold_out
        return "folds" if cases < FEW_CASES else HELD_OUT

    def patience_epochs(self, steps: int) -> int:
        """Epochs without a better validation result after which a network stops, 0 for never.

        `steps` is the number of steps of an epoch.
        """
        if self.patience != "auto":
            return self.patience
        return max(-(-self.epochs // 4), -(-_PATIENCE_STEPS // steps), _PATIENCE_EPOCHS)

    def for_network(self, member: int, cases: int) -> Self:
        """The settings of one network of a run with this many training cases: its seed, and derived values."""
        epochs = max(self.epochs, -(-self.steps // self.epoch_steps(cases)))
        return self.model_copy(update={"seed": self.seed + member, "epochs": epochs})

    def epoch_steps(self, cases: int) -> int:
        """The number of steps of an epoch of this many training cases."""
        return max(-(-cases // (self.batch_size * self.accumulate)), 1)

    def validates(self, epoch: int, steps: int) -> bool:
        """Whether there is a validation after an epoch, counted from 1, given the number of steps of an epoch."""
        interval = min(self.validate_steps, max(self.epochs * steps // 100, 1))
        return epoch == self.epochs or epoch * steps // interval > (epoch - 1) * steps // interval

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, given: Any) -> Any:
        return up_to_date(given) if isinstance(given, Mapping) else given

    @model_validator(mode="before")
    @classmethod
    def _epochs_count(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "epochs" in given and "steps" not in given:
            return {**given, "steps": 0}
        return given

    @model_validator(mode="after")
    def _epochs_fit(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"'warmup_epochs' is {self.warmup_epochs:g} and 'epochs' only {self.epochs}")
        return self


OF_HEADS = ("hold_out", "patience", "monitor", "validate_steps", "balance", "method")
"""Settings without a meaning in a stage, which has no heads and no validation."""
RESUMABLE = frozenset({
    "epochs", "steps", "patience", "device", "strategy", "compile", "channels_last", "workers", "augment_on",
    "threads", "checkpoint_seconds", "checkpoint_steps", "trackers",
})
"""Settings that may change when a run is resumed; any other would make it a different run."""


def read_settings(tree: Tree | None, flags: Mapping[str, Any] | None = None, registry: Registry | None = None
                  ) -> TrainingSettings:
    """The settings of a graph's `training:` section; `flags`, by field name, take precedence over the file.

    With a `registry` the components that they name are looked up as well, and their options checked.

    Raises: UserError with `unknown-option` and `bad-option`, every fault of the section or of the flags.
    """
    settings, found = check_options(TrainingSettings, tree, "'training'", Span("graph", 1, 1))
    if settings is None:
        raise UserError(found)
    given, flags = settings.model_dump(exclude_unset=True, exclude={"stages"}), flags or {}
    if "epochs" in flags:
        given.pop("steps", None)
    try:
        chosen = TrainingSettings.model_validate({**given, **flags})
    except ValidationError as error:
        raise UserError([_flag_fault(fault) for fault in error.errors(include_url=False)]) from None
    if registry is not None:
        entries = tree.entries if isinstance(tree, Tables) else {}
        for setting, naming in NAMING.items():
            text = getattr(chosen, setting)
            if text not in naming.words:
                written = None if setting in flags else entries.get(setting)
                found_one = chosen._named[setting] = component_of(setting, text, written, registry)
                try_component(setting, found_one, chosen.model_dump())
    return chosen


def _flag_fault(fault: Any) -> Diagnostic:
    path = fault["loc"]
    if not path:
        return Diagnostic("bad-option", "the training settings do not fit together",
                          why=fault["msg"].removeprefix("Value error, "), fix="change one of the settings it names")
    flag = flag_of(str(path[0]))
    if fault["type"] == "extra_forbidden":
        return Diagnostic("unknown-option", f"training has no setting {str(path[0])!r}",
                          fix=did_you_mean(str(path[0]), TrainingSettings.model_fields))
    reason = str(fault["msg"]).removeprefix("Value error, ")
    field = TrainingSettings.model_fields[str(path[0])]
    return Diagnostic("bad-option", f"{flag} cannot be {fault['input']!r}", why=reason[:1].lower() + reason[1:],
                      fix=f"{flag}: {field.description}")


def flag_of(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")

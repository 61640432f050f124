"""The declaration of a metric: what it measures, for which tasks, and in which direction it is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

from fusionkit.components.config import ContractError
from fusionkit.components.declaration import Declaration
from fusionkit.components.kinds import COMPONENT_NAME
from fusionkit.components.task import task_word

if TYPE_CHECKING:
    from fusionkit.arrays import Floats

Better = Literal["higher", "lower", "zero", "one", "neither"]
"""Which values are better: larger or smaller ones, or those nearer to 0 or to 1; or none."""


class MetricMethod(Protocol):
    """The object that a `Metric` component creates. `weights` says how often each case counts, one column a resample.

    Every metric is a function of the weights of the cases, so that intervals and paired differences follow without
    further code: with weights of one it is the value itself. Optional, and looked up by name:

    - `of_all(outcomes, weights)` measures all classes of a head of several classes at once, `weights` (N, R) to (R,);
      without it the result is the mean over the classes for which it is defined; a metric of a whole head alone, such
      as one that needs all horizons of a survival head, has no `of_column`;
    - `why_undefined(column)` is a note for the reader if the metric has no value for the column, else None; it is not
      called for columns without a case;
    - `remark(column)` is a note beside a value of the column, such as what chance alone would give, or None; only
      evaluations ask for it, which are not often, so that it may take as long as an interval;
    - `note_of_all(outcomes)` is the note to a result of `of_all`, or None.
    """

    def of_column(self, column: Any, weights: Floats) -> Floats:
        """One class against the others, one label (`ClassColumn`) or one output (`ValueColumn`): (M, R) to (R,).

        NaN where it is undefined for these weights.
        """


@dataclass(frozen=True, repr=False)
class Metric(Declaration):
    """Measures the results of a head; `module(config)` returns a `MetricMethod`.

    `label` is its name in tables and plots. `tasks` are those of the heads that it measures. `better` is the direction,
    or the value that is best, `zero` or `one`; `neither` for a number that only tells how things are, which ranks
    nothing and selects no epoch. `reads` are patterns of names, such as 'sd' or 'q*': only heads are measured that tell
    such numbers beside their results (`details` of a head's module), and the metric finds them in `details` of what it
    is given. `unit` is that of its values: '' for none, 'target' for the target's, else text for tables. `monitor`:
    whether it may select the best epoch of a training, by the setting `monitor`. `place` orders tables: smaller comes
    first, equal places are ordered by id. `resamples` is how many its interval is from at most, for one that is slow to
    compute; 0 for one without an interval, such as a p value. `default`: whether it is measured without being named.

    Raises: ContractError if one of these is not valid.
    """

    _: KW_ONLY
    label: str
    tasks: tuple[str, ...]
    better: Better
    unit: str = ""
    monitor: bool = True
    place: int = 1000
    reads: tuple[str, ...] = ()
    resamples: int | None = None
    default: bool = True
    kind: ClassVar[str] = "metric"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.label.strip():
            raise ContractError(f"{self.id}: label is empty; write its name for tables, as in 'Brier score'")
        object.__setattr__(self, "tasks", tuple(map(task_word, self.tasks)))
        if not self.tasks or not all(map(COMPONENT_NAME.fullmatch, self.tasks)):
            raise ContractError(f"{self.id}: tasks={self.tasks!r}; name tasks, such as 'multiclass' or 'regression'")
        if self.better not in get_args(Better):
            raise ContractError(f"{self.id}: better={self.better!r}; choose one of {', '.join(get_args(Better))}")
        if self.better == "neither":
            object.__setattr__(self, "monitor", False)
        if self.resamples is not None and self.resamples < 0:
            raise ContractError(f"{self.id}: resamples={self.resamples}; write 0 for a metric without an interval")

    def goodness(self, value: float) -> float:
        """The value turned so that larger is better; as it is where nothing is."""
        return {"lower": -value, "zero": -abs(value), "one": -abs(value - 1)}.get(self.better, value)

    @property
    def heading(self) -> str:
        """The label, with the unit if it has one of its own."""
        return self.label if self.unit in ("", "target") else f"{self.label}, {self.unit}"

    @property
    def facts(self) -> Mapping[str, str]:
        """Its tasks, direction and unit."""
        unit = {"unit": "that of the target" if self.unit == "target" else self.unit} if self.unit else {}
        reads = {"reads": " or ".join(self.reads)} if self.reads else {}
        limit = {} if self.resamples is None else {
            "intervals": f"from {self.resamples} resamples at most" if self.resamples else "none"}
        return {"label": self.label, "tasks": ", ".join(self.tasks), "better": self.better, **unit, **reads,
                "monitor": "it may select the best epoch" if self.monitor else "it cannot select the best epoch",
                **limit, **({} if self.default else {"shown": "only if it is named"})}

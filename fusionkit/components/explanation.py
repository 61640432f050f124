"""The declaration of an explanation: what it needs of a trained network, what it writes, when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, Protocol, get_args

from fusionkit.components.config import ContractError
from fusionkit.components.declaration import Declaration

Requirement = Literal["gradients", "maps", "subsets", "gates"]
Written = Literal["pictures", "tables"]


class ExplanationMethod(Protocol):
    """The object that an `Explanation` component creates.

    Optional, and looked up by name: `faults(network)` gives a `fusionkit.explaining.Diagnostic` for each option that
    does not fit the network, before any data are read; it is given a `fusionkit.explaining.NetworkView`.
    """

    def explain(self, run: Any) -> Any:
        """Explain a run, a `fusionkit.explaining.RunView`: write into its folder, and return plain data.

        The data stand in `explain.json` under the name of the component. Networks and global random state stay as
        they are; random numbers come from the generator of the run.
        """


@dataclass(frozen=True, repr=False)
class Explanation(Declaration):
    """Explains a trained network; `module(config)` returns an `ExplanationMethod`.

    `label` is its name in notes. `writes` says what: `pictures`, `tables`. `requires` names what the network must
    have; without it the method is not called, and a note says why:

    - `gradients`: at least one result can be differentiated with respect to an input;
    - `maps`: it reads an image or volume, of which its modules may give feature maps;
    - `subsets`: it has two or more inputs, and runs without any of them;
    - `gates`: a fusion reports the weights of its inputs.

    `by_default`: it runs where no method is named. `place` orders methods: smaller comes first.

    Raises: ContractError if one of these is not valid.
    """

    _: KW_ONLY
    label: str
    writes: tuple[Written, ...]
    requires: tuple[Requirement, ...] = ()
    by_default: bool = False
    place: int = 1000
    kind: ClassVar[str] = "explanation"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.label.strip():
            raise ContractError(f"{self.id}: label is empty; write its name for notes, as in 'Grad-CAM'")
        for field, given, known in (("writes", self.writes, Written), ("requires", self.requires, Requirement)):
            if set(given) - set(get_args(known)):
                raise ContractError(f"{self.id}: {field}={given!r}; choose from {', '.join(get_args(known))}")
        if not self.writes:
            raise ContractError(f"{self.id}: it writes nothing; choose from {', '.join(get_args(Written))}")

    @property
    def facts(self) -> Mapping[str, str]:
        """What it requires and writes, and whether it runs by default."""
        requires = {"requires": ", ".join(self.requires)} if self.requires else {}
        return {"label": self.label, **requires, "writes": ", ".join(self.writes),
                "default": "it runs where no method is named" if self.by_default else "it runs where it is named"}

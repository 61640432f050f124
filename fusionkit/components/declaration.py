"""What every kind of component declares: its name, its options, where it comes from and what it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from importlib import import_module
from typing import Any, ClassVar

from fusionkit.components.config import Config, ContractError
from fusionkit.components.kinds import COMPONENT_NAME
from fusionkit.components.probes import Probes
from fusionkit.components.requirements import is_requirement


@dataclass(frozen=True, repr=False)
class Declaration:
    """The declaration of one component of any kind; making it registers nothing. Abstract: use the class of a kind.

    `module` does the work: what it is called with depends on the kind. `exceptions` maps a check of the conformance
    kit to the reason why it cannot hold: {'gradients: query.*': reason} for the names that a pattern matches,
    {'rows': reason} for the whole check. `probes` are inputs and options for the kit to try.

    Raises: ContractError if a name, need or reason is not valid.
    """

    name: str
    config: type[Config]
    module: Callable[..., Any]
    _: KW_ONLY
    category: str = ""
    paper: str = ""
    licence: str = "Apache-2.0"
    needs: tuple[str, ...] = ()
    exceptions: Mapping[str, str] = field(default_factory=dict)
    probes: Probes = field(default=Probes(), compare=False)

    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not COMPONENT_NAME.fullmatch(self.name):
            raise ContractError(f"{self.name!r} is not a component name: use lower case, digits and _")
        if not (isinstance(self.config, type) and issubclass(self.config, Config)):
            raise ContractError(f"{self.id}: the options must be a subclass of fusionkit.api.Config")
        strange = [need for need in self.needs if not is_requirement(need)]
        if strange:
            raise ContractError(f"{self.id}: needs {strange[0]!r}, which pip cannot install; write 'name>=1.2'")
        silent = [check for check, reason in self.exceptions.items() if not str(reason).strip()]
        if silent:
            raise ContractError(f"{self.id}: the exception {silent[0]!r} gives no reason")
        unknown = sorted(self.probes.options - self.config.model_fields.keys())
        if unknown:
            raise ContractError(f"{self.id}: probes= has {unknown[0]!r}, which is not an option")

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

    @property
    def rule_text(self) -> str:
        """The rule as the catalogue lists it, '' for kinds that have none."""
        return ""

    @property
    def absence(self) -> str:
        """What it does with a missing input, '' for kinds that read no input."""
        return ""

    @property
    def facts(self) -> Mapping[str, str]:
        """What else its users want to know of it, by a word each: lines of `plugins show` and of its page."""
        return {}


def _declared_in(place: str) -> Declaration:
    component: Declaration = import_module(place).component
    return component

"""What a check reports: a fault as a check sees it, and the finding that people and programs read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Result = Literal["ok", "failed", "excepted", "not probed"]


@dataclass(frozen=True)
class Fault:
    """What was seen, what its author can do, and `place` (file:line) where that is known better than by the class.

    `parts` names what is at fault one by one, where an exception may excuse some of it: parameters, inputs; `seen`
    then says {parts} where they are to stand.
    """

    seen: str
    fix: str
    place: str = ""
    parts: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """`seen` with the parts in it."""
        return self.seen.replace("{parts}", ", ".join(self.parts))


@dataclass(frozen=True)
class Finding:
    """What one check found: `seen`, what to do about it, and where the component stands (file:line)."""

    component: str
    check: str
    result: Result
    seen: str = ""
    fix: str = ""
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        lines = [f"{place}{self.component}: {self.check} {self.result}"]
        lines.extend(f"  {name}: {text}" for name, text in (("seen", self.seen), ("fix", self.fix)) if text)
        return "\n".join(lines)

    def as_json(self) -> dict[str, str]:
        """The finding as plain data."""
        return asdict(self)

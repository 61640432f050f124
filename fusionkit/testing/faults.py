"""What a check reports: a fault as the check sees it, and the finding that people and programs read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Result = Literal["ok", "failed", "excepted", "not probed"]


@dataclass(frozen=True)
class Fault:
    """What was seen, what its author can do, and `place` (file:line) where it is known more exactly than by the class.

    `parts` lists what is at fault, such as parameters or inputs, where an exception may excuse some of them; `seen`
    then contains {parts} as their placeholder.
    """

    seen: str
    fix: str
    place: str = ""
    parts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """`seen` with the parts filled in."""
        return self.seen.replace("{parts}", ", ".join(self.parts))


@dataclass(frozen=True)
class Note:
    """What a check that passes tells beside it: something that looks like a fault, and is none."""

    text: str


@dataclass(frozen=True)
class Finding:
    """What one check found: `seen`, what to do about it, and where the component is declared (file:line)."""

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

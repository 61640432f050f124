"""Requirements on an installation: the version of the contract, and the packages that a component needs.

Version ranges are those of pip. The library that parses them takes longer to import than the command line to start, so
it is imported only for texts that are not simple.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from fusionkit.components.hooks import CONTRACT, CONTRACT_RANGE, FORMER_CONTRACT

CHANGES = "the page 'From contract 1 to contract 2' of the documentation"
"""The page that tells what to change in a plugin written for the former contract."""
_PLAIN_RANGE = re.compile(r"\s*(>=|<=|<|>)\s*\d+(\.\d+)*\s*(,\s*(>=|<=|<|>)\s*\d+(\.\d+)*\s*)*")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class Refusal:
    """Why a package cannot be used with this version of fusionkit, and what its user can do."""

    seen: str
    fix: str


@dataclass(frozen=True)
class Missing:
    """An unmet requirement: nothing is installed, or an incompatible `version`."""

    requirement: str
    name: str
    version: str = ""

    def __str__(self) -> str:
        if not self.version:
            return f"{self.name} is not installed"
        return f"{self.requirement} is needed, {self.version} is installed"


def is_range(text: str) -> bool:
    """Whether a text is a version range such as '>=2.0,<3'; an empty text is not."""
    if _PLAIN_RANGE.fullmatch(text):
        return True
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return bool(list(SpecifierSet(text)))
    except InvalidSpecifier:
        return False


def is_requirement(text: str) -> bool:
    """Whether a text is a requirement that pip can install from a registry: a name, optionally with versions."""
    if _PLAIN_NAME.fullmatch(text):
        return True
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text).url is None
    except InvalidRequirement:
        return False


def is_name(text: str) -> bool:
    """Whether a text can be the name of a package."""
    return bool(_PLAIN_NAME.fullmatch(text))


def contract_refusal(stated: object, package: str = "") -> Refusal | None:
    """Why a plugin that declares this range of contract versions cannot be used; None if it can.

    One for the former contract can. Without `package` the message is for its author.
    """
    if stated in (None, CONTRACT_RANGE):
        return None
    if not isinstance(stated, str) or not is_range(stated):
        return Refusal(f"its declared contract is not a version range: {stated!r}",
                       f"{f'ask the author of {package} to ' * bool(package)}write a range such as {CONTRACT_RANGE!r}")
    if _holds(stated, CONTRACT) or is_former(stated):
        return None
    if _is_newer(stated):
        fix = pip_install("--upgrade", "fusionkit")
    elif package:
        fix = f"{pip_install('--upgrade', package)}, or ask its author for a version for contract {CONTRACT}"
    else:
        fix = f"make it work with contract {CONTRACT}, then declare {CONTRACT_RANGE!r}"
    return Refusal(f"written for contract {stated}; this fusionkit offers {CONTRACT}", fix)


def is_former(stated: object) -> bool:
    """Whether a stated range has the former contract and not this one."""
    if not isinstance(stated, str) or stated == CONTRACT_RANGE or not is_range(stated):
        return False
    return _holds(stated, FORMER_CONTRACT) and not _holds(stated, CONTRACT)


def _holds(stated: str, version: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(stated).contains(version)


def _is_newer(stated: str) -> bool:
    """Whether a range starts above the offered version."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    for part in SpecifierSet(stated):
        try:
            bound = Version(part.version.removesuffix(".*"))
        except InvalidVersion:
            continue
        if part.operator in (">=", ">", "==", "===", "~=") and bound > Version(CONTRACT):
            return True
    return False


def missing(needs: Iterable[str]) -> list[Missing]:
    """The requirements that this installation does not meet."""
    return [lack for need in needs if (lack := _missing(need))]


def _missing(need: str) -> Missing | None:
    if _PLAIN_NAME.fullmatch(need):
        return None if _version(need) is not None else Missing(need, need)
    from packaging.requirements import Requirement

    requirement = Requirement(need)
    if requirement.marker and not requirement.marker.evaluate():
        return None
    version = _version(requirement.name)
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        return None
    requirement.marker = None  # pip gets the requirement without its condition
    return Missing(str(requirement), requirement.name, version or "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def pip_install(*requirements: str) -> str:
    """The shell command that installs them."""
    return f"pip install {' '.join(map(shlex.quote, requirements))}"


def normal_name(name: str) -> str:
    """A package's name, normalised as pip does."""
    return re.sub(r"[-_.]+", "-", name).lower()

"""The conformance kit as pytest tests: one for each component and check, and one for their package.

    pytest --fusionkit fusionkit-difference          # an installed package, or the path of a plugin file
    pytest --fusionkit difference.py -k gradients

In pyproject.toml, for every run of pytest that names no files:

    [tool.pytest.ini_options]
    fusionkit = ["fusionkit-difference"]

Test ids look like `fusion.difference: gradients`. Checks that cannot be run are skipped with the reason; a failure
that the component declares as an exception is an expected failure with that reason. pytest loads this module in every
session, so it imports nothing from fusionkit until it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fusionkit.components.declaration import Declaration
    from fusionkit.testing.conformance import Kit
    from fusionkit.testing.faults import Finding


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option and the setting, both named fusionkit."""
    text = "check an installed package of fusionkit components, or a plugin file, against the contract"
    group = parser.getgroup("fusionkit")
    group.addoption("--fusionkit", action="append", default=[], metavar="PACKAGE", dest="fusionkit_packages",
                    help=f"{text} (may be given several times)")
    parser.addini("fusionkit", f"{text}, in every run that names no files", type="linelist", default=[])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the tests, before -k selects among them."""
    packages = list(config.getoption("fusionkit_packages"))
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        packages += config.getini("fusionkit")
    for package in dict.fromkeys(packages):
        collector = Package.from_parent(session, name=package, path=config.rootpath)
        items.extend(collector.collect())


class Package(pytest.Collector):
    """An installed package, or a plugin file."""

    def collect(self) -> Iterator[pytest.Item]:
        """A test of the package itself, then one for each component and check."""
        from fusionkit.errors import UserError
        from fusionkit.testing.conformance import checks_of

        file = self.name.endswith(".py")
        if not file:
            yield Around.from_parent(self, name=f"{self.name}: package", nodeid=f"{self.name}::package")
        try:
            components = list(_in_file(self.name) if file else _in_package(self.name))
        except UserError as error:
            raise pytest.UsageError(str(error)) from None
        for component in components:
            group = ComponentGroup.from_parent(self, name=component.id, component=component)
            for check in checks_of(component):
                yield Item.from_parent(group, name=f"{component.id}: {check}", check=check,
                                       nodeid=f"{self.name}::{component.id}::{check}")


def _in_file(path: str) -> Iterator[Declaration]:
    from fusionkit.registry.lookup import discover

    yield from discover(files=[path]).providers[-1].components


def _in_package(package: str) -> Iterator[Declaration]:
    """Components of a package's catalogue that can be imported; the test of the package reports the others."""
    from fusionkit.components.declaration import Declaration
    from fusionkit.errors import GraphError
    from fusionkit.registry.lookup import discover
    from fusionkit.testing.distributions import find_distribution

    name, registry = find_distribution(package).name, discover()
    for entry in registry.entries:
        if entry.package == name:
            with suppress(GraphError):
                yield registry.load(entry.id, of=Declaration)


class ComponentGroup(pytest.Collector):
    """One component; its checks share its probes."""

    _latest: Kit | None = None

    def __init__(self, component: Declaration, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.component = component

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing: its package creates the tests."""
        return iter(())

    @property
    def kit(self) -> Kit:
        """The kit of the component; only the latest is cached, since each holds modules."""
        from fusionkit.testing.conformance import Kit

        kit = ComponentGroup._latest
        if kit is None or kit.component is not self.component:
            kit = ComponentGroup._latest = Kit(self.component)
        return kit


class _Reported(pytest.Item):
    """A test that reports a finding without a traceback."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The findings as text; internal errors with their traceback."""
        return str(excinfo.value) if isinstance(excinfo.value, NonConformityError) else super().repr_failure(excinfo)


class NonConformityError(Exception):
    """Findings that failed."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n\n".join(map(str, findings)))


class Item(_Reported):
    """One check of one component."""

    parent: ComponentGroup

    def __init__(self, check: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.check = check

    def runtest(self) -> None:
        """Passes, fails with the finding, is skipped, or fails as expected."""
        finding = self.parent.kit.finding(self.check)
        if finding.result == "not probed":
            pytest.skip(finding.seen + (f"; {finding.fix}" if finding.fix else ""))
        if finding.result == "excepted":
            pytest.xfail(finding.seen)
        if finding.result == "failed":
            raise NonConformityError([finding])

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the component is declared."""
        from fusionkit.testing.places import place_of

        file, _, line = place_of(self.parent.component).rpartition(":")
        return Path(file or self.path), int(line) - 1 if file else None, self.name


class Around(_Reported):
    """The checks of the package itself: entry point, hooks, catalogue, graphs, names, imports."""

    def runtest(self) -> None:
        """Fails with all faults."""
        from fusionkit.testing.packages.check import check_package

        assert self.parent is not None
        failed = [finding for finding in check_package(self.parent.name, components=False)
                  if finding.result == "failed"]
        if failed:
            raise NonConformityError(failed)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The folder in which pytest runs."""
        return self.path, None, self.name

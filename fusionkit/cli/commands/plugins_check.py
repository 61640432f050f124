"""`fusionkit plugins check`: an installed package or one component checked against the contract, as a table."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.testing.faults import Finding

SUMMARY = "Check an installed plugin package, or one component, against the contract."
_RESULTS = ("ok", "failed", "excepted", "not probed")
_FEW = 3  # components whose every check has a line of its own


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("package", metavar="PACKAGE", help="the name of an installed package, for example fusionkit, "
                                                           "or the id of a component, for example encoder.conv")


def run(args: Namespace, console: Console) -> int:
    """Run every check, then report all of them; 1 if a check failed."""
    from fusionkit.components.kinds import KINDS
    from fusionkit.registry.guard import output_apart
    from fusionkit.testing.packages.check import check_package
    from fusionkit.testing.packages.component import check_component

    kind, dot, _ = args.package.partition(".")
    check = check_component if dot and kind in KINDS else check_package
    with console.progress("checking") as update, output_apart():
        findings = check(args.package, update)
    show(findings, console)
    failed = any(finding.result == "failed" for finding in findings)
    console.data({"package": args.package, "passed": not failed, "findings": [f.as_json() for f in findings]})
    return 1 if failed else 0


def show(findings: Sequence[Finding], console: Console) -> None:
    """A table, then everything that is not ok in detail, then the counts."""
    owners = dict.fromkeys(finding.component for finding in findings)
    if len(owners) <= _FEW + 1:
        console.table(["of", "check", "result", "seen"],
                      [[f.component, f.check, f.result, f.seen if f.result == "ok" else "see below"] for f in findings])
    else:
        rows = [[owner, *_counted([f for f in findings if f.component == owner])] for owner in owners]
        console.table(["of", "ok", "failed", "excepted", "not probed"], rows, right=(1,))
    here = f"{Path.cwd()}{os.sep}"
    for finding in _together(finding for finding in findings if finding.result != "ok"):
        console.line(f"\n{finding}".replace(here, ""))
    counts = {result: sum(f.result == result for f in findings) for result in _RESULTS}
    console.line(f"\n{', '.join(f'{count} {result}' for result, count in counts.items())}")


def _counted(findings: Sequence[Finding]) -> list[str]:
    """How many checks passed, and the names of the others."""
    return [str(sum(finding.result == "ok" for finding in findings)),
            *(", ".join(finding.check for finding in findings if finding.result == result) for result in _RESULTS[1:])]


def _together(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that differ only in their check, merged into one that names all of these checks."""
    checks: dict[Finding, list[str]] = {}
    for finding in findings:
        checks.setdefault(replace(finding, check=""), []).append(finding.check)
    return [replace(finding, check=", ".join(names)) for finding, names in checks.items()]

"""`fusionkit plugins check PACKAGE`: an installed package held against the contract, one row for each check."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace

from fusionkit.console import Console
from fusionkit.testing.conformance import Finding
from fusionkit.testing.packages import check_package


def run(args: Namespace, console: Console) -> int:
    """Check everything, then say all of it; 1 when a check failed."""
    with console.progress("checking") as update:
        findings = check_package(args.package, update)
    show(findings, console)
    failed = any(finding.result == "failed" for finding in findings)
    console.data({"package": args.package, "passed": not failed, "findings": [f.as_json() for f in findings]})
    return 1 if failed else 0


def show(findings: list[Finding], console: Console) -> None:
    """The rows, then every failure and every note in full, then the count."""
    console.table(["component", "check", "result", "seen"],
                  [[f.component, f.check, f.result, f.seen if f.result == "ok" else "see below"] for f in findings])
    for finding in _together(finding for finding in findings if finding.result != "ok"):
        console.line(f"\n{finding}")
    counts = {result: sum(f.result == result for f in findings) for result in ("ok", "failed", "not probed")}
    console.line(f"\n{', '.join(f'{count} {result}' for result, count in counts.items())}")


def _together(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that differ in their check only, as one that names all of these checks."""
    checks: dict[Finding, list[str]] = {}
    for finding in findings:
        checks.setdefault(replace(finding, check=""), []).append(finding.check)
    return [replace(finding, check=", ".join(names)) for finding, names in checks.items()]

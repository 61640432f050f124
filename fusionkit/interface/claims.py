"""`fusionkit.run_claim`: train what a publication describes, and hold its figures against what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack

from fusionkit import __version__
from fusionkit.claims.file import VERSION_KEY, PublishedClaim, read_claim, with_weights
from fusionkit.claims.verdict import NO_DATA, ClaimFinding, OwnFigure, judge, overall
from fusionkit.errors import DataError, Diagnostic, GraphError, did_you_mean
from fusionkit.evaluation.report import HeadReport
from fusionkit.files import sha256_of, write_json
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.keywords import spell_out
from fusionkit.interface.train import TrainedRun, of_launch, train
from fusionkit.network.folder import WEIGHTS
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.job import is_main
from fusionkit.syntax.text_changes import in_one_line

RESULT = "claim.json"


class MachineOptions(TypedDict, total=False):
    """Where and how a claim is computed, which is no part of it."""

    device: str | None
    precision: str | None
    threads: int | None
    workers: str | int | None
    seed: int | None


@dataclass(frozen=True)
class ClaimResult:
    """What became of a claim: `verdict` of all its figures, the findings one by one, and where everything is.

    `folder` is None where there are no data. `test_cases` has the number of test cases of each row.
    """

    claim: PublishedClaim
    verdict: str
    findings: tuple[ClaimFinding, ...] = ()
    folder: Path | None = None
    test_cases: dict[str, int] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """One record for each figure."""
        return [each.to_json() for each in self.findings]

    def as_json(self) -> dict[str, Any]:
        """The result as plain data."""
        return {"claim": self.claim.name, "title": self.claim.content.title, "source": self.claim.content.source,
                "verdict": self.verdict, "folder": str(self.folder) if self.folder else None,
                "test_cases": self.test_cases, "findings": self.rows()}


def find_claim(claim: str | Path, registry: Registry | None = None) -> PublishedClaim:
    """A claim by the path of its file, or by the name under which a package publishes it.

    Raises: GraphError with `unknown-claim`, and what `read_claim` raises.
    """
    path = Path(claim)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return read_claim(path)
    known = (registry or discover()).claims
    if str(claim) not in known:
        raise GraphError(Diagnostic("unknown-claim", f"no installed package publishes a claim named {str(claim)!r}",
                                    fix=did_you_mean(str(claim), known, "`fusionkit claims list` has their names; "
                                                                        "give the path of a file for another")))
    return read_claim(known[str(claim)])


@spell_out(MachineOptions)
def run_claim(
    claim: str | Path,
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    rows: Sequence[str] = (),
    resume: bool = False,
    data_roots: Sequence[str | Path] = (),
    plugins: Sequence[str | Path] = (),
    quiet: bool = False,
    console: Console | None = None,
    **machine: Unpack[MachineOptions],
) -> ClaimResult:
    """Train the rows of a claim on `data`, each with the steps that it starts from, and compare the test figures.

    `rows` are all of them if none are named. Every training is a run in the folder `output` (default: `claim-NAME`),
    which `claim.json` closes. `resume` continues in that folder: finished trainings are kept. Without `data` nothing is
    trained and the verdict is `data not here`. Of folds the figures are those over all test cases.
    Raises: GraphError or DataError for what is wrong with the claim, the data or the names; RunError when training
    fails. In a launch of several processes only the first one compares and writes.
    """
    registry = discover(files=[str(file) for file in plugins])
    found = find_claim(claim, registry)
    chosen = _rows(found, rows)
    if data is None:
        return ClaimResult(found, NO_DATA)
    folder = Path(output) if output is not None else Path(f"claim-{found.name}")
    told = of_launch(console_for(console, quiet))
    work = _Work(found, Path(data), folder, resume, told,
                 {"data_roots": data_roots, "plugins": plugins, **machine})
    if is_main():  # the others find what it has begun
        _refuse_other_claims(found, folder, resume)
    findings: list[ClaimFinding] = []
    test_cases: dict[str, int] = {}
    for name in chosen:
        for other in found.before(name):
            work.train(other)
        reports = work.train(name).evaluation.reports
        if not is_main():
            continue  # of a launch of several processes the first one evaluates
        findings += judge(found, name, _measured(reports))
        test_cases[name] = max((each.counts.cases for each in reports), default=0)
    made = ClaimResult(found, overall(findings), tuple(findings), folder, test_cases)
    if is_main():
        write_json(folder / RESULT, {VERSION_KEY: 1, **made.as_json(), "sha256": sha256_of(found.file),
                                     "fusionkit": __version__})
    return made


@dataclass
class _Work:
    """The trainings of a claim, each done once."""

    claim: PublishedClaim
    data: Path
    folder: Path
    resume: bool
    console: Console
    options: dict[str, Any]
    done: dict[str, TrainedRun] = field(default_factory=dict)

    def train(self, name: str) -> TrainedRun:
        """A training of the claim, continued or kept where its folder is there and that was asked for."""
        if name not in self.done:
            step = self.claim.training(name)
            weights = {other: run.folder / WEIGHTS for other, run in self.done.items()}
            sets = [f"{path}={in_one_line(with_weights(value, weights))}" for path, value in step.sets.items()]
            sets += [f"training.{key}={in_one_line(value)}" for key, value in step.training.items()]
            graph, folder = self.claim.graph(step), self.folder / name
            self.console.line(" ".join([f"{name}: {graph}", *(f"--set {each}" for each in sets)]))
            self.done[name] = train(graph, self.data, output=folder, sets=sets, console=self.console,
                                    resume=self.resume and folder.exists(), **self.options)
        return self.done[name]


def _rows(claim: PublishedClaim, asked: Sequence[str]) -> tuple[str, ...]:
    known = claim.content.rows
    for name in asked:
        if name not in known:
            raise GraphError(Diagnostic("unknown-claim", f"the claim {claim.name!r} has no row {name!r}",
                                        fix=did_you_mean(name, known, f"its rows are {', '.join(known)}")))
    return tuple(name for name in known if not asked or name in asked)


def _refuse_other_claims(claim: PublishedClaim, folder: Path, resume: bool) -> None:
    """A folder with other work in it is refused; with `resume`, one of another claim is."""
    if folder.exists() and not resume and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(Diagnostic("folder-not-empty", f"{str(folder)!r} already exists and is not an empty folder",
                                   fix="give another -o, or go on in it: --resume"))
    names = {RESULT, *claim.content.steps, *claim.content.rows}
    strange = sorted(each.name for each in folder.iterdir() if each.name not in names) if folder.is_dir() else []
    if strange:
        raise DataError(Diagnostic("folder-not-empty", f"{str(folder)!r} holds {strange[0]!r}, which is no part of the "
                                   f"claim {claim.name!r}", fix="give another -o"))


def _measured(reports: Sequence[HeadReport]) -> dict[str, OwnFigure]:
    """Every figure by HEAD.METRIC, and of one head alone by METRIC; of two classes those of the positive one."""
    found: dict[str, OwnFigure] = {}
    for report in reports:
        classes = list(report.per_class.values()) if len(report.per_class) == 1 else []
        for metrics in (*classes, report.metrics):
            for name, each in metrics.items():
                figure = OwnFigure(each.value, each.low, each.high)
                found[f"{report.head}.{name}"] = figure
                if len(reports) == 1:
                    found[name] = figure
    return found

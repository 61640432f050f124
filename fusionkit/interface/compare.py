"""`fusionkit.compare`: several fusions in one node of a graph, trained identically, in one table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Unpack, get_args

from fusionkit.comparison import tabicl as pretrained
from fusionkit.comparison import tables
from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.comparison.claim import Claim, check_unit, claim_of
from fusionkit.comparison.html_report import as_html
from fusionkit.comparison.jobs.claims import Claims
from fusionkit.comparison.jobs.launch import check_jobs, run_jobs
from fusionkit.comparison.jobs.request import Request
from fusionkit.comparison.jobs.work import JOBS, sharing_of, work_units
from fusionkit.comparison.manifest import claim_comparison, declare
from fusionkit.comparison.rank_plot import draw_ranks
from fusionkit.comparison.scoring import HeadRanking, metrics_of, rank_candidates
from fusionkit.comparison.shared_training import Reuse, SharedTrainer, ways_taken
from fusionkit.comparison.simple_rows import CONSTANT, without_networks
from fusionkit.comparison.tables import ComparisonResult
from fusionkit.comparison.train import RUNS, RepeatOutputs, Unit, finished, train_all, tuning_records, units_of
from fusionkit.comparison.tuning import Tuner, tuning_of
from fusionkit.components.component import Component
from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic, RunError, UserError
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.files import write_text
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.keywords import spell_out
from fusionkit.interface.tables import html_table
from fusionkit.interface.training_options import TrainingOptions
from fusionkit.planning.frozen_weights import frozen_random
from fusionkit.planning.open_graph import Source
from fusionkit.registry.lookup import discover
from fusionkit.runs.lock import locked
from fusionkit.runs.recipe_comparison import recipe_findings
from fusionkit.runs.training_mark import training_mark

MOST_REPEATS = 1000


@dataclass(frozen=True)
class Comparison:
    """A finished comparison and the folder of its report; `failed` maps each omitted network to the reason."""

    folder: Path
    result: ComparisonResult
    failed: Mapping[str, str]

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / tables.REPORT

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, as `--json` prints it."""
        return tables.as_json(self.result, {"folder": str(self.folder)})

    def rows(self) -> list[dict[str, Any]]:
        """One record for each network of each head, the best first, with its difference from the reference."""
        found = []
        for head, ranking in self.as_json()["heads"].items():
            for row in ranking["rows"]:
                difference = {f"difference_{name}": value for name, value in (row.pop("difference") or {}).items()}
                found.append({"head": head, "metric": ranking["metric"], **row, **difference})
        return found

    def _repr_html_(self) -> str:
        return "".join(
            html_table([tables.summary(self.result, each), *tables.header(each)[1:]], tables.table(self.result, each))
            + "".join(f"<p>{escape(text)}</p>" for text in tables.verdicts(each)) for each in self.result.rankings)


@spell_out(TrainingOptions)
def compare(
    graph: Source,
    data: str | Path,
    *,
    node: str,
    candidates: str,
    folds: int | None = None,
    repeats: int = 1,
    seeds: int = 1,
    margin: float | None = None,
    claim: str | None = None,
    tune: int | None = None,
    inner: str = "holdout",
    metric: str | None = None,
    reuse: Reuse = "auto",
    jobs: int = 1,
    baselines: bool = True,
    tabicl: str | Path | None = None,
    memory: int = pretrained.MEMORY,
    output: str | Path = "compare",
    data_roots: Sequence[str | Path] = (),
    sets: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    quiet: bool = False,
    console: Console | None = None,
    **settings: Unpack[TrainingOptions],
) -> Comparison:
    """Check every candidate, train them on the same cases and seeds, and write a report into the folder `output`.

    The options are those of `fusionkit compare`, whose `--with` is `candidates` here, as in
    `"fusion.sum,fusion.gmu{width: 16}"`, and whose `--no-baselines` is `baselines=False`. The settings of training win
    over those of the graph; None means the graph's own. Your own components come from the Python files `plugins`, or as
    `components`. `tabicl` is a file of TabICL's weights, which adds a row; `memory` is how many MB it may take. `jobs`
    above 1 trains in as many processes. `quiet` hides notes and progress; `console` is where they are shown. Repeating
    the call resumes from the folder.
    Raises: UserError with everything that is wrong; RunError when the reference cannot be trained.
    """
    _check_arguments(folds, repeats, seeds, reuse)
    check_jobs(jobs)
    if jobs > 1 and components:
        raise UserError(Diagnostic("bad-argument", "jobs do not know components that are given as objects",
                                   why="they are other processes",
                                   fix="give the file of the components: plugins=[...]"))
    asked, tuning = claim_of(margin, claim), tuning_of(tune, inner)
    weights = None if tabicl is None else pretrained.read_weights(tabicl)
    console, folder = console_for(console, quiet), Path(output)
    request = Request(
        graph if isinstance(graph, Mapping) else str(graph), str(data), node, candidates, folds, repeats, seeds, tuning,
        reuse, baselines, tuple(sets), tuple(map(str, plugins)), tuple(map(str, data_roots)),
        {name: value for name, value in settings.items() if value is not None})
    registry = discover(components=components, files=list(request.plugins))
    with console.progress("reading") as update:
        comparison = request.plan(registry, update)
    heads = [head for head in comparison.reference.plan.heads if head.name in comparison.heads]
    metrics = metrics_of(heads, metric, registry)
    check_unit(asked, metrics)
    cohorts = request.cohorts(comparison)
    units = units_of(comparison, cohorts)
    if weights:
        pretrained.check_memory(comparison.cohort, units, memory)
    with locked(folder):
        claim_comparison(folder, comparison, repeats, seeds, tuning)
        to_show, declared = declare(folder, asked, {head: each.key for head, each in metrics.items()},
                                    finished(folder, comparison))
        for warning in (*comparison.cohort.warnings,
                        *recipe_findings(comparison.reference.plan, comparison.cohort.description),
                        *frozen_random(comparison.reference.plan)):
            console.note(warning.render())
        for text in [*comparison.notes, *(f"{name} is left out: {why}" for name, why in comparison.left_out)]:
            console.line(text)
        tuner = Tuner(comparison, tuning, Path(data), console) if tuning else None
        if tuning:
            console.line(f"each of {len(comparison.candidates)} networks has {tuning.trials} trials in each of "
                         f"{len(units)} splits, on {tuning.text}: "
                         f"{tuning.trainings * len(units) * len(comparison.candidates):,} trainings, and one more each "
                         "with what is chosen")
        if jobs == 1 and Claims(folder / JOBS).held_elsewhere():
            raise DataError(Diagnostic("folder-in-use", f"jobs of an earlier call still work in {str(folder)!r}",
                                       fix="wait until they have saved, or go on beside them: --jobs 2"))
        given_up = _in_jobs(request, comparison, cohorts, folder, jobs, console, tuner) if jobs > 1 else None
        trained = train_all(comparison, cohorts, folder, Path(data), console, reuse=reuse, tuner=tuner,
                            given_up=given_up)
        fitted, missing = (without_networks(cohorts, units, heads, comparison.settings.seed) if baselines else ({}, []))
        read, unread = pretrained.fit_tabicl(weights, cohorts, units, heads, comparison.settings)
        missing += unread
        missing += [(head.name, f"this head is not measured by {metric}") for head in heads if head.name not in metrics]
        for name, why in missing:
            console.line(f"{name} is left out: {why}")
        outcomes = {**trained.outcomes, **fitted, **read}
        ranked = _ranked(comparison, metrics, outcomes, units, claim=to_show, seeds=seeds, console=console)
        failed = [(name, f"failed: {why}") for name, why in trained.failed.items()]
        result = ComparisonResult(comparison, tuple(units), ranked, tables.seconds_of(outcomes),
                                  (*comparison.left_out, *missing, *failed), ways_taken(folder),
                                  {each.name: mark for each in comparison.candidates
                                   if (mark := training_mark(folder / RUNS / each.folder))}, seeds, declared,
                                  tuning_records(folder, comparison) if tuning else {})
        named = comparison.reference.plan.name if isinstance(graph, Mapping) else str(graph)
        about: dict[str, Any] = {"graph": named, "data": str(data)}
        _write(folder, result, {**about, "tabicl": weights.as_json()} if weights else about)
        return Comparison(folder, result, trained.failed)


def _in_jobs(
    request: Request, comparison: ComparisonPlan, cohorts: Sequence[Cohort], folder: Path, jobs: int, console: Console,
    tuner: Tuner | None,
) -> dict[str, str]:
    """Train in several processes; gives the networks that failed, with the reason."""
    trainer = SharedTrainer(comparison, request.reuse, console)
    units = work_units(comparison, cohorts, sharing_of(trainer, tuner))
    failed = run_jobs(request, folder, units, jobs, console, threads=comparison.settings.threads,
                      device=comparison.settings.device)
    if why := failed.get(comparison.reference.name):
        raise RunError(why)
    return failed


def _check_arguments(folds: int | None, repeats: int, seeds: int, reuse: str) -> None:
    found = []
    if folds is not None and folds < 2:
        found.append(Diagnostic("bad-argument", f"--folds cannot be {folds}", why="each fold is tested by a network "
                                "trained on the others", fix="use at least 2, for example --folds 5"))
    for flag, count in (("--repeats", repeats), ("--seeds", seeds)):
        if not 1 <= count <= MOST_REPEATS:
            found.append(Diagnostic("bad-argument", f"{flag} cannot be {count}",
                                    fix=f"use at least 1 and at most {MOST_REPEATS:,}"))
    if repeats > 1 and seeds > 1:
        found.append(Diagnostic("bad-argument", "--repeats and --seeds exclude each other",
                                why="repeats draw folds and seeds anew, seeds keep the folds: the variance is split "
                                "into folds and seeds on one division only", fix="give one of them"))
    if reuse not in get_args(Reuse):
        found.append(Diagnostic("bad-argument", f"--reuse cannot be {reuse!r}",
                                fix=f"choose one of {', '.join(get_args(Reuse))}"))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        found.append(Diagnostic("bad-argument", "candidates are compared in one process",
                                fix="start it without torchrun"))
    if found:
        raise UserError(found)


def _ranked(
    comparison: ComparisonPlan, metrics: Mapping[str, ChosenMetric], outcomes: Mapping[str, tuple[RepeatOutputs, ...]],
    units: Sequence[Unit], *, claim: Claim | None, seeds: int, console: Console,
) -> tuple[HeadRanking, ...]:
    """Every network of every measured head; an entry without a candidate is a baseline without a network."""
    kinds = {**dict.fromkeys(outcomes, "table"), CONSTANT: "constant", pretrained.NAME: "pretrained",
             **{each.name: each.kind for each in comparison.candidates}}
    heads = [head for head in comparison.reference.plan.heads if head.name in metrics]
    ranked = []
    with console.progress("comparing") as update:
        for done, head in enumerate(heads):
            own = {name: repeats for name, repeats in outcomes.items() if head.name in repeats[0].heads}
            ranked.append(rank_candidates(head, metrics[head.name], own, kinds, units, cohort=comparison.cohort,
                                          seed=comparison.settings.seed, seeds=seeds, claim=claim))
            update(done + 1, len(metrics))
    return tuple(ranked)


def _write(folder: Path, result: ComparisonResult, about: Mapping[str, Any]) -> None:
    tables.write_tables(folder, result, about)
    draw_ranks(folder, result.rankings)
    write_text(folder / tables.REPORT, as_html(result, folder))

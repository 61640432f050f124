"""`fusionkit.compare`: several fusions in one node of a graph, trained identically, in one table."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, Unpack, get_args

from fusionkit.comparison import tabicl as pretrained
from fusionkit.comparison import tables
from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.comparison.claim import Claim, check_unit, claim_of
from fusionkit.comparison.forecast import Forecast, forecast, is_worth_it
from fusionkit.comparison.html_report import as_html
from fusionkit.comparison.jobs.budget import check_fits, rule_of, seconds_of_budget
from fusionkit.comparison.jobs.forked import forking
from fusionkit.comparison.jobs.launch import check_jobs
from fusionkit.comparison.jobs.launchers import Launcher, check_launcher
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.run import Accounts, JobLimits, refuse_other_jobs, train_in_units
from fusionkit.comparison.learning import draw_learning, learned_by
from fusionkit.comparison.manifest import claim_comparison, declare
from fusionkit.comparison.missing_plot import draw_missing
from fusionkit.comparison.missing_rates import AtRate, MissingInputs, rates_of
from fusionkit.comparison.order_plot import draw_orders
from fusionkit.comparison.outcomes import RepeatOutputs
from fusionkit.comparison.rank_order import rank_order
from fusionkit.comparison.rank_plot import draw_ranks
from fusionkit.comparison.scoring import HeadRanking, metrics_of, rank_candidates
from fusionkit.comparison.search_space import misfits, settable
from fusionkit.comparison.shared_training import Reuse, SharedTrainer, ways_taken
from fusionkit.comparison.simple_rows import CONSTANT, without_networks
from fusionkit.comparison.space_file import SpaceFile, read_space
from fusionkit.comparison.tables import ComparisonResult
from fusionkit.comparison.train import RUNS, Unit, finished, settings_of, train_all, tuning_records, units_of
from fusionkit.comparison.tuned_tables import TableSearch, names_in_space
from fusionkit.comparison.tuning import Tuner, tuning_of
from fusionkit.components.component import Component
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, UserError
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.files import write_text
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.keywords import spell_out
from fusionkit.interface.tables import html_table
from fusionkit.interface.training_options import TrainingOptions
from fusionkit.planning.frozen_weights import frozen_random
from fusionkit.planning.open_graph import Source
from fusionkit.registry.lookup import Registry, discover
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
    choose: str = "best",
    prune: bool = False,
    space: str | Path | None = None,
    metric: str | None = None,
    reuse: Reuse = "auto",
    jobs: int = 1,
    launcher: Launcher = "processes",
    launcher_options: Sequence[str] = (),
    budget: str | None = None,
    missing_rates: str | None = None,
    dropout_rows: float = 0.0,
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
    above 1 trains in as many processes, or in jobs of a cluster with `launcher="slurm"` or `"ray"`; `budget` is a time
    such as "8h", within which whole folds are run. At `missing_rates`, such as "0,0.2,0.5", inputs of test cases are
    left out at random; `dropout_rows` adds every network that can do without one, trained with this modality dropout.
    `quiet` hides notes and progress; `console` is where they are shown. Repeating the call resumes from the folder.
    Raises: UserError with everything that is wrong; RunError when the reference cannot be trained.
    """
    _check_arguments(folds, repeats, seeds, reuse, dropout_rows)
    check_jobs(jobs)
    own = check_launcher(launcher, launcher_options)
    if (jobs > 1 or launcher != "processes") and components:
        raise UserError(Diagnostic("bad-argument", "jobs do not know components that are given as objects",
                                   why="they are other processes",
                                   fix="give the file of the components: plugins=[...]"))
    seconds = seconds_of_budget(budget)
    asked, rates = claim_of(margin, claim), rates_of(missing_rates)
    overrides = None if space is None else read_space(space)
    tuning = tuning_of(tune, inner, rule=choose, prune=prune, space=overrides.overrides if overrides else None)
    weights = None if tabicl is None else pretrained.read_weights(tabicl)
    console, folder = console_for(console, quiet), Path(output)
    request = ComparisonRequest(
        graph if isinstance(graph, Mapping) else str(graph), str(data), node, candidates, folds, repeats, seeds, tuning,
        reuse, baselines, dropout_rows, tuple(sets), tuple(map(str, plugins)), tuple(map(str, data_roots)),
        {name: value for name, value in settings.items() if value is not None})
    registry = discover(components=components, files=list(request.plugins))
    given = _Given(request, registry, asked, metric, weights, memory, rates, folder, overrides)
    with forking(jobs if launcher == "processes" else 1, str(settings.get("device") or "auto")) as server:
        return _compared(given, JobLimits(jobs, seconds, launcher=launcher, options=own, server=server), console)


@dataclass(frozen=True)
class _Given:
    """The arguments of a comparison, checked."""

    request: ComparisonRequest
    registry: Registry
    claim: Claim | None
    metric: str | None
    tabicl: pretrained.TabIclWeights | None
    memory: int
    rates: Sequence[float]
    folder: Path
    space: SpaceFile | None


def _compared(given: _Given, limits: JobLimits, console: Console) -> Comparison:
    """Plan and train all, and write the report."""
    request, registry, folder = given.request, given.registry, given.folder
    data, tuning, repeats, seeds = request.data, request.tuning, request.repeats, request.seeds
    reuse, weights = request.reuse, given.tabicl
    if limits.server is not None:
        limits.server.plan(request.to_text())
    with console.progress("reading") as update:
        comparison = request.plan(registry, update)
    if limits.server is not None:
        limits.server.data_are_read()
    if given.space is not None:
        given.space.check([*(name for each in comparison.candidates for name in settable(each.plan)),
                           *names_in_space()],
                          misfits([each.plan for each in comparison.candidates], given.space.overrides))
    heads = [head for head in comparison.reference.plan.heads if head.name in comparison.heads]
    metrics = metrics_of(heads, given.metric, registry)
    check_unit(given.claim, metrics)
    cohorts = request.cohorts(comparison)
    units = units_of(comparison, cohorts)
    if weights:
        pretrained.check_memory(comparison.cohort, units, given.memory)
    with locked(folder):
        claim_comparison(folder, comparison, repeats, seeds, tuning)
        to_show, declared = declare(folder, given.claim, {head: each.key for head, each in metrics.items()},
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
        if not limits.in_units:
            refuse_other_jobs(folder)
        begun = (folder / RUNS).exists()
        expected = _forecast(request, comparison, cohorts[0], units, limits, begun=begun, console=console)
        ran = train_in_units(request, comparison, cohorts, folder, console, limits=limits, tuner=tuner,
                             expected=expected) if limits.in_units else None
        trained = train_all(comparison, cohorts, folder, Path(data), console, reuse=reuse, tuner=tuner,
                            given_up=ran.failed if ran else None, folds=ran.folds if ran else None)
        splits = units
        if ran:
            units, cohorts = ran.units(splits), cohorts[: len(ran.folds)]
        search = TableSearch(tuning, [settings_of(comparison, repeat).seed for repeat in range(len(cohorts))], heads,
                             folder, reporter=console) if tuning else None
        if search and request.baselines:
            console.line("scikit-learn's rows are tuned alike, in this process")
        fitted, missing = (without_networks(cohorts, units, heads, comparison.settings.seed, search)
                           if request.baselines else ({}, []))
        read, unread = pretrained.fit_tabicl(weights, cohorts, units, heads, comparison.settings)
        missing += unread
        missing += [(head.name, f"this head is not measured by {given.metric}") for head in heads
                    if head.name not in metrics]
        for name, why in missing:
            console.line(f"{name} is left out: {why}")
        outcomes = {**trained.outcomes, **fitted, **read}
        ranked = _ranked(comparison, metrics, outcomes, units, claim=to_show, seeds=seeds, console=console)
        without = MissingInputs(comparison, cohorts, units, folder, Path(data), registry=registry)
        absent, cannot = _without_inputs(without, given.rates, ranked, metrics, seeds=seeds, console=console)
        failed = [(name, f"failed: {why}") for name, why in trained.failed.items()]
        tuned = {**tuning_records(folder, comparison), **search.records()} if search else {}
        accounts = Accounts(expected, limits, len(comparison.candidates), splits, units, time.time() - limits.begin,
                            resumed=begun)
        result = ComparisonResult(comparison, tuple(units), ranked, tables.seconds_of(outcomes),
                                  (*comparison.left_out, *missing, *failed), ways_taken(folder),
                                  {each.name: mark for each in comparison.candidates
                                   if (mark := training_mark(folder / RUNS / each.folder))}, seeds, declared,
                                  tuned, accounts.texts(),
                                  accounts.to_json(), absent, cannot,
                                  {each.head.name: order for each in ranked
                                   if (order := rank_order(each, units, seeds)) is not None},
                                  learned_by(comparison, folder))
        named = comparison.reference.plan.name if isinstance(request.graph, Mapping) else str(request.graph)
        about: dict[str, Any] = {"graph": named, "data": data}
        _write(folder, result, {**about, "tabicl": weights.as_json()} if weights else about)
        return Comparison(folder, result, trained.failed)


def _forecast(
    request: ComparisonRequest, comparison: ComparisonPlan, cohort: Cohort, units: Sequence[Unit], limits: JobLimits, *,
    begun: bool, console: Console,
) -> Forecast | None:
    """Say what the trainings will take, and refuse a budget that is too small for one fold; None where it is little."""
    if limits.seconds is None and not is_worth_it(comparison, units, request.tuning):
        return None
    trainer = SharedTrainer(comparison, request.reuse, console)
    with console.progress("measuring steps"):
        found = forecast(comparison, cohort, units, Path(request.data), trainer, reuse=request.reuse,
                         tuning=request.tuning, tables=request.baselines)
    for text in found.lines(limits.jobs):
        console.line(text)
    if limits.seconds is not None:
        if not begun:
            check_fits(limits.seconds, found, limits.jobs, time.time() - limits.begin)
        console.line(rule_of(limits.seconds, len(comparison.candidates)))
    return found


def _check_arguments(folds: int | None, repeats: int, seeds: int, reuse: str, dropout_rows: float) -> None:
    found = []
    if not 0 <= dropout_rows < 1:
        found.append(Diagnostic("bad-argument", f"--dropout-rows cannot be {dropout_rows:g}",
                                why="it is the probability with which training hides an input",
                                fix="give a number from 0 to below 1, such as 0.3"))
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


def _without_inputs(
    missing: MissingInputs, rates: Sequence[float], ranked: Sequence[HeadRanking],
    metrics: Mapping[str, ChosenMetric], *, seeds: int, console: Console,
) -> tuple[dict[str, list[AtRate]], Mapping[str, str]]:
    """Every network of each head at every rate of absent inputs, and those that cannot be measured."""
    found: dict[str, list[AtRate]] = {}
    networks = {each.name for each in missing.comparison.candidates}
    names = [each.name for each in missing.comparison.candidates
             if any(row.name == each.name for row in ranked[0].rows)] if ranked else []
    for rate in rates:
        if rate:
            with console.progress(f"inputs absent at a rate of {rate:g}") as update:
                outcomes = missing.outcomes(names, rate, update)
            at = _ranked(missing.comparison, metrics, outcomes, missing.units, claim=None, seeds=seeds,
                         console=console) if outcomes else ()
        else:
            at = tuple(replace(each, rows=tuple(row for row in each.rows if row.name in networks), claim=None)
                       for each in ranked)
        for ranking in at:
            if missing.comparison.reference.name in missing.left_out:
                # Without the reference there is nothing that the others differ from.
                ranking = replace(ranking, rows=tuple(replace(row, paired=None) for row in ranking.rows))
            found.setdefault(ranking.head.name, []).append(AtRate(rate, ranking))
    for name, why in missing.left_out.items():
        console.line(f"{name} cannot be measured without an input: {why}")
    return found, missing.left_out


def _write(folder: Path, result: ComparisonResult, about: Mapping[str, Any]) -> None:
    tables.write_tables(folder, result, about)
    draw_ranks(folder, result.rankings)
    draw_missing(folder, result.absent)
    draw_orders(folder, result.orders)
    draw_learning(folder, result.learned)
    write_text(folder / tables.REPORT, as_html(result, folder))

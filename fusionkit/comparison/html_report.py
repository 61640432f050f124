"""A self-contained HTML report: what was compared, on which cases, the table, the plot, and the limitations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from fusionkit import __version__
from fusionkit.comparison.learning import STEM as CURVES
from fusionkit.comparison.learning import learning_table, learning_texts
from fusionkit.comparison.missing_plot import missing_stem
from fusionkit.comparison.missing_rates import missing_table, missing_texts
from fusionkit.comparison.order_plot import order_stem
from fusionkit.comparison.outlook import (
    declared_texts,
    outlook_table,
    outlook_texts,
    stability_table,
    tuning_table,
    tuning_texts,
)
from fusionkit.comparison.rank_order import order_table, order_texts
from fusionkit.comparison.rank_plot import stem_of
from fusionkit.comparison.scoring import HeadRanking, ScoreRow
from fusionkit.comparison.tables import (
    KIND_TEXTS,
    ComparisonResult,
    divisions,
    header,
    numbers_of,
    summary,
    table,
    verdicts,
)
from fusionkit.data.cohort import Cohort
from fusionkit.pages import bullets, page, picture, table_of_rows
from fusionkit.pages import table as plain_table
from fusionkit.syntax.writer import write

_FEW = 5  # folds and repeats below which a t test has little power


def as_html(compared: ComparisonResult, folder: Path) -> str:
    """The page, with the pictures of `folder` embedded."""
    comparison = compared.comparison
    name = comparison.reference.plan.name
    parts = [
        f"<h1>{escape(name)}: {len(comparison.candidates)} networks compared at node {escape(comparison.node)}</h1>",
        f'<p class="quiet">{escape(_versions(compared))}</p>',
        *(part for ranking in compared.rankings for part in _head(compared, ranking, folder)),
        *_learning(compared, folder), *_accounts(compared), *_declared(compared), *_tuned(compared),
        "<h2>How to read it</h2>", bullets(_reading(compared)),
        "<h2>What it does not show</h2>", bullets(_cautions(compared)),
        *_left_out(compared), "<h2>What was compared</h2>", _networks(compared),
        "<h2>Cases</h2>", bullets(_cases(compared)), _units(compared),
        "<h2>Training settings, the same for all</h2>",
        f"<pre>{escape(write(comparison.settings.model_dump(mode='json', exclude_none=True)))}</pre>",
        *_sharing(compared),
    ]
    return page(f"{name}: fusions compared", parts, landscape=True)


def _versions(compared: ComparisonResult) -> str:
    """fusionkit and every package that a network has a component of."""
    packages = {"fusionkit": __version__}
    for each in compared.comparison.candidates:
        packages |= each.plan.packages
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def _head(compared: ComparisonResult, ranking: HeadRanking, folder: Path) -> list[str]:
    label = f"{ranking.label} of every network with its interval, and its difference from the reference"
    names = [name if place else "network" for place, name in enumerate(header(ranking))]
    every = table(compared, ranking)
    # An empty column of notes is left out.
    width = len(names) if any(cells[-1] for cells in every) else len(names) - 1
    names, every = names[:width], [cells[:width] for cells in every]
    numbers = numbers_of(names)
    rows = [_row(cells, row, numbers) for cells, row in zip(every, ranking.rows, strict=True)]
    return [f"<h2>{escape(summary(compared, ranking))}</h2>",
            *(f"<p><strong>{escape(text)}</strong></p>" for text in verdicts(ranking)),
            table_of_rows(names, rows, numbers),
            picture(folder / f"{stem_of(ranking.head.name)}.svg", label), *_outlook(ranking),
            *_order(compared, ranking, folder), *_absent(compared, ranking, folder)]


def _order(compared: ComparisonResult, ranking: HeadRanking, folder: Path) -> list[str]:
    order = compared.orders.get(ranking.head.name)
    if order is None:
        return []
    names, rows = order_table(order)
    return ["<h3>Ranks over the folds, and which networks are not shown to differ</h3>",
            plain_table(["network", *names[1:]], rows, (1,), "small"),
            picture(folder / f"{order_stem(ranking.head.name)}.svg", "the mean rank of every network"),
            bullets(order_texts(order))]


def _learning(compared: ComparisonResult, folder: Path) -> list[str]:
    if not compared.learned:
        return []
    names, rows = learning_table(compared.learned)
    return ["<h2>Learning curves</h2>", plain_table(["network", *names[1:]], rows, (1, 2, 3, 4), "small"),
            picture(folder / f"{CURVES}.svg", "the losses of every network by epoch"),
            bullets(learning_texts(compared.learned))]


def _absent(compared: ComparisonResult, ranking: HeadRanking, folder: Path) -> list[str]:
    found = compared.absent.get(ranking.head.name)
    if not found:
        return []
    names, rows = missing_table(found)
    return ["<h3>Without some of the inputs</h3>",
            plain_table(["network", *names[1:]], rows, range(1, len(names)), "small"),
            picture(folder / f"{missing_stem(ranking.head.name)}.svg", "the metric over the rate of absent inputs"),
            bullets(missing_texts(compared.absent_left_out, compared.comparison))]


def _accounts(compared: ComparisonResult) -> list[str]:
    texts = compared.accounts
    return ["<h2>Time: what was expected, and what was run</h2>", bullets(texts)] if texts else []


def _declared(compared: ComparisonResult) -> list[str]:
    texts = declared_texts(compared.declared)
    return ["<h2>What was to be shown</h2>", bullets(texts)] if texts else []


def _tuned(compared: ComparisonResult) -> list[str]:
    names, rows = tuning_table(compared.tuned)
    if not rows:
        return []
    settings, stable = stability_table(compared.tuned)
    return ["<h2>What was chosen in each fold</h2>",
            plain_table(["network", *names[1:]], rows, range(1, len(names) - 1), "small"),
            *([plain_table(["network", *settings[1:]], stable, (4,), "small")] if stable else []),
            bullets(tuning_texts(compared.tuned))]


def _outlook(ranking: HeadRanking) -> list[str]:
    names, rows = outlook_table(ranking)
    if not rows:
        return []
    return ["<h3>How far the spread could be narrowed</h3>",
            plain_table(["network", *names[1:]], rows, range(1, len(names)), "small"), bullets(outlook_texts(ranking))]


def _row(cells: Sequence[str], row: ScoreRow, numbers: Sequence[int]) -> str:
    first = f'<td class="name">{escape(cells[0])}<span class="kind">{escape(KIND_TEXTS[row.kind])}</span></td>'
    rest = "".join(f'<td class="number">{escape(cell)}</td>' if place in numbers else f"<td>{escape(cell)}</td>"
                   for place, cell in enumerate(cells) if place)
    return f'<tr class="{row.kind}">{first}{rest}</tr>'


def _reading(compared: ComparisonResult) -> list[str]:
    unit = "patients" if any(ranking.patients is not None for ranking in compared.rankings) else "cases"
    ranking = compared.rankings[0]
    mean = f"the mean over {divisions(compared)}" if len(compared.units) > 1 else "that of one split"
    found = [f"The metric is {mean}; its 95 % interval resamples the tested {unit}."]
    if ranking.test == "corrected resampled t":
        found.append("Differences are paired, fold by fold. Intervals and p are of the resampled t test with the "
                     "correction of Nadeau and Bengio: folds share training cases, which an ordinary test ignores.")
    else:
        found.append(f"Differences are paired: both networks on the same resamples of {unit}"
                     + (", and of the repeats." if compared.repeats > 1 else ".")
                     + " The trained networks are taken as fixed: the variation between trainings is not included"
                     + (" beyond the repeats." if compared.repeats > 1 else "; --repeats shows it."))
    if compared.seeds > 1:
        found.append("The seeds of a fold are averaged before the test: they have the same test cases.")
    found += ["'Worse by at most' is the smallest margin for which the network would be shown to be no worse than the "
              "reference, at 95 %; it needs no margin chosen in advance.",
              *(["A claim is shown where its p, corrected by Holm, is below 0.05: noninferiority by the one-sided test "
                 "against the margin, equivalence by two one-sided tests, superiority by the two-sided test against "
                 "the margin."] if any(each.claim for each in compared.rankings) else []),
              "p is corrected by Holm for the number of candidates; rows that are always there are corrected "
              "as a separate family. Each interval is a 95 % interval; they are not simultaneous.",
              "Multiply-adds are per case. Training time is the sum over all folds and repeats, without the shared "
              "computation of frozen nodes, on a machine that may have had other work."]
    return found


def _cautions(compared: ComparisonResult) -> list[str]:
    """The most likely misreadings of the table, for this comparison."""
    ranking, cohort = compared.rankings[0], compared.comparison.cohort
    spec = cohort.description.split
    count = sum(each.kind == "candidate" for each in compared.comparison.candidates)
    found = ["An interval that contains zero does not show that there is no difference: with "
             f"{ranking.cases} tested cases, differences smaller than half its width cannot be detected."]
    units = len(compared.units)
    if ranking.test == "corrected resampled t" and units < _FEW:
        found.append(f"The t test uses only {units} folds and repeats: its intervals are wide, and few differences "
                     "are significant. --folds 5 --repeats 2 has more power.")
    if count > 1:
        found.append(f"The best of {count + 1} networks looks better than it is: it was chosen on these cases. Its "
                     "metric on new cases will be worse; keep a separate test set for it.")
    if compared.tuned:
        found.append("What was tuned is judged on folds of the same cohort: choose the settings anew on all cases "
                     "before a network is used.")
    else:
        found.append("All networks had the same training settings, tuned for none of the candidates: a "
                     "candidate may do better with settings of its own.")
    if compared.repeats == 1 and compared.seeds == 1:
        found.append("Every network was trained with one seed; another gives other results. --seeds 3 shows by how "
                     "much.")
    if cohort.description.patient is None:
        found.append("The data have no patient column: if several cases are of one patient, training and test "
                     "cases may be of the same person, and every metric is too optimistic.")
    elif spec is not None and not spec.grouped:
        found.append("The split does not keep patients together ('group: none'): every metric may be too optimistic.")
    found.append("Statistics of columns were fitted on the training cases of each split. Leaks in the files themselves "
                 "(features selected or values imputed on all cases, duplicates, a scanner or site that reveals the "
                 "class) cannot be detected here; they favour networks that can use them.")
    if any(row.cases < each.cases for each in compared.rankings for row in each.rows):
        found.append("Some networks have no result for some cases: their metrics are over other cases, and cannot be "
                     "compared with the rest. Each difference is over the cases that both networks have; its note says "
                     "how many these are, and what both reach on them.")
    return found


def _left_out(compared: ComparisonResult) -> list[str]:
    texts = [*(f"{name}: {why}" for name, why in compared.left_out), *compared.comparison.notes]
    return ["<h2>Left out, and notes</h2>", bullets(texts)] if texts else []


def _sharing(compared: ComparisonResult) -> list[str]:
    texts = [f"--reuse {way['reuse']}: {way['taken']}; {way['why']}" for way in compared.sharing]
    return ["<h2>What networks shared of frozen nodes</h2>", bullets(texts)] if texts else []


def _networks(compared: ComparisonResult) -> str:
    rows = []
    for each in compared.comparison.candidates:
        nodes = {node.name for node in each.plan.nodes}
        options = ""
        if each.kind != "single" and compared.comparison.node in nodes:
            call = each.plan.node(compared.comparison.node).lanes[0].calls[0]
            chosen = call.config.model_dump(mode="json")
            options = ", ".join(f"{key}: {json.dumps(value)}" for key, value in chosen.items())
        rows.append(f'<tr><td class="name">{escape(each.name)}</td><td>{escape(KIND_TEXTS[each.kind])}</td>'
                    f"<td>{escape(', '.join(each.inputs))}</td><td>{escape(options)}</td>"
                    f"<td>runs/{escape(each.folder)}</td></tr>")
    return table_of_rows(("network", "", "inputs", "options of the fusion", "folder"), rows)


def _cases(compared: ComparisonResult) -> list[str]:
    cohort: Cohort = compared.comparison.cohort
    description, spec = cohort.description, cohort.description.split
    people = f" of {len(set(cohort.patients))} patients" if description.patient is not None else ""
    found = [f"{description.file.name}: {len(cohort)} cases{people}"]
    if spec is not None:
        how = {"column": f"the column {spec.column!r}", "folds": f"{spec.folds} folds drawn with seed {spec.seed}",
               "fraction": f"fractions drawn with seed {spec.seed}"}[spec.kind]
        if spec.fold_columns:
            how = f"the folds in {', '.join(map(repr, spec.fold_columns[: compared.repeats]))}"
        elif spec.leave_out:
            how = f"leaving out one value of {spec.leave_out!r} at a time"
        elif spec.kind == "folds" and compared.repeats > 1:
            how += f" to {spec.seed + compared.repeats - 1}, one for each repeat"
        kept = (spec.group or description.patient or description.id) if spec.grouped else None
        found.append(f"split by {how}" + (f", the same {kept!r} never on both sides" if kept else "")
                     + (f", stratified by {spec.stratify!r}" if spec.stratify else ""))
    seed = compared.comparison.settings.seed
    found.append(f"training seeds from {seed}, the same for all networks")
    return found


def _units(compared: ComparisonResult) -> str:
    rows = [f'<tr><td class="number">{unit.repeat + 1}</td>'
            f'<td class="number">{"" if unit.fold is None else unit.fold + 1}</td>'
            f'<td>{escape(unit.left_out or "")}</td>'
            f'<td class="number">{len(unit.train)}</td><td class="number">{len(unit.test)}</td></tr>'
            for unit in compared.units]
    return table_of_rows(("repeat", "fold", "left out", "training cases", "test cases"), rows, (0, 1, 3, 4), "small")

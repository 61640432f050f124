"""What a run's files say on one topic after another: sentences without judgement, each with its file and key.

A topic without a record gives nothing; the sheet then leaves the item to the authors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from fusionkit.evaluation.formatting import MetricResult
from fusionkit.evaluation.formula_intervals import DELONG, OBUCHOWSKI
from fusionkit.reporting.run_files import BESIDE, CASE_MIX, WORST, RunFiles, named
from fusionkit.syntax.writer import write_in_braces

_Found = Iterator["Fact"]


@dataclass(frozen=True)
class Fact:
    """A sentence, and where it comes from: a file of the run and a key in it."""

    text: str
    source: str


def title(run: RunFiles) -> _Found:
    """What was developed and of what."""
    outcomes = ", ".join(run.data.get("targets", {}))
    what = "development and evaluation" if run.heads else "development"
    yield Fact(f"{what} of the network {run.name!r}; outcome: {outcomes}", "graph.yaml: name; data.yaml: targets")


def cases(run: RunFiles) -> _Found:
    """Cases, patients and outcomes of each part."""
    for name, part in run.parts.items():
        people = "" if part["patients"] is None else f" of {part['patients']} patients"
        kinds = "; ".join(f"{head}: {_counts(counts)}" for head, counts in part["heads"].items())
        yield Fact(f"{name}: {part['cases']} cases{people}; {kinds}", f"cohort.json: parts.{name}")


def _counts(counts: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{count} {name}" for name, count in counts["counts"].items())
    return kinds or f"{counts['with_target']} with a target"


def sample_size(run: RunFiles) -> _Found:
    """Cases of training, and weights that are trained."""
    yield from cases(run)
    if "steps" in (run.about.get("members") or [{}])[0]:
        yield Fact(f"networks trained: {len(run.about['members'])}, each with steps: "
                   f"{', '.join(str(each.get('steps')) for each in run.about['members'])}", "run.json: members")


def main_metrics(run: RunFiles) -> _Found:
    """The first metric of each head."""
    for head, found in run.heads.items():
        for name, metric in list(found["metrics"].items())[:1]:
            yield Fact(f"{head}: {named(found, name)} {metric_text(metric)}, {found['counts']['cases']} cases",
                       f"metrics.json: heads.{head}.metrics.{name}")


def performance(run: RunFiles) -> _Found:
    """Every metric of each head."""
    for head, found in run.heads.items():
        told = "; ".join(f"{named(found, name)} {metric_text(metric)}" for name, metric in found["metrics"].items())
        yield Fact(f"{head}, {found['counts']['cases']} cases: {told}", f"metrics.json: heads.{head}.metrics")


def metric_text(metric: Mapping[str, Any]) -> str:
    """A value of `metrics.json` with its interval."""
    if metric.get("value") is None:
        return "undefined" + (f": {metric['note']}" if metric.get("note") else "")
    return str(MetricResult(metric["value"], metric.get("low"), metric.get("high")))


def data_files(run: RunFiles) -> _Found:
    """The data file and the table, by their hashes."""
    for name, found in run.cohort.get("files", {}).items():
        if found:
            yield Fact(f"{name}: SHA-256 {found}", f"cohort.json: files.{name}")


def dates(run: RunFiles) -> _Found:
    """The first and the last case of each part, where the data file names a column of dates."""
    for name, part in run.parts.items():
        found = part.get("dates") or {}
        if "first" in found:
            unknown = f"; {found['missing']} not known" if found["missing"] else ""
            yield Fact(f"{name}: {found['first']} to {found['last']} by column {found['column']}{unknown}",
                       f"cohort.json: parts.{name}.dates")


def sites(run: RunFiles) -> _Found:
    """The sites of each part, where the data file names their column."""
    for name, part in run.parts.items():
        found = part.get("sites")
        if found:
            told = ", ".join(f"{site} {count}" for site, count in found.items())
            yield Fact(f"{name}: {len(found)} sites, cases: {told}", f"cohort.json: parts.{name}.sites")


def beside(run: RunFiles) -> _Found:
    """Data of other origins that were evaluated beside the own test cases."""
    rows = run.rows(BESIDE)
    if rows:
        origins = [name for name in rows[0][3:-1] if name != "difference"]
        yield Fact(f"{rows[0][2]} beside {', '.join(origins)}: {len(rows) - 1} figures with differences", BESIDE)
    if mix := run.rows(CASE_MIX):
        yield Fact(f"mix of cases, with standardised differences: {len(mix) - 1} rows", CASE_MIX)


def failures(run: RunFiles) -> _Found:
    """The cases that were predicted worst."""
    rows = [row for row in run.rows(WORST)[1:] if len(row) == 5]
    for head in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == head]
        yield Fact(f"{head}: the {len(own)} cases with the largest {own[0][3]}, from {own[0][4]} to {own[-1][4]}",
                   WORST)


def cross_tables(run: RunFiles) -> _Found:
    """Counts of true and predicted classes or labels."""
    for head, found in run.heads.items():
        for number, matrix in enumerate(found.get("confusion", [])):
            told = "; ".join(f"true {name}: " + ", ".join(
                f"{count} predicted {other}" for count, other in zip(counts, matrix["classes"], strict=True))
                for name, counts in zip(matrix["classes"], matrix["rows_true_columns_predicted"], strict=True))
            yield Fact(f"{head}{' ' + matrix['of'] if matrix['of'] else ''}: {told}",
                       f"metrics.json: heads.{head}.confusion.{number}")


def preparation(run: RunFiles) -> _Found:
    """How every input is read."""
    for name, options in run.data.get("inputs", {}).items():
        told = {key: value for key, value in options.items() if value not in (None, {}, [], False)}
        yield Fact(f"{name}: {write_in_braces(told)}", f"data.yaml: inputs.{name}")


def data_warnings(run: RunFiles) -> _Found:
    """Warnings of the reading of the data."""
    if "warnings" in run.cohort:
        told = ", ".join(f"{code}: {count}" for code, count in run.cohort["warnings"].items()) or "none"
        yield Fact(f"warnings when the data were read: {told}", "cohort.json: warnings")


def outcome(run: RunFiles) -> _Found:
    """Column and kind of each target."""
    for name, target in run.data.get("targets", {}).items():
        told = run.heads.get(name, {})
        kind = f"; {told['task']} of {', '.join(told['classes'])}" if told else ""
        yield Fact(f"{name}: {write_in_braces(target)}{kind}", f"data.yaml: targets.{name}")


def predictors(run: RunFiles) -> _Found:
    """The inputs, their shapes and columns."""
    for name, declared in run.graph.get("inputs", {}).items():
        read = run.data.get("inputs", {}).get(name, {})
        columns = [*read.get("numeric", []), *read.get("categorical", [])]
        yield Fact(f"{name}: {write_in_braces(declared)}" + (f"; columns: {', '.join(columns)}" if columns else ""),
                   f"graph.yaml: inputs.{name}; data.yaml: inputs.{name}")


def missing(run: RunFiles) -> _Found:
    """Absent inputs and blank cells, and what is done with them."""
    for name, part in run.parts.items():
        absent = ", ".join(f"{source} {count}" for source, count in part["absent_inputs"].items())
        yield Fact(f"{name}: cases without an input, of {part['cases']}: {absent}",
                   f"cohort.json: parts.{name}.absent_inputs")
    for column in run.cohort.get("characteristics", []):
        blank = column["groups"][0]["missing"]
        if blank:
            yield Fact(f"{column['column']} ({column['input']}): {blank} of {column['groups'][0]['cases']} cells blank",
                       "cohort.json: characteristics")
    for name, options in run.data.get("inputs", {}).items():
        if "fill" in options:
            yield Fact(f"blank cells of {name}: fill {options['fill']}", f"data.yaml: inputs.{name}.fill")
    if "modality_dropout" in run.training:
        yield Fact(f"modality dropout: {run.training['modality_dropout']}", "graph.yaml: training.modality_dropout")


def partition(run: RunFiles) -> _Found:
    """How cases were divided, and whether patients are in two parts."""
    if run.data.get("split"):
        yield Fact(f"split: {write_in_braces(run.data['split'])}", "data.yaml: split")
    yield from cases(run)
    names = run.cases.get("fold_names") or []
    parts = run.cases.get("parts") or {f"fold {place}" + (f" ({names[place]!r})" if names else ""): ids
                                       for place, ids in enumerate(run.cases.get("folds") or [])}
    patients = run.cases.get("patients")
    if parts and patients:
        owners = {name: {patients[case] for case in ids if case in patients} for name, ids in parts.items()}
        shared = sum(len(owners[one] & owners[other]) for one, other in combinations(owners, 2))
        yield Fact(f"patients in more than one part: {shared}", "cases.json: parts, patients")


def model(run: RunFiles) -> _Found:
    """The nodes of the graph, the settings of training and the versions."""
    for name, node in run.graph.get("nodes", {}).items():
        use = node.get("use", "a chain of components") if isinstance(node, dict) else "not read"
        yield Fact(f"node {name}: {use}", f"graph.yaml: nodes.{name}")
    if run.training:
        yield Fact(f"training: {write_in_braces(dict(run.training))}", "graph.yaml: training")
    yield from trained(run)
    yield from initial_weights(run)
    yield from versions(run)


def trained(run: RunFiles) -> _Found:
    """Epochs and best epoch of each network."""
    for place, each in enumerate(run.about.get("members") or []):
        yield Fact(f"network {place}: seed {each.get('seed')}, best epoch {each.get('best_epoch')} of "
                   f"{each.get('epochs')}", f"run.json: members.{place}")


def initial_weights(run: RunFiles) -> _Found:
    """Weights from files or releases that nodes started from."""
    for number, each in enumerate(run.about.get("weights") or []):
        if isinstance(each, Mapping):
            source = f", from {each['source']}" if each.get("source") else ""
            inherits = "; no commercial use, which this network inherits" if each.get("commercial") is False else ""
            yield Fact(f"node {each.get('node')} starts from {each.get('weights')}{source}: {each.get('licence')}"
                       f"{inherits}", f"run.json: weights.{number}")
    found = list(_weights(run.graph.get("nodes", {}), "nodes"))
    for place, text in found:
        yield Fact(f"{place}: {text}", "graph.yaml: " + place)
    if not found and run.graph.get("nodes"):
        yield Fact("no node names weights from a file or a release", "graph.yaml: nodes")


def _weights(tree: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key in ("weights", "pretrained", "licence") and value not in (None, False, "none", ""):
                yield f"{place}.{key}", str(value)
            else:
                yield from _weights(value, f"{place}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _weights(value, f"{place}.{index}")


def versions(run: RunFiles) -> _Found:
    """Versions of the packages."""
    packages = ", ".join(f"{name} {version}" for name, version in run.lock.get("packages", {}).items())
    if packages:
        yield Fact(f"{packages}, Python {run.lock.get('python', 'not recorded')}", "lock.json")


def heterogeneity(run: RunFiles) -> _Found:
    """Subgroups that were evaluated."""
    rows = run.rows("subgroups.csv")
    if rows:
        yield Fact(f"metrics by subgroup: {len(rows) - 1} rows with columns {', '.join(rows[0])}", "subgroups.csv")


def measures(run: RunFiles) -> _Found:
    """The metrics, and how their intervals were made."""
    for head, found in run.heads.items():
        way = found["interval"]
        every = ", ".join(named(found, name) for name in found["metrics"])
        yield Fact(f"{head}: {every}; {100 * way['level']:g} % intervals by {way['method']}, "
                   f"{way['resamples']} resamples of {way['resampled']}s, seed {way['seed']}",
                   f"metrics.json: heads.{head}")
        for key, told in ((DELONG, "AUROC also by DeLong's variance, on the logit scale"),
                          (OBUCHOWSKI, "AUROC also by Obuchowski's variance of clustered cases, on the logit scale"),
                          ("wilson", "proportions of decisions also by Wilson's formula")):
            if key in found:
                yield Fact(f"{head}: {told}", f"metrics.json: heads.{head}.{key}")


def updating(run: RunFiles) -> _Found:
    """Calibration, thresholds and groups that were fitted after training."""
    if run.calibration:
        yield Fact(f"calibration fitted on: {run.calibration.get('fitted_on')}", "calibration.json: fitted_on")
    yield from threshold(run)
    if run.about.get("settled"):
        yield Fact(f"fitted to the training cases after training: {', '.join(run.about['settled'])}",
                   "run.json: settled")


def threshold(run: RunFiles) -> _Found:
    """Thresholds and risk groups of the run."""
    for name, content in (("threshold.json", run.threshold), ("groups.json", run.groups)):
        if content:
            yield Fact(write_in_braces(dict(content)), name)


def how_to_predict(run: RunFiles) -> _Found:
    """The command that predicts."""
    yield Fact(f"fusionkit predict {run.folder.name} DATA", "run.json")


def imbalance(run: RunFiles) -> _Found:
    """Weights and sampling of classes."""
    if "balance" in run.training:
        yield Fact(f"balance: {run.training['balance']}", "graph.yaml: training.balance")
    for name, shift in (run.about.get("priors") or {}).items():
        yield Fact(f"probabilities of {name} corrected from the drawn shares {shift['drawn']} to those of the training "
                   f"cases, {[round(share, 4) for share in shift['training']]}", f"run.json: priors.{name}")
    for name, counts in run.preprocessing.get("class_counts", {}).items():
        yield Fact(f"training cases of {name}: {write_in_braces(counts)}", f"preprocessing.json: class_counts.{name}")


def output(run: RunFiles) -> _Found:
    """What each head gives."""
    for head, found in run.heads.items():
        yield Fact(f"{head}: {found['task']} of {', '.join(found['classes'])}", f"metrics.json: heads.{head}")
    yield from threshold(run)


def analysed(run: RunFiles) -> _Found:
    """Cases of each analysis."""
    for head, found in run.heads.items():
        counts = found["counts"]
        people = "" if counts["patients"] is None else f" of {counts['patients']} patients"
        kinds = ", ".join(f"{count} {name}" for name, count in counts["per_class"].items())
        yield Fact(f"{head}: {counts['cases']} cases{people}{'; ' + kinds if kinds else ''}; without a target: "
                   f"{counts['without_target']}", f"metrics.json: heads.{head}.counts")


def flow(run: RunFiles) -> _Found:
    """Where the diagram is."""
    if run.parts:
        yield Fact("case-flow.svg and case-flow.mmd beside this sheet", "cohort.json: parts")


def characteristics(run: RunFiles) -> _Found:
    """Where table 1 is."""
    if run.cohort.get("characteristics"):
        yield Fact(f"table 1 of report.html: {len(run.cohort['characteristics'])} columns", "cohort.json")


def files(run: RunFiles) -> _Found:
    """The files of the network, by their hashes."""
    for name, size, digest in run.hashes():
        if name.endswith((".safetensors", "graph.yaml")) and not name.startswith("last/"):
            yield Fact(f"{name}: {size} bytes, SHA-256 {digest}", name)


def calibration_change(run: RunFiles) -> _Found:
    """Likelihood before and after calibration."""
    for head, found in run.heads.items():
        trust = found.get("trust", {})
        for stage in ("before", "after"):
            for name, metric in trust.get(stage, {}).items():
                yield Fact(f"{head}, {name} {stage} calibration: {metric_text(metric)}",
                           f"metrics.json: heads.{head}.trust.{stage}.{name}")


def absent_inputs(run: RunFiles) -> _Found:
    """Which inputs may be absent, and metrics of their subsets."""
    inputs = run.graph.get("inputs", {})
    optional = [name for name, declared in inputs.items() if isinstance(declared, dict) and declared.get("optional")]
    if inputs:
        told = ", ".join(optional) or "none"
        yield Fact(f"inputs that may be absent: {told}; a case without another input is refused", "graph.yaml: inputs")
    if rows := run.rows("missing.csv"):
        yield Fact(f"metrics by the inputs given: {len(rows) - 1} rows", "missing.csv")


def explanations(run: RunFiles) -> _Found:
    """Explanations that were made."""
    if run.explained:
        made = [key for key, value in run.explained.items() if isinstance(value, list | dict) and value]
        yield Fact(f"explanations made: {', '.join(made)}", "explain/explain.json")


TOPICS: Mapping[str, Callable[[RunFiles], _Found]] = {
    function.__name__: function for function in (
        title, cases, sample_size, main_metrics, performance, data_files, preparation, data_warnings, outcome,
        predictors, missing, partition, model, trained, initial_weights, versions, heterogeneity, measures, updating,
        threshold, how_to_predict, imbalance, output, analysed, flow, characteristics, files, calibration_change,
        absent_inputs, explanations, dates, sites, beside, failures,
        cross_tables)}

"""Reporting checklists: every item filled from the run with its source, or named as the authors' to write.

Items are named in words of our own. The numbers of TRIPOD+AI are those of its publication (Collins et al. 2024, BMJ
385:e078378); CLAIM (2024 update) and STARD-AI (2025) have names only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fusionkit.reporting.facts import TOPICS, Fact
from fusionkit.reporting.run_files import RunFiles

OPEN = "TO BE WRITTEN BY THE AUTHORS"


@dataclass(frozen=True)
class ChecklistItem:
    """One item: its number where known, what it is about, topics that fill it in, and what is left to the authors."""

    number: str
    about: str
    topics: tuple[str, ...] = ()
    left: str = ""


@dataclass(frozen=True)
class FilledItem:
    """An item with what the run says of it."""

    item: ChecklistItem
    facts: tuple[Fact, ...]

    @property
    def left(self) -> str:
        """What the authors have to write, empty where nothing is left."""
        left = self.item.left or ("" if self.facts else "the run has no record of it")
        return f"{OPEN}: {left}" if left else ""


def _item(number: str, about: str, topics: str = "", left: str = "") -> ChecklistItem:
    return ChecklistItem(number, about, tuple(topics.split()), left)


_TRIPOD = (
    _item("1", "title", "title", "population, wording of the title"),
    _item("2", "abstract", "cases main_metrics", "the rest of the abstract"),
    _item("3a", "health context and rationale", left="context and reason"),
    _item("3b", "target population and use", left="whom it is for, where in the pathway, intended users"),
    _item("3c", "health inequalities", left="known inequalities between groups"),
    _item("4", "objectives", left="objectives of the study"),
    _item("5a", "sources of data", "data_files", "where from, why these, consent"),
    _item("5b", "dates of the data", "dates", "start and end of recruitment and of follow-up"),
    _item("6a", "setting", "sites", "setting and place of centres"),
    _item("6b", "eligibility", left="criteria, and exclusions before the table"),
    _item("6c", "treatments", left="treatments received, and how they were handled"),
    _item("7", "data preparation", "preparation data_warnings", "quality control by hand"),
    _item("8a", "outcome", "outcome", "definition, horizon and why, how it was assessed"),
    _item("8b", "outcome assessors", left="qualification of assessors where judgement is needed"),
    _item("8c", "blinding of the outcome", left="what assessors knew"),
    _item("9a", "choice of predictors", "predictors", "why these"),
    _item("9b", "definition of predictors", "predictors preparation", "who measured them, how and when"),
    _item("9c", "predictor assessors", left="qualification of assessors where judgement is needed"),
    _item("10", "sample size", "sample_size", "justification"),
    _item("11", "missing data", "missing", "why values are missing"),
    _item("12a", "use of the data in the analysis", "partition"),
    _item("12b", "handling of predictors", "preparation", "rationale"),
    _item("12c", "model, building and tuning", "model", "why this model"),
    _item("12d", "heterogeneity between groups and sites", "heterogeneity", "clusters that were not examined, and why"),
    _item("12e", "measures of performance", "measures", "why these"),
    _item("12f", "updating of the model", "updating", "why it was done or not"),
    _item("12g", "how predictions are made", "how_to_predict"),
    _item("13", "class imbalance", "imbalance updating", "why it was handled so"),
    _item("14", "fairness", "heterogeneity", "what was intended, and why"),
    _item("15", "output of the model", "output", "classification or probability and why"),
    _item("16", "development against evaluation data", "cases beside", "differences in setting and what they mean"),
    _item("17", "ethics approval", left="approval and consent"),
    _item("18a", "funding", left="funding and the role of funders"),
    _item("18b", "conflicts of interest", left="conflicts"),
    _item("18c", "protocol", left="where the protocol is"),
    _item("18d", "registration", left="registration"),
    _item("18e", "data sharing", left="availability of the data"),
    _item("18f", "code sharing", "versions initial_weights", "availability of the code of the analysis"),
    _item("19", "patient and public involvement", left="involvement, or that there was none"),
    _item("20a", "flow of participants", "flow cases", "exclusions before the table"),
    _item("20b", "characteristics", "characteristics", "units, and selection of the columns"),
    _item("20c", "comparison with the development data", "characteristics beside", "of data that are not in the run"),
    _item("21", "participants and events in each analysis", "analysed"),
    _item("22", "specification of the model", "files versions", "how others get it"),
    _item("23a", "performance", "performance"),
    _item("23b", "heterogeneity of performance", "heterogeneity", "interpretation"),
    _item("24", "results of updating", "calibration_change", "interpretation"),
    _item("25", "interpretation", left="interpretation, fairness included"),
    _item("26", "limitations", left="limitations"),
    _item("27a", "poor or absent inputs in use", "absent_inputs", "handling in practice"),
    _item("27b", "interaction of users", left="expertise and interaction that are needed"),
    _item("27c", "next steps", left="further research"),
)
_CLAIM = (
    _item("", "study design and purpose", left="prospective or retrospective, purpose"),
    _item("", "data sources", "data_files dates sites", "where from"),
    _item("", "eligibility", left="criteria"),
    _item("", "preprocessing", "preparation data_warnings", "rationale"),
    _item("", "de-identification", left="how data were de-identified"),
    _item("", "missing data", "missing", "why values are missing"),
    _item("", "reference standard", "outcome", "definition, rationale"),
    _item("", "annotators", left="number, qualification, agreement, quality control"),
    _item("", "sample size", "sample_size", "justification"),
    _item("", "data partitions", "partition"),
    _item("", "model detail", "model"),
    _item("", "initial weights", "initial_weights"),
    _item("", "training", "trained imbalance"),
    _item("", "selection of the final model", "trained", "why this one"),
    _item("", "ensembling", "trained"),
    _item("", "evaluation metrics", "measures", "why these"),
    _item("", "uncertainty", "measures updating"),
    _item("", "robustness", "absent_inputs heterogeneity"),
    _item("", "explainability", "explanations", "validation of the explanations"),
    _item("", "evaluation on internal and external data", "analysed beside", "external data that are not in the run"),
    _item("", "flow of cases", "flow cases", "exclusions before the table"),
    _item("", "demographics by partition", "characteristics", "units"),
    _item("", "performance by partition", "performance"),
    _item("", "failure analysis", "failures", "what was found where these cases were looked at"),
    _item("", "limitations", left="limitations"),
    _item("", "intended use", left="clinical role"),
    _item("", "availability of code and model", "versions files", "where they are"),
    _item("", "registration, protocol, funding, conflicts", left="all of them"),
)
_STARD = (
    _item("", "purpose and intended use", left="role of the index test"),
    _item("", "eligibility and setting", "dates sites", "criteria and places"),
    _item("", "dataset partitions", "partition"),
    _item("", "index test", "files versions"),
    _item("", "threshold of the index test", "threshold", "whether it was set in advance"),
    _item("", "inputs of the index test", "predictors preparation"),
    _item("", "reference standard", "outcome", "definition, rationale, assessors, blinding"),
    _item("", "interval between index test and reference standard", left="interval and treatments between"),
    _item("", "analysis", "measures"),
    _item("", "indeterminate and missing results", "missing absent_inputs"),
    _item("", "sample size", "sample_size", "justification"),
    _item("", "flow of participants", "flow cases", "exclusions before the table"),
    _item("", "characteristics", "characteristics", "units"),
    _item("", "cross tabulation", "cross_tables analysed"),
    _item("", "estimates of accuracy", "performance"),
    _item("", "variation between groups", "heterogeneity", "fairness"),
    _item("", "adverse events", left="adverse events of index test or reference standard"),
    _item("", "limitations and implications", left="limitations, implications for practice"),
    _item("", "ethics, registration, protocol, funding", left="all of them"),
)
CHECKLISTS: Mapping[str, tuple[str, tuple[ChecklistItem, ...]]] = {
    "tripod-ai": ("TRIPOD+AI", _TRIPOD), "claim": ("CLAIM", _CLAIM), "stard-ai": ("STARD-AI", _STARD)}


def filled(name: str, run: RunFiles) -> list[FilledItem]:
    """Every item of a checklist with what the run says of it."""
    return [FilledItem(item, tuple(fact for topic in item.topics for fact in TOPICS[topic](run)))
            for item in CHECKLISTS[name][1]]


def checklist_markdown(name: str, run: RunFiles) -> str:
    """The sheet as a Markdown table."""
    lines = [f"# {CHECKLISTS[name][0]}: {_cell(run.name)}", "", "| item | from the run | left to the authors |",
             "| --- | --- | --- |"]
    for each in filled(name, run):
        told = "<br>".join(f"{_cell(fact.text)} (from {_cell(fact.source)})" for fact in each.facts)
        lines.append(f"| {f'{each.item.number} {each.item.about}'.strip()} | {told} | {_cell(each.left)} |")
    return "\n".join(lines) + "\n"


_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\|*_`[]#"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;",
                                                                           "\n": " "})


def _cell(text: str) -> str:
    return text.translate(_MARKDOWN)


def model_card(run: RunFiles) -> str:
    """A model card in Markdown: what the run says, and the headings under which the authors have to write."""
    lines = [f"# Model card: {_cell(run.name)}", ""]
    for heading, topics, left in _CARD:
        facts = [fact for topic in topics.split() for fact in TOPICS[topic](run)]
        lines += [f"## {heading}", "", *_told(facts)]
        if left or not facts:
            lines += [f"{OPEN}: {left or 'the run has no record of it'}", ""]
    return "\n".join(lines)


def _told(facts: list[Fact]) -> Iterator[str]:
    yield from (f"- {_cell(fact.text)} (from {_cell(fact.source)})" for fact in facts)
    if facts:
        yield ""


_CARD = (
    ("Model", "title output model files", ""),
    ("Intended use", "", "users, population, place in the pathway, and uses that are out of scope"),
    ("Inputs", "predictors absent_inputs", "units and how they are measured"),
    ("Training data", "data_files cases missing", "where from, dates, consent"),
    ("Evaluation data", "partition analysed beside", "external data that are not in the run"),
    ("Metrics", "measures performance", ""),
    ("Subgroups", "heterogeneity", "which groups matter, and why"),
    ("Calibration and thresholds", "updating calibration_change", ""),
    ("Explanations", "explanations", ""),
    ("Ethics", "", "approval, risks, harms"),
    ("Limitations", "", "limitations"),
    ("Licences", "initial_weights versions", "licence of this model and of its data"),
)

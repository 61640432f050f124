"""Warnings about the settings of a training and its network, given the cases."""

from __future__ import annotations

from fusionkit.errors import Diagnostic
from fusionkit.planning.frozen_weights import frozen_random
from fusionkit.runs.recipe_comparison import recipe_findings
from fusionkit.runs.setup import Setup
from fusionkit.training.batch_advice import few_events, few_of_a_kind
from fusionkit.training.batch_norm_advice import divided_norms
from fusionkit.training.placeholder_advice import untrained
from fusionkit.training.settings import TrainingSettings


def advice_for(setup: Setup, settings: TrainingSettings) -> list[Diagnostic]:
    """Warnings about settings and network given the cases: `hold_out` without use, batch norms that see parts of what
    a loss compares, batches with few events, inputs other than pretrained weights ask for, frozen nodes that
    nothing trained, imputations that will not learn.
    """
    cohort, found = setup.cohort, divided_norms(setup.plan, settings)
    learned = list(cohort.split_rows("train") or cohort.rows)
    found += recipe_findings(setup.plan, cohort.description)
    found += frozen_random(setup.plan)
    found += few_events(setup.plan, settings.batch_size, lambda head: cohort.class_counts(head, learned))
    found += few_of_a_kind(setup.plan, lambda head: cohort.class_counts(head, learned))
    if settings.hold_out not in ("auto", 0.0) and not cohort.fold_count and cohort.split_rows("validation"):
        found.append(Diagnostic(
            "hold-out-unused", f"'hold_out: {settings.hold_out}' is not used: the data file names validation cases",
            cohort.description.span("split"), "one network is trained, and its best epoch is selected on them",
            "remove 'hold_out', or mark these cases as train in the split", "warning"))
    if settings.modality_dropout:
        return found
    return [*found, *untrained(setup.plan, lambda name: not cohort.present(name)[learned].all())]

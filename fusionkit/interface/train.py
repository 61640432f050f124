"""`fusionkit.train`: a graph and data in, a run out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from fusionkit.components.component import Component
from fusionkit.errors import UserError
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.evaluate import Evaluation
from fusionkit.interface.keywords import spell_out
from fusionkit.interface.training_options import RunOptions
from fusionkit.planning.open_graph import Source, open_graph
from fusionkit.registry.lookup import discover
from fusionkit.runs import train as runs
from fusionkit.runs.advice import advice_for
from fusionkit.runs.job import is_main
from fusionkit.runs.recipe_comparison import refuse_differences
from fusionkit.runs.setup import set_up
from fusionkit.runs.stage import set_up_stage
from fusionkit.runs.training_mark import overfitting_note, training_mark
from fusionkit.syntax.tree import Mapping, Tree
from fusionkit.training.settings import read_settings
from fusionkit.training.stages import read_stage, stage_faults, stage_named


@dataclass(frozen=True)
class TrainedRun:
    """The folder of a run and the evaluation of its test cases; usable wherever a path to a run is.

    With folds, the metrics are over all of them, and each fold is a run of its own in `folds`.
    """

    folder: Path
    evaluation: Evaluation

    @property
    def folds(self) -> list[Path]:
        """The folders of the folds in order; empty without folds."""
        found = self.folder.glob("fold-*")
        return sorted(found, key=lambda path: int(path.name.removeprefix("fold-")))

    def __fspath__(self) -> str:
        return str(self.folder)

    def rows(self) -> list[dict[str, Any]]:
        """One record for each metric of each head."""
        return self.evaluation.rows()

    def _repr_html_(self) -> str:
        return self.evaluation._repr_html_()


@spell_out(RunOptions)
def train(
    graph: Source,
    data: str | Path,
    *,
    output: str | Path = "run",
    resume: bool = False,
    data_roots: Sequence[str | Path] = (),
    sets: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    strict: bool = False,
    plots: bool = True,
    quiet: bool = False,
    console: Console | None = None,
    **settings: Unpack[RunOptions],
) -> TrainedRun:
    """Check everything, train, and evaluate the test cases; everything is saved in the folder `output`.

    The options are those of `fusionkit train`. The settings of training win over those of the graph; None means the
    graph's own; with `stage` the run is that stage of the graph's, which learns without targets. Your own components
    come from the Python files `plugins`, or as `components`. With `strict`, inputs other than the recipe
    of pretrained weights asks for are an error. Without `plots` no picture is drawn. `quiet` hides warnings and
    progress; `console` is where they are shown. In a launch of several processes only the first writes and evaluates.
    Raises: GraphError or DataError with everything that is wrong; RunError when training fails.
    """
    registry = discover(components=components, files=[str(file) for file in plugins])
    folder = Path(output)
    console = of_launch(console_for(console, quiet))
    with runs.claimed(folder, resume):
        given = {name: value for name, value in settings.items() if value is not None}
        stage = stage_named(_training(open_graph(graph, sets, registry)), settings.get("stage"))
        with console.progress("reading") as update:
            if stage is None:
                setup = set_up(graph, data, sets, registry, progress=update, data_roots=data_roots)
            else:
                setup = set_up_stage(graph, data, sets, registry, output=folder, progress=update,
                                     data_roots=data_roots)
        training = setup.plan.graph.training
        if stage is None and (faults := stage_faults(training, registry)):
            raise UserError(faults)
        chosen = read_settings(training, given, registry) if stage is None else read_stage(
            training, stage, given, registry)
        advice = advice_for(setup, chosen)
        if strict:
            refuse_differences(advice)
        for warning in (*setup.cohort.warnings, *advice):
            console.note(warning.render())
        trained = runs.train(setup, chosen, folder, data=Path(data), resume=resume, reporter=console,
                             plots=plots)
    if note := overfitting_note(trained.folder):
        console.line(note)
    return TrainedRun(trained.folder, Evaluation(
        trained.folder, tuple(trained.reports), training=training_mark(trained.folder), sites=tuple(trained.sites)))


def _training(tree: Tree) -> Tree | None:
    return tree.get("training") if isinstance(tree, Mapping) else None


def of_launch(console: Console) -> Console:
    """The console itself in the process that writes, a silent one in the other processes of torchrun."""
    return console if is_main() else Console(silent=True)

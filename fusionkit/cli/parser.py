"""The command line: arguments in, exit code out. 0 done, 1 failed while running, 2 the input is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, TypeAlias

from fusionkit import __version__
from fusionkit.cli.console import Console
from fusionkit.cli.training_flags import TRAINING_FLAGS
from fusionkit.errors import RunError, UserError

DONE, FAILED, WRONG = 0, 1, 2
Commands: TypeAlias = "argparse._SubParsersAction[Any]"


class _Parser(argparse.ArgumentParser):
    """Says a wrong argument in the form that all messages have."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message} [bad-argument]\n  fix: `{self.prog} --help` shows what it takes\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `docs/cli.md` is made from it."""
    top = _Parser(prog="fusionkit", description="Multimodal fusion networks as short YAML graphs, made of plugins.")
    top.add_argument("--version", action="version", version=f"fusionkit {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _check(commands)
    _build(commands)
    _train(commands)
    _evaluate(commands)
    _predict(commands)
    _calibrate(commands)
    _explain(commands)
    _compare(commands)
    _plugins(commands)
    _weights(commands)
    _schema(commands)
    _demo(commands)
    _doctor(commands)
    return top


def _command(commands: Commands, name: str, summary: str, module: str | None = None) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    made.set_defaults(module=module or name)
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    made.add_argument("--verbose", action="store_true", help="show tracebacks")
    return made


def _add_graph_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="sets",
                      help="change a value of the graph, for example nodes.fused.use=fusion.gmu; may be repeated")
    made.add_argument("--plugin", action="append", default=[], metavar="FILE.py", dest="plugins",
                      help="use the components of a Python file of yours; may be repeated")


def _check(commands: Commands) -> None:
    made = _command(commands, "check", "Check graph files: every mistake with file, line and column.")
    made.add_argument("graphs", nargs="+", metavar="GRAPH", help="a graph file, or the name of a published graph")
    made.add_argument("--data", metavar="DATA", help="a data description, for sizes that are 'auto'")
    made.add_argument("--resolved", action="store_true", help="print the graph with every option written out")
    _add_graph_options(made)


def _build(commands: Commands) -> None:
    made = _command(commands, "build", "Build a network: its shapes and costs as a table; with -o, as a folder.")
    made.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    made.add_argument("-o", "--output", metavar="DIR", help="write graph, weights, drawing and listing there")
    made.add_argument("--data", metavar="DATA", help="a data description, for sizes that are 'auto'")
    made.add_argument("--seed", type=int, default=0, help="seed of the first weights (default 0)")
    _add_graph_options(made)


def _train(commands: Commands) -> None:
    made = _command(commands, "train", "Train a network on the cases of a data description.")
    made.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    made.add_argument("data", metavar="DATA", help="a data description (data.yaml)")
    made.add_argument("-o", "--output", metavar="RUN", default="run", help="the run's folder (default: run)")
    made.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    _add_training_options(made)
    _add_graph_options(made)


def _add_training_options(made: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    for name, takes, text in TRAINING_FLAGS:
        flag = "--" + name.replace("_", "-")
        if name in without:
            continue
        if takes is bool:
            made.add_argument(flag, action="store_true", default=None, help=text)
        elif isinstance(takes, tuple):
            made.add_argument(flag, choices=takes, help=text)
        else:
            made.add_argument(flag, type=takes, metavar="N", help=text)


def _evaluate(commands: Commands) -> None:
    made = _command(commands, "evaluate", "Evaluate a trained run: metrics with intervals, and plots.")
    made.add_argument("run", metavar="RUN", help="the folder of a run")
    made.add_argument("data", metavar="DATA", nargs="?", help="other data (default: the run's own test cases)")
    made.add_argument("-o", "--output", metavar="DIR", help="where to write (default: RUN, or RUN/evaluation of DATA)")
    made.add_argument("--missing", action="store_true",
                      help="also take inputs away: the metrics of every selection of inputs, as a table and a curve")
    _add_running_options(made)


def _predict(commands: Commands) -> None:
    made = _command(commands, "predict", "Predict: one row for each case, with uncertainty where asked.")
    made.add_argument("run", metavar="RUN", help="the folder of a run")
    made.add_argument("data", metavar="DATA", help="a data description; targets are not needed")
    made.add_argument("-o", "--output", metavar="FILE", help="a CSV file (default: print)")
    made.add_argument("--samples", type=int, help="random passes of the uncertainty method")
    _add_running_options(made)


def _calibrate(commands: Commands) -> None:
    made = _command(commands, "calibrate", "Fit temperatures and prediction sets of a trained run on held-out cases.")
    made.add_argument("run", metavar="RUN", help="the folder of a run")
    made.add_argument("data", metavar="DATA", nargs="?", help="other data (default: the run's own validation cases)")
    made.add_argument("--alpha", type=float, default=0.1, metavar="SHARE",
                      help="share of cases whose truth may be outside its prediction set (default 0.1)")
    made.add_argument("--class-conditional", action="store_true", help="hold the share for each class by itself")
    _add_running_options(made)


def _explain(commands: Commands) -> None:
    made = _command(commands, "explain", "Look inside a trained run: Grad-CAM, t-SNE, the share of each modality.")
    made.add_argument("run", metavar="RUN", help="the folder of a run")
    made.add_argument("--case", nargs="+", action="extend", default=[], metavar="ID", dest="cases",
                      help="cases to look at (default: some that it picks)")
    made.add_argument("--data", metavar="DATA", help="other data (default: the run's own test cases)")
    made.add_argument("--head", metavar="HEAD", help="explain this head only (default: every one)")
    made.add_argument("--class", metavar="NAME", dest="class_name",
                      help="explain this class, label or value (default: what is predicted of each case)")
    made.add_argument("--at", nargs="+", action="extend", default=[], metavar="PLACE",
                      help="draw Grad-CAM at these nodes or modules (default: every encoder behind an image or volume)")
    made.add_argument("--node", metavar="NODE",
                      help="draw t-SNE of what this node gives (default: what the head reads)")
    made.add_argument("-o", "--output", metavar="DIR", help="where to write (default: RUN/explain)")
    _add_device_options(made)


def _compare(commands: Commands) -> None:
    made = _command(commands, "compare", "Compare fusions: train each in one node, on the same cases and seeds.")
    made.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    made.add_argument("data", metavar="DATA", help="a data description (data.yaml)")
    made.add_argument("--node", required=True, metavar="NODE", help="the node whose fusion is swapped")
    made.add_argument("--with", required=True, metavar="ID,ID{OPTION: VALUE}", dest="candidates",
                      help="the fusions to try, beside the node's own, which is the reference")
    made.add_argument("--folds", type=int, metavar="K", help="divide into K folds, instead of the data file's split")
    made.add_argument("--repeats", type=int, default=1, metavar="N",
                      help="train N times, each with the next seed (default 1)")
    made.add_argument("--metric", metavar="NAME", help="what to compare (default: auroc, of a regression mae)")
    made.add_argument("--reuse", choices=("auto", "features", "batches", "nothing"), default="auto",
                      help="what candidates share of frozen nodes: features, computed once and kept; batches, computed "
                           "once for each batch; nothing (default auto)")
    made.add_argument("--no-baselines", action="store_false", dest="baselines",
                      help="leave out each source alone, and scikit-learn on the tables")
    made.add_argument("-o", "--output", metavar="DIR", default="compare",
                      help="where to write; the same command goes on with what it holds (default: compare)")
    _add_training_options(made, without=("fold",))
    _add_graph_options(made)


def _add_running_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--uncertainty", metavar="ID", help="use this uncertainty method instead of the graph's")
    made.add_argument("--looped", action="store_true",
                      help="draw one sample after the other: to the bit those of whole passes")
    made.add_argument("--memory", type=int, metavar="MB",
                      help="memory that samples drawn at once may take (default 256)")
    _add_device_options(made)


def _add_device_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute")
    made.add_argument("--plugin", action="append", default=[], metavar="FILE.py", dest="plugins",
                      help="use the components of a Python file of yours; may be repeated")


def _plugins(commands: Commands) -> None:
    summary = "List, show, begin, check and catalogue plugins."
    group = commands.add_parser("plugins", help=summary, description=summary)
    inner = group.add_subparsers(dest="plugin_command", metavar="COMMAND", required=True)
    made = _command(inner, "list", "List installed components.", "plugins_list")
    made.add_argument("--kind", choices=["encoder", "fusion", "head", "uncertainty"], help="only this kind")
    made.add_argument("--category", metavar="CATEGORY", help="only this category, for example 'image'")
    made.add_argument("--all", action="store_true", help="also packages that the catalogue knows, not installed here")
    made = _command(inner, "show", "Show one component: options, rule, source, cost, a snippet to paste.",
                    "plugins_show")
    made.add_argument("id", metavar="ID", help="a component id, for example fusion.gmu")
    made = _command(inner, "new", "Begin a plugin package of your own.", "plugins_new")
    made.add_argument("name", metavar="NAME", help="its name, for example my-fusion")
    made.add_argument("--kind", choices=["encoder", "fusion", "head", "uncertainty"], default="fusion",
                      help="what it declares (default: fusion)")
    made.add_argument("-o", "--output", metavar="DIR", help="where (default: fusionkit-NAME)")
    made = _command(inner, "check", "Check an installed plugin package against the contract.", "plugins_check")
    made.add_argument("package", metavar="PACKAGE", help="the name of an installed package, for example fusionkit")
    made = _command(inner, "catalogue", "Print a package's catalogue, or write it.", "plugins_catalogue")
    made.add_argument("package", metavar="PACKAGE", nargs="?",
                      help="the name of an installed package (default: every one installed with pip install -e)")
    made.add_argument("--write", action="store_true", help="write the file that the package names")


def _weights(commands: Commands) -> None:
    summary = "Turn checkpoints of released code into weights for a graph."
    group = commands.add_parser("weights", help=summary, description=summary)
    inner = group.add_subparsers(dest="weights_command", metavar="COMMAND", required=True)
    made = _command(inner, "convert", "Convert a checkpoint of a release, by the graph's `reference`.",
                    "weights_convert")
    made.add_argument("checkpoint", metavar="RELEASE.pt",
                      help="the checkpoint, of PyTorch or Keras (.h5, .keras); only tensors and plain data are read")
    made.add_argument("--graph", required=True, metavar="GRAPH", help="a graph file, or the name of a published graph")
    made.add_argument("--from", default="release", metavar="NAME", dest="release",
                      help="which release it is, as the graph's `reference` names it (default: release)")
    made.add_argument("-o", "--output", required=True, metavar="FILE", help="a .safetensors file")
    made.add_argument("--partial", action="store_true", help="write even if tensors are missing in the checkpoint")
    made.add_argument("--seed", type=int, default=0, help="seed of the weights that are missing (default 0)")
    _add_graph_options(made)


def _schema(commands: Commands) -> None:
    made = _command(commands, "schema", "Print the JSON schema of graph files, for editors.")
    made.add_argument("-o", "--output", metavar="FILE", help="write it there")


def _demo(commands: Commands) -> None:
    made = _command(commands, "demo", "A small real run from nothing: data, training, evaluation, prediction.")
    made.add_argument("folder", metavar="DIR", nargs="?", default="fusionkit-demo",
                      help="where to write (default: fusionkit-demo)")
    made.add_argument("--phantom", metavar="SCENARIO", help="a cohort of CT phantoms whose best accuracy is known")
    made.add_argument("--tables", action="store_true", help="the breast-cancer tables of scikit-learn")
    made.add_argument("--cases", type=int, help="how many cases to make")
    made.add_argument("--seed", type=int, default=0, help="seed of data and training (default 0)")


def _doctor(commands: Commands) -> None:
    _command(commands, "doctor", "Say whether this installation is sound and what it can use.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Never raises for what a user can cause."""
    args = parser().parse_args(argv)
    console = Console(json=args.json)
    try:
        code: int = import_module(f"fusionkit.cli.commands.{args.module}").run(args, console)
        return code
    except UserError as error:
        console.diagnostics(error.diagnostics)
        return _told(args, error, WRONG)
    except RunError as error:
        console.note(f"fusionkit: {error}")
        return _told(args, error, FAILED)
    except KeyboardInterrupt:
        console.note("fusionkit: interrupted")
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except Exception as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        console.note(f"fusionkit: {type(error).__name__}: {error}{notes}\n"
                     f"  fix: {_advice(error)}; --verbose shows the traceback")
        return _told(args, error, FAILED)


def _told(args: argparse.Namespace, error: BaseException, code: int) -> int:
    if args.verbose:
        import traceback

        traceback.print_exception(error)
    return code


def _advice(error: BaseException) -> str:
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return "lower --batch-size, the input sizes, or use --precision bf16"
    if isinstance(error, OSError):
        return "check the path, its permissions and the free space"
    return "if your input is right this is a fault of fusionkit or of a plugin; please report it"

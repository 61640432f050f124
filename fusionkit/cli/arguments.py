"""Options that several commands take, and how they are handed on."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Collection
from typing import Any

OF_THE_COMMAND_LINE = frozenset({"command", "command_run", "json", "verbose"})
"""What a parsed command line holds beside the arguments of the command."""


def given(args: Namespace) -> dict[str, Any]:
    """The arguments of a command as those of the function of its name."""
    return {name: value for name, value in vars(args).items() if name not in OF_THE_COMMAND_LINE}


def add_graph_options(parser: ArgumentParser) -> None:
    """`--set` and `--plugin`."""
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="sets",
                        help="change a value of the graph, for example nodes.fused.use=fusion.gmu; may be repeated")
    add_plugin_option(parser)


def add_plugin_option(parser: ArgumentParser) -> None:
    """`--plugin`."""
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE.py", dest="plugins",
                        help="use the components of a Python file of yours; may be repeated")


def add_data_root_option(parser: ArgumentParser) -> None:
    """`--data-root`."""
    parser.add_argument("--data-root", action="append", default=[], metavar="DIR", dest="data_roots",
                        help="a folder outside that of the data file whose files may be read; may be repeated")


def add_running_options(parser: ArgumentParser) -> None:
    """How the networks of a run are run."""
    parser.add_argument("--uncertainty", metavar="ID", help="use this uncertainty method instead of the graph's")
    parser.add_argument("--looped", action="store_true",
                        help="draw one sample after the other: to the bit those of whole passes")
    parser.add_argument("--memory", type=int, metavar="MB",
                        help="memory that samples drawn at once may take (default 256)")
    add_device_options(parser)


def add_device_options(parser: ArgumentParser) -> None:
    """`--device`, `--fold`, `--data-root` and `--plugin`."""
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute")
    parser.add_argument("--fold", type=int, metavar="K",
                        help="of a run of folds the network of this one, counted from 0 (default: all of them)")
    add_data_root_option(parser)
    add_plugin_option(parser)


def add_training_options(parser: ArgumentParser, without: Collection[str] = ()) -> None:
    """A flag for each setting of training but those of the names `without`."""
    from fusionkit.training.flags import FLAGS

    for name, takes, text in FLAGS:
        flag = "--" + name.replace("_", "-")
        if name in without:
            continue
        if takes is bool:
            parser.add_argument(flag, action="store_true", default=None, help=text)
        elif isinstance(takes, tuple):
            parser.add_argument(flag, choices=takes, help=text)
        else:
            parser.add_argument(flag, type=takes, metavar="N", help=text)

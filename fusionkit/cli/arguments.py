"""Options that several commands share, and how they are passed on."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Collection
from typing import Any

LARGEST_SEED = 1 << 62
OF_THE_COMMAND_LINE = frozenset({"command", "command_run", "command_error", "json", "verbose"})
"""What a parsed command line contains besides the arguments of the command."""


def given(args: Namespace) -> dict[str, Any]:
    """The arguments of a command as keyword arguments of the function of the same name."""
    return {name: value for name, value in vars(args).items() if name not in OF_THE_COMMAND_LINE}


def seed(text: str) -> int:
    """A seed from the command line."""
    value = int(text)
    if not 0 <= value <= LARGEST_SEED:
        raise ArgumentTypeError(f"it must be 0 to {LARGEST_SEED}, not {text}")
    return value


def add_graph_options(parser: ArgumentParser) -> None:
    """`--set` and `--plugin`."""
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="sets",
                        help="change a value of the graph, for example nodes.fused.use=fusion.gmu; may be repeated")
    add_plugin_option(parser)


def add_strict_option(parser: ArgumentParser) -> None:
    """`--strict`."""
    parser.add_argument("--strict", action="store_true",
                        help="an input that is not as the recipe of pretrained weights says is an error")


def add_plugin_option(parser: ArgumentParser) -> None:
    """`--plugin`."""
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE.py", dest="plugins",
                        help="also use the components in this Python file; may be repeated")


def add_data_root_option(parser: ArgumentParser) -> None:
    """`--data-root`."""
    parser.add_argument("--data-root", action="append", default=[], metavar="DIR", dest="data_roots",
                        help="a folder outside that of the data file whose files may be read; may be repeated")


def add_running_options(parser: ArgumentParser) -> None:
    """How the networks of a run are run."""
    parser.add_argument("--uncertainty", metavar="ID", help="use this uncertainty method instead of the graph's")
    parser.add_argument("--tta", nargs="?", const="rotate", metavar="VIEWS",
                        help="test-time augmentation: the mean over the case and its views, of rotate (the default), "
                             "lr, ap, si, with commas between")
    parser.add_argument("--looped", action="store_true",
                        help="draw samples one at a time: bit-identical to full passes, slower")
    parser.add_argument("--memory", type=int, metavar="MB",
                        help="memory that samples drawn in one batch may take (default 256)")
    add_device_options(parser)


def add_device_options(parser: ArgumentParser) -> None:
    """`--device`, `--fold`, `--data-root` and `--plugin`."""
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute")
    parser.add_argument("--fold", type=int, metavar="K",
                        help="the fold of a cross-validation run, counted from 0 (default: all)")
    add_data_root_option(parser)
    add_plugin_option(parser)


def _word_or(number: Callable[[str], Any], words: Collection[str]) -> Callable[[str], Any]:
    """The parser of an argument that is one of several words, or a number."""
    def parse(text: str) -> Any:
        return text if text in words else number(text)

    parse.__name__ = f"{', '.join(words)} or number"
    return parse


def add_training_options(parser: ArgumentParser, without: Collection[str] = ()) -> None:
    """A flag for each training setting except those in `without`."""
    from fusionkit.training.flags import FLAGS

    for name, takes, text in FLAGS:
        flag = "--" + name.replace("_", "-")
        if name in without:
            continue
        if takes is bool:
            parser.add_argument(flag, action="store_true", default=None, help=text)
        elif isinstance(takes, tuple) and isinstance(takes[-1], type):
            parser.add_argument(flag, type=_word_or(takes[-1], takes[0]), metavar="|".join((*takes[0], "N")), help=text)
        elif isinstance(takes, tuple):
            parser.add_argument(flag, choices=takes, help=text)
        else:
            parser.add_argument(flag, type=takes, metavar="N", help=text)

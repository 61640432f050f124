"""`fusionkit serve`: a trained network that answers over HTTP."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_running_options, given
from fusionkit.interface.console import Console

SUMMARY = "Serve a run or an exported network over HTTP, one case a request."
_LIMITS = ("request_mb", "waiting", "seconds")


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run, or of an exported network")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default 127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="the port (default 8000)")
    parser.add_argument("--token-file", metavar="FILE",
                        help="a file whose first line is the token that requests must have (default: the variable "
                             "FUSIONKIT_TOKEN); needed where other machines can ask")
    parser.add_argument("--name", action="append", default=[], dest="names", metavar="NAME",
                        help="a name by which the server is asked; may be repeated")
    parser.add_argument("--request-mb", type=int, default=512, metavar="MB", help="the most of one request")
    parser.add_argument("--waiting", type=int, default=64, metavar="N",
                        help="the most cases that wait or run; more are answered with 503")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="the most that one request may take")
    parser.add_argument("--workers", type=int, default=1, metavar="N",
                        help="answer by N processes, each with the network and limits of its own; one that dies is "
                             "replaced (default 1)")
    parser.add_argument("--samples", type=int, help="random passes of the uncertainty method")
    add_running_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Serve until told to end."""
    from fusionkit.interface.serve import serve
    from fusionkit.serving.engine import RequestLimits

    options = given(args)
    megabytes, waiting, seconds = (options.pop(name) for name in _LIMITS)
    limits = RequestLimits(request_bytes=megabytes << 20, waiting=waiting, seconds=seconds)
    serve(**options, limits=limits, console=console)
    return 0

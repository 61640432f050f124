"""The command line: arguments in, exit code out. 0 done, 1 failed while running, 2 the input is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from importlib import import_module
from typing import Any, NoReturn

from fusionkit import __version__
from fusionkit.cli.advice import advice, wrong_path
from fusionkit.cli.commands import GROUPS, names, summary, words
from fusionkit.cli.streams import keeps_results, open_streams, printable_warnings
from fusionkit.errors import RunError, UserError
from fusionkit.interface.console import Console
from fusionkit.printable import printable

DONE, FAILED, WRONG = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in the form of all messages."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, printable(f"{self.prog}: {message} [bad-argument]\n"
                                   f"  fix: `{self.prog} --help` shows its options\n"))


def parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; with `argv`, only the part needed to parse these words.

    If `argv` begins with a command or a group, only that one is built; for the list of commands, arguments are left
    out.
    """
    top = _Parser(prog="fusionkit", description="Multimodal fusion networks as short YAML graphs, made of plugins.")
    top.add_argument("--version", action="version", version=f"fusionkit {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    groups: dict[str, argparse._SubParsersAction[Any]] = {}
    everything, listed = names(), argv is not None and list(argv) in ([], ["-h"], ["--help"], ["--version"])
    chosen = [name for name in everything if argv and words(name)[0] == argv[0]]
    for name in chosen or everything:
        *group, last = words(name)
        place = commands
        for word in group:
            if word not in groups:
                made = commands.add_parser(word, help=GROUPS[word], description=GROUPS[word])
                groups[word] = made.add_subparsers(dest=f"{word}_command", metavar="COMMAND", required=True)
            place = groups[word]
        if listed:
            place.add_parser(last, help=summary(name))
        else:
            _add_command(place, last, name)
    return top


def _add_command(place: argparse._SubParsersAction[Any], word: str, name: str) -> None:
    command = import_module(f"fusionkit.cli.commands.{name}")
    made: argparse.ArgumentParser = place.add_parser(word, help=command.SUMMARY, description=command.SUMMARY)
    made.set_defaults(command_run=command.run, command_error=made.error)
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    made.add_argument("--verbose", action="store_true", help="show tracebacks")
    command.add_arguments(made)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Never raises for errors that a user can cause."""
    argv = sys.argv[1:] if argv is None else argv
    open_streams()
    args, unknown = parser(argv).parse_known_args(argv)
    if unknown:
        args.command_error(f"unrecognized arguments: {' '.join(unknown)}")
    console = Console(json=args.json)
    # What a plugin prints must not stand in the data: the console has standard output to itself.
    with printable_warnings(), redirect_stdout(sys.stderr) if args.json else nullcontext():
        code = _run(args, console)
    # A complete run is in its folder; a result that could not be printed is lost.
    unseen = console.lost is not None and not isinstance(console.lost, BrokenPipeError)
    return FAILED if unseen and code == DONE and not keeps_results(args.command, args) else code


def _run(args: argparse.Namespace, console: Console) -> int:
    try:
        from fusionkit.registry.entry_points import tolerate_broken_metadata

        tolerate_broken_metadata()
        code: int = args.command_run(args, console)
        return code
    except UserError as error:
        console.diagnostics(error.diagnostics)
        return _report_error(args, console, error, WRONG)
    except RunError as error:
        console.note(f"fusionkit: {error}")
        return _report_error(args, console, error, FAILED)
    except KeyboardInterrupt as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        console.note(f"fusionkit: interrupted{notes}")
        return FAILED
    except Exception as error:
        if misplaced := wrong_path(error):
            console.diagnostics([misplaced])
            return _report_error(args, console, error, WRONG)
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        console.note(f"fusionkit: {type(error).__name__}: {error}{notes}\n"
                     f"  fix: {advice(error)}; --verbose shows the traceback")
        return _report_error(args, console, error, FAILED)


def _report_error(args: argparse.Namespace, console: Console, error: BaseException, code: int) -> int:
    if args.verbose:
        import traceback

        console.note("".join(traceback.format_exception(error)).rstrip("\n"))
    return code

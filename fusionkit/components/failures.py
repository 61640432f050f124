"""The message for a component that fails: its id, its inputs, and its own error in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, RunError, Span

if TYPE_CHECKING:
    from fusionkit.components.config import ComponentError
    from fusionkit.shapes.layouts import TensorShape

_SHOWN = 8


def listed(inputs: Sequence[tuple[str, TensorShape]]) -> str:
    """Inputs with their shapes as a message shows them; only the first if there are many."""
    more = f" and {len(inputs) - _SHOWN} more" if len(inputs) > _SHOWN else ""
    return ", ".join(f"{label or 'input'} ({shape})" for label, shape in inputs[:_SHOWN]) + more


def component_failed(
    use: str, inputs: Sequence[tuple[str, TensorShape]], error: Exception, span: Span | None = None
) -> Diagnostic:
    """The diagnostic for a component that raised an error of its own."""
    text = str(error).strip().partition("\n")[0]
    return Diagnostic("component-failed", f"{use} fails on its inputs: {listed(inputs)}", span,
                      why=f"{type(error).__name__}: {text}" if text else type(error).__name__,
                      fix="check its options against its inputs; if they are correct, report it to the plugin's author")


def refused(use: str, error: ComponentError, span: Span | None = None) -> Diagnostic:
    """The diagnostic of a component that cannot be used as in the graph; it always has a fix."""
    return Diagnostic("component", f"{use}: {error}", span, error.why, error.fix or
                      f"change its options or what it reads; `fusionkit plugins show {use}` says what it takes")


class StoppedError(Exception):
    """Code of a plugin raised an exception that ends a program, such as SystemExit or KeyboardInterrupt: `cause`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(raised(cause))
        self.cause = cause


def raised(error: BaseException) -> str:
    """An exception in one line, with the place where it was raised."""
    if isinstance(error, StoppedError):
        return raised(error.cause)
    place = raised_at(error)
    return f"{type(error).__name__.lstrip('_')}: {_text(error)}".strip() + (f" ({place})" if place else "")


def called(id: str, method: object, hook: str, *given: Any) -> Any:
    """What a hook of a component gives. Raises: RunError that names the component and the hook, if it fails."""
    try:
        return getattr(method, hook)(*given)
    except Exception as error:
        raise RunError(f"{id} fails in {hook!r}: {raised(error)}") from error


def _text(error: BaseException) -> str:
    """The first line of the message; for an exception of a plugin even this may fail."""
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        return str(text).strip().partition("\n")[0]
    except Exception as second:
        return f"its message cannot be shown: {type(second).__name__}"


def raised_at(error: BaseException, inside: str = "") -> str:
    """file:line where an exception was raised, without the import system; '' if unknown.

    `inside` is a folder: the innermost place in that folder is preferred.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    trace, places = error.__traceback__, []
    while trace:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    real = [place for place in places if not place[0].startswith("<")]
    own = [place for place in real if inside and place[0].startswith(inside)]
    return "{}:{}".format(*(own or real)[-1]) if real else ""

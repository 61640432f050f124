"""What is said when a component fails: its id, what it was given, and its own words in one line."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.errors import Diagnostic, Span
from fusionkit.shapes import TensorShape

_SHOWN = 8


def listed(inputs: Sequence[tuple[str, TensorShape]]) -> str:
    """Inputs with their shapes as a message shows them; of many only the first."""
    more = f" and {len(inputs) - _SHOWN} more" if len(inputs) > _SHOWN else ""
    return ", ".join(f"{label or 'input'} ({shape})" for label, shape in inputs[:_SHOWN]) + more


def component_failed(
    use: str, inputs: Sequence[tuple[str, TensorShape]], error: Exception, span: Span | None = None
) -> Diagnostic:
    """The finding that a component raised an error of its own."""
    text = str(error).strip().partition("\n")[0]
    return Diagnostic("component-failed", f"{use} fails on its inputs: {listed(inputs)}", span,
                      why=f"{type(error).__name__}: {text}" if text else type(error).__name__,
                      fix="check its options against its inputs; if they are right, tell the plugin's author")

"""Keyword arguments declared once, as a TypedDict, and listed one by one in `help` and in notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])


def spell_out(options: Any, defaults: Mapping[str, Any] | None = None) -> Callable[[_Function], _Function]:
    """Give a function with `**settings: Unpack[options]` a signature that lists every key, with its default or None.

    Editors and type checkers read the TypedDict itself; `help`, IPython and `inspect` see `**settings` alone. With
    `defaults` the function is called with those as well, and unknown keys raise the usual TypeError.
    """
    def spelled_out(function: _Function) -> _Function:
        own = signature(function)
        listed = [part for part in own.parameters.values() if part.kind is not Parameter.VAR_KEYWORD]
        keys = [Parameter(name, Parameter.KEYWORD_ONLY, default=(defaults or {}).get(name),
                          annotation=getattr(written, "__forward_arg__", written))
                for name, written in options.__annotations__.items()]
        spelled = own.replace(parameters=[*listed, *keys])

        @wraps(function)
        def filled(*args: Any, **given: Any) -> Any:
            for name in given:
                if name not in spelled.parameters:
                    raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}")
            return function(*args, **{**(defaults or {}), **given})

        made: Any = function if defaults is None else filled
        made.__signature__ = spelled
        return cast(_Function, made)

    return spelled_out

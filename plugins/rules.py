"""What a plugin's hooks must be, checked before any of them is registered.

The law of this module: what pluggy would find late or never (a misspelt hook, a coroutine that
nobody awaits, a wrapper around nothing) is said here at once, in one line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from . import hookspecs
from .shelf import nearest

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("focal_"))


def fault_in(
    plugin: object, options_of: Callable[[object, str], Mapping[str, object] | None]
) -> str | None:
    """Say what is wrong with a plugin's hooks; None if nothing is.

    Args:
        plugin: the object or module.
        options_of: what ``@hookimpl`` noted on one of its attributes; None where it noted nothing.
    """
    marked = {name: options_of(plugin, name) for name in dir(plugin)}
    faults = [
        _fault(str(options.get("specname") or name), getattr(plugin, name), options)
        for name, options in marked.items()
        if options is not None
    ]
    if not faults:
        return "it has no hook: mark its functions with @hookimpl"
    return next(filter(None, faults), None)


def _fault(hook: str, function: Callable[..., object], options: Mapping[str, object]) -> str | None:
    """Say why a function cannot implement a hook; None if it can."""
    if hook not in HOOKS:
        return f"there is no hook {hook!r}{nearest(hook, HOOKS)}"
    if options.get("wrapper") or options.get("hookwrapper"):
        return f"{hook} is a wrapper; focal asks plugins one by one, with nothing to wrap"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"{hook} is a coroutine function; hooks are plain functions"
    return _unheard_of(hook, function)


def _unheard_of(hook: str, function: Callable[..., object]) -> str | None:
    given = inspect.signature(getattr(hookspecs, hook)).parameters
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in given and parameter.default is parameter.empty:
            return f"{hook} has no argument {name!r}; it has {', '.join(given) or 'none'}"
    return None

"""What a plugin's hooks must be, checked before any of them is registered.

The law of this module: what pluggy would find late or never (a misspelt hook, a coroutine that
nobody awaits, a wrapper around nothing) is said here at once, in one line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TypeAlias

from . import CONTRACT, hookspecs
from .shelf import nearest

CONTRACT_NAME = "FOCAL_CONTRACT"

Options: TypeAlias = Mapping[str, object]
OptionsOf: TypeAlias = Callable[[object, str], Options | None]
"""What ``@hookimpl`` noted on an attribute of a plugin; None where it noted nothing."""


def hook_names(specs: object) -> tuple[str, ...]:
    """Return the names of all hooks of a module (or class) of specifications."""
    return tuple(name for name in vars(specs) if name.startswith("focal_"))


HOOKS = hook_names(hookspecs)


def fault_in(plugin: object, options_of: OptionsOf, specs: object = hookspecs) -> str | None:
    """Say what is wrong with a plugin's hooks; None if nothing is.

    Args:
        plugin: the object or module.
        options_of: see ``OptionsOf``.
        specs: the hooks there are.
    """
    if fault := _newer(plugin):
        return fault
    faults = [
        _fault(hook, function, options, specs)
        for hook, function, options in implemented(plugin, options_of)
    ]
    if not faults:
        return "it has no hook: mark its functions with @hookimpl"
    return next(filter(None, faults), None)


def implemented(
    plugin: object, options_of: OptionsOf
) -> list[tuple[str, Callable[..., object], Options]]:
    """Return the hooks that a plugin implements, each with the function and its options."""
    marked = {name: options_of(plugin, name) for name in dir(plugin)}
    return [
        (str(options.get("specname") or name), getattr(plugin, name), options)
        for name, options in marked.items()
        if options is not None
    ]


def _newer(plugin: object) -> str | None:
    """Say why a plugin's contract is not this focal's; None if it is, or it says none."""
    wanted: object = getattr(plugin, CONTRACT_NAME, 1)
    if not isinstance(wanted, int) or wanted < 1:
        return f"{CONTRACT_NAME} is a number from 1 up, not {wanted!r}"
    if wanted > CONTRACT:
        return (
            f"it needs contract {wanted} of focal's plugins, and this focal has {CONTRACT}: "
            "update focal, or use an older version of the plugin"
        )
    return None


def _fault(
    hook: str, function: Callable[..., object], options: Options, specs: object
) -> str | None:
    """Say why a function cannot implement a hook; None if it can."""
    hooks = hook_names(specs)
    if hook not in hooks:
        return f"there is no hook {hook!r}{nearest(hook, hooks)}"
    if options.get("wrapper") or options.get("hookwrapper"):
        return f"{hook} is a wrapper; focal asks plugins one by one, with nothing to wrap"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"{hook} is a coroutine function; hooks are plain functions"
    return _unheard_of(hook, function, specs)


def _unheard_of(hook: str, function: Callable[..., object], specs: object) -> str | None:
    given = inspect.signature(getattr(specs, hook)).parameters
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in given and parameter.default is parameter.empty:
            return f"{hook} has no argument {name!r}; it has {', '.join(given) or 'none'}"
    return None

"""The one import a plugin needs: ``from focal.plugins import hookimpl``.

Nothing of focal is imported here, so that declaring a hook costs nothing.
"""

import pluggy

NAME = "focal"
hookimpl = pluggy.HookimplMarker(NAME)

CONTRACT = 2
"""The plugin contract of this focal; it goes up by one when plugins can ask for something new.

A plugin says the one that it needs, ``FOCAL_CONTRACT = 1``, or nothing where any will do.
"""

__all__ = ["CONTRACT", "NAME", "hookimpl"]

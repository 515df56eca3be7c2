"""The one import a plugin needs: ``from focal.plugins import hookimpl``.

Nothing of focal is imported here, so that declaring a hook costs nothing.
"""

import pluggy

NAME = "focal"
hookimpl = pluggy.HookimplMarker(NAME)

__all__ = ["NAME", "hookimpl"]

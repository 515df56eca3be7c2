"""A plugin that cannot be imported."""

raise ImportError("no library for this radio")

"""The log on stderr, as text or as JSON objects."""

from __future__ import annotations

import json
import logging
from typing import TextIO

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return super().format(record)


class _Objects(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        what = {"at": record.created, "level": record.levelname.lower(), "logger": record.name}
        said = {**what, "text": record.getMessage()}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def start(stream: TextIO, form: str, verbose: int) -> None:
    """Write focal's log to ``stream``: warnings, with 1 what is done, with 2 everything."""
    handler = logging.StreamHandler(stream)
    text = _Lines("%(levelname)s: %(name)s: %(message)s")
    handler.setFormatter(_Objects() if form == "json" else text)
    logger = logging.getLogger("focal")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[min(verbose, len(LEVELS) - 1)])

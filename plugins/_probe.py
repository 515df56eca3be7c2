"""The child process that tries one plugin: ``python -m focal.plugins._probe OUT``.

The law of this module: the plugin may print, exit and hang; the report goes into the file OUT, and
the process ends with it, whatever threads the plugin has started.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from .builtins import Known
from .examine import examine
from .models import Models


def main(out: str) -> None:
    """Read what to try (name, module, file, models) from standard input; write its report."""
    given: dict[str, Any] = json.load(sys.stdin)
    file = Path(given["file"]) if given["file"] else None
    one = Known(given["name"], given["module"], given["distribution"], file=file)
    report = examine(one, Models(Path(given["models"])))
    Path(out).write_text(json.dumps(report.as_object()), encoding="utf-8")
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])

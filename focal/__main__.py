"""``python -m focal``: the same as ``focal``."""

from .cli import main

if __name__ == "__main__":
    main()

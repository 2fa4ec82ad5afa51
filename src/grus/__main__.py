"""``python -m grus`` and the command ``grus``."""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> int:
    """The command line; where a package that it needs is not installed, the sentence that says so."""
    try:
        cli = import_module("grus.cli")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "grus":
            raise
        print(f"grus: needs the package {error.name!r}, which is not installed; pip install 'grus[train]'", file=sys.stderr)
        return 1
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

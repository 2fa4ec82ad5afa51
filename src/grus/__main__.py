"""``python -m grus`` is the ``grus`` command."""

from __future__ import annotations

import sys

from grus.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""Published forecasting results, made again by command: ``python -m tables``.

A table is settings, a protocol and the published figures. Settings are chosen on the validation part alone; the test part is read once, at the end.
"""

from __future__ import annotations

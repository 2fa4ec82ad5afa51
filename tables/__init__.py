"""Published results of forecasting and classification, made again by command: ``python -m tables``.

A table is settings, a protocol and the published figures. Settings are chosen on the validation part alone; the test part is read
once, at the end, and a table says where it was read before.
"""

from __future__ import annotations

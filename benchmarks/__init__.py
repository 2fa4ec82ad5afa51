"""Speed and memory of Grus beside its peers: ``python -m benchmarks.layers``, ``.step`` and ``.memory``."""

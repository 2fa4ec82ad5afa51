"""Streaming: a session keeps a cell's state and takes one step per call, on compiled kernels, without PyTorch."""

from __future__ import annotations

from grus.runtime.session import Session

__all__ = ["Session"]

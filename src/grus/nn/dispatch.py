"""Which back end runs a pass, and what it must be able to assume about its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from grus.errors import BackendError, DtypeError, OptionError
from grus.nn import native, operators, torch_backend, watch
from grus.nn.options import Backend
from grus.nn.passes import Pass, Result
from grus.nn.plan import NATIVE_DTYPES, NATIVE_PRECISIONS
from grus.nn.sequences import Batch


def choose(who: str, asked: Backend, like: Tensor, precision: str = "float32") -> Literal["native", "torch"]:
    """The back end for tensors like this one and this precision of products.

    Raises: BackendError where "native" is asked for and cannot run; OptionError for bfloat16 products of wider tensors.
    """
    if precision == "bf16" and like.dtype == torch.float64:
        raise OptionError(
            f"{who}: precision='bf16' must have float32 tensors, got {like.dtype}; convert them with .float(), or use precision='float32'"
        )
    able = like.is_cpu and like.dtype in NATIVE_DTYPES and precision in NATIVE_PRECISIONS
    if asked == "native" and not able:
        found = f"{like.dtype} on {like.device} with precision={precision!r}"
        raise BackendError(f"{who}: backend='native' must have float32 or float64 tensors on the CPU, got {found}; use backend='auto'")
    return "native" if able and asked != "torch" else "torch"


def run(who: str, asked: Backend, request: Pass) -> Result:
    """Run one pass on the back end that was asked for; an empty batch has nothing to compute and takes PyTorch's way.

    Raises: BackendError where "native" is asked for and something follows every operation, as ``torch.jit.trace`` does.
    """
    if choose(who, asked, request.inputs[0], request.plan.precision) == "torch" or request.timeline.rows == 0:
        return torch_backend.run(request)
    if torch.compiler.is_compiling():
        return operators.run(request)
    if watch.possible():
        follower = watch.follower((*request.inputs, *request.tensors, *request.states, *request.restart))
        if follower is not None and asked == "native":
            raise BackendError(f"{who}: backend='native' must run outside {follower}, got a call inside it; use backend='auto'")
        if follower is not None:
            return torch_backend.run(request)
    return native.run(request)


def side_by_side(who: str, asked: Backend, like: Tensor, widths: Sequence[int], precision: str) -> native.SideBySide | None:
    """Room for the outputs, of these widths, of passes over such a stream, [T, B, any] or packed [N, any], where the compiled kernels run them.

    Raises: as ``choose``.
    """
    if torch.compiler.is_compiling() or watch.possible() or choose(who, asked, like, precision) == "torch" or not like.numel():
        return None
    return native.SideBySide(like, widths)


def agree(who: str, batch: Batch, weight: Tensor) -> Batch:
    """The batch in the weights' element type and on their device; only autocast converts.

    Raises: DtypeError, BackendError.
    """
    batch.streams = tuple([convert(who, "input", stream, weight) for stream in batch.streams])
    return batch


def convert(who: str, name: str, value: Tensor, weight: Tensor) -> Tensor:
    """A tensor in the weights' element type and on their device; only autocast converts.

    Raises: DtypeError, BackendError.
    """
    device, dtype = weight.device, weight.dtype
    if value.device != device:
        raise BackendError(f"{who}: {name} must be on {device} as the weights are, got {value.device}; move one of them with .to(...)")
    if value.dtype == dtype:
        return value
    if not (torch.is_autocast_enabled(device.type) and value.is_floating_point()):
        raise DtypeError(f"{who}: {name} must be {dtype} as the weights are, got {value.dtype}; convert it with .to({dtype})")
    return value.to(dtype)

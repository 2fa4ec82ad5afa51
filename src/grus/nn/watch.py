"""What follows a computation operation by operation, and so needs PyTorch's: compiled kernels are invisible to it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.autograd import forward_ad

_legacy: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor
_innermost: Callable[[], object] = torch._C._functorch.peek_interpreter_stack
_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
_tracing: Callable[[], object] = torch._C._get_tracing_state


def in_transform() -> bool:
    """Whether a transform of ``torch.func`` (grad, jvp, vmap, ...) is at work; not while ``torch.compile`` captures a graph."""
    return _innermost() is not None


def batched(gradients: Iterable[Tensor | None]) -> bool:
    """Whether ``torch.func.vmap`` or ``torch.autograd.grad(..., is_grads_batched=True)`` has put many gradients into each of these."""
    return in_transform() or any([gradient is not None and _legacy(gradient) for gradient in gradients])  # noqa: C419 - a list is faster


def possible() -> bool:
    """Whether anything may be following; it costs next to nothing to ask."""
    return _tracing() is not None or _innermost() is not None or forward_ad._current_level >= 0 or _modes() > 0


def follower(tensors: Iterable[Tensor | None]) -> str | None:
    """What follows operations on these tensors, in words; None where nothing does."""
    if _tracing() is not None:
        return "torch.jit.trace"
    if in_transform():
        return "a transform of torch.func"
    if _modes() > 0:
        return "a TorchDispatchMode such as make_fx"
    if forward_ad._current_level >= 0 and any(tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors):
        return "forward-mode differentiation"
    return None

"""The processes that train one network together; most often it is one."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from grus.errors import BackendError


def rank_of_process() -> int:
    """The number of this process among those that ``torchrun`` started, 0 without it."""
    return int(os.environ.get("RANK", "0"))


def count_of_processes() -> int:
    """How many processes ``torchrun`` started, on all machines; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leave() -> None:
    """End this process's part in the group, which else may abort the interpreter at its exit, threads of the group still running."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def processes_here() -> int:
    """How many of them run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, which see different batches and make the same updates."""

    number: int
    count: int
    device: torch.device

    def sum_gradients(self, weights: Sequence[nn.Parameter], *numbers: Tensor) -> tuple[Tensor, ...]:
        """Every gradient becomes its sum over the processes, and so do the numbers, in one message; a process that has none for a weight adds
        zeros, and a weight that none has one for is left without.

        Sums are what adds up where processes see different numbers of known targets; a mean of means, as DDP's own wrapper takes it, does not.
        The gradients are then parts of the message, which is not copied once more.
        Raises: BackendError where a process has ended.
        """
        if self.count == 1:
            return numbers
        having = torch.tensor([float(weight.grad is not None) for weight in weights], device=self.device)
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        kind = torch.promote_types(gradients[0].dtype, torch.float32)
        sent = (*gradients, *numbers, having)
        flat = torch.cat([part.reshape(-1).to(self.device, kind) for part in sent])
        self._sum(flat)
        *parts, having = flat.split([part.numel() for part in sent])
        for weight, gradient, part, count in zip(weights, gradients, parts, having.tolist(), strict=False):
            weight.grad = part.view_as(gradient).to(gradient.device, gradient.dtype) if count else None
        return tuple(part.reshape(()) for part in parts[len(gradients) :])

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over the processes.

        Raises: BackendError where a process has ended.
        """
        if self.count == 1:
            return list(numbers)
        found = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        self._sum(found)
        return found.tolist()

    def share(self, data: bytes | None) -> bytes:
        """The first process's bytes, in all of them.

        Raises: BackendError where a process has ended.
        """
        if self.count == 1:
            assert data is not None
            return data
        (size,) = self.sum_numbers([float(len(data)) if data is not None else 0.0])
        found = torch.zeros(int(size), dtype=torch.uint8, device=self.device)
        if data is not None:
            found.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        self._sum(found)
        return found.cpu().numpy().tobytes()

    def _sum(self, values: Tensor) -> None:
        try:
            distributed.all_reduce(values)
        except RuntimeError as error:
            said = str(error).strip().splitlines()[0]
            raise BackendError(
                f"fit: all {self.count} processes of the run must answer, got none from one ({said}); "
                "see why it ended, then start all of them again with resume."
            ) from error

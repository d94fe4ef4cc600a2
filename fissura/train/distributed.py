"""Several processes that train together, one per device, as `torchrun` starts them.

A batch is that of all processes together: each computes its share of it, and every process knows
the loss of the whole batch. With the norms' statistics taken over all processes too, weights and
losses are those of one process but for rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn import functional as across
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from fissura.types import InputError

PATIENCE = timedelta(hours=4)
"""How long the others wait while the first process validates."""


@dataclass(frozen=True)
class Team:
    """The processes of a run; this one is the `rank`-th of `size` and computes on `device`."""

    rank: int
    size: int
    device: str

    @property
    def writes(self) -> bool:
        """Whether this process validates, logs and saves."""
        return self.rank == 0

    def places(self, batch_size: int) -> range:
        """Which places of a batch are this process's; InputError where they cannot be shared."""
        each, rest = divmod(batch_size, self.size)
        if rest:
            raise InputError(
                f"stages.batch_size: {batch_size} is that of all {self.size} processes together; "
                "give a multiple of their number"
            )
        return range(self.rank * each, (self.rank + 1) * each)

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch."""
        places = self.places(len(batch))
        return batch[places.start : places.stop]

    def wrap(self, network: nn.Module) -> nn.Module:
        """`network`, whose gradients become the same in all processes."""
        if self.size == 1:
            return network
        devices = [torch.device(self.device)] if self.device != "cpu" else None
        # Parameters that no output depends on are stored by some published networks.
        return DistributedDataParallel(network, devices, find_unused_parameters=True)

    def gather(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of all processes, in the batch's order; gradients reach the own part only."""
        return {name: self._gathered(values) for name, values in outputs.items()}

    def _gathered(self, values: Tensor) -> Tensor:
        if self.size == 1:
            return values
        parts = [torch.empty_like(values).contiguous() for _ in range(self.size)]
        dist.all_gather(parts, values.detach().contiguous())
        parts[self.rank] = values
        return torch.cat(parts)


ALONE = Team(0, 1, "cpu")


def speaks() -> bool:
    """Whether this is the process that tells how a run goes: the first of those of torchrun."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """The team that torchrun has started this process in, or this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(0, 1, device)
        return
    own = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
    if device == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(dist.get_rank(), size, own)
    finally:
        dist.destroy_process_group()


def _sum_of_all(values: Tensor) -> Tensor:
    """Over the processes; gradients reach all of them."""
    total: Tensor = across.all_reduce(values)  # type: ignore[no-untyped-call]
    return total


class _SharedStatistics(_BatchNorm):
    """A batch norm that takes its statistics over the batches of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """N×C×… → the same shape."""
        if not self.training:
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        values, size = x.float(), dist.get_world_size()
        mean = _sum_of_all(values.mean(axes)) / size
        centred = values - mean.view(shape)
        variance = _sum_of_all(centred.square().mean(axes)) / size
        self._follow(mean.detach(), variance.detach(), size * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        found: Tensor = centred * scale.view(shape) + self.bias.view(shape)
        return found.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None  # noqa: PT018
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = self.momentum or 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * count / max(count - 1, 1), weight)


class SharedBatchNorm1d(_SharedStatistics, nn.BatchNorm1d):
    """Of N×C or N×C×L."""


class SharedBatchNorm2d(_SharedStatistics, nn.BatchNorm2d):
    """Of N×C×H×W."""


def share_statistics(network: nn.Module) -> None:
    """Let every batch norm of `network` count the batches of all processes, in place."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm1d:
                setattr(module, name, _sharing(child, SharedBatchNorm1d))
            elif type(child) is nn.BatchNorm2d:
                setattr(module, name, _sharing(child, SharedBatchNorm2d))


def _sharing(norm: _BatchNorm, kind: type[_BatchNorm]) -> _BatchNorm:
    other = kind(norm.num_features, norm.eps, norm.momentum)
    other.load_state_dict(norm.state_dict())
    return other

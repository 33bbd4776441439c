"""The same weights from the same plan, as far as PyTorch can: sums in a fixed order."""

from __future__ import annotations


def settle(*, deterministic: bool) -> None:
    """Take kernels that add up in a fixed order, where there are any, or those that are fastest.

    An operation without one runs all the same, and PyTorch says so in build.log. cuBLAS needs no setting for
    it: PyTorch gives each stream a workspace of its own. Memory is not filled before it is used, as
    PyTorch would do for what reads it too early.
    """
    import torch

    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False

"""What kernels take for themselves while they run, which no trace of operations shows.

Each entry follows the kernel's own source in PyTorch: bytes by the operation's arguments and result.
"""

from __future__ import annotations

from typing import Any

import torch

from ftc.estimate.abstract.tracker import Scratch

Arguments = tuple[Any, ...]


def _padded(size: int, to: int) -> int:
    return -(-size // to) * to


def _nbytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def flash_backward(args: Arguments, _out: Any) -> int:
    """FlashAttention 2: dq in float32, softmax_d, dk and dv per query head (mha_bwd of flash_api.cpp)."""
    query, key = args[1], args[2]
    batch, heads, length, width = query.shape
    rows = batch * heads * _padded(length, 128)
    accumulated = rows * _padded(width, 32) * 4 + rows * 4
    expanded = 0 if key.shape[1] == heads else 2 * batch * heads * key.shape[2] * width * key.element_size()
    return int(accumulated + expanded)


def efficient_backward(args: Arguments, _out: Any) -> int:
    """Memory-efficient attention: delta, and dq in float32 (attention_backward.cu)."""
    query = args[1]
    batch, heads, length, width = query.shape
    return int(batch * heads * length * 4) * int(1 + _padded(width, 32) * (query.element_size() < 4))


def softmax_backward(args: Arguments, _out: Any) -> int:
    """The product of gradient and output, of their size (SoftMax.cu, softmax_backward_cuda_out)."""
    return _nbytes(args[0])


def log_softmax(args: Arguments, _out: Any) -> int:
    """The input made contiguous, where it is not (SoftMax.cu, host_softmax; SoftMax.cpp)."""
    return 0 if args[0].is_contiguous() else _nbytes(args[0])


def logsumexp(args: Arguments, _out: Any) -> int:
    """Exponentials of the input less its maximum, and the maxima (ReduceOps.cpp, logsumexp_out_impl)."""
    size = _nbytes(args[0])
    return size + size // int(args[0].shape[args[1][0]])


def multinomial(args: Arguments, _out: Any) -> int:
    """Random numbers of the chances' size (Distributions.cpp, multinomial of one sample)."""
    return _nbytes(args[0])


def embedding_backward(args: Arguments, _out: Any) -> int:
    """Sorted indices, and partial sums of up to ten rows each in float32 (EmbeddingBackwardKernel.cu)."""
    gradient, indices, rows = args[0], args[1], args[2]
    tokens = indices.numel()
    if tokens <= 3072:  # one kernel, which needs none of this
        return 0
    segments = -(-tokens // 10) + min(tokens, rows)
    return int(4 * tokens * 8 + segments * gradient.shape[-1] * 4)


def foreach_norm(args: Arguments, _out: Any) -> int:
    """Partial norms of chunks of 65536 elements, for each tensor as for the largest (ForeachReduceOp.cu)."""
    tensors = args[0]
    chunks = max(-(-tensor.numel() // 65536) for tensor in tensors)
    return int(len(tensors) * chunks * 4)


def gemm_4bit(args: Arguments, _out: Any) -> int:
    """The weight in the input's dtype, and scales quantised twice in float32 (bitsandbytes, default/ops.py).

    A batch of up to 512 tokens has kernels on CUDA which need neither.
    """
    values, (rows, columns), scales, block = args[0], args[2], args[3], args[4]
    blocks = -(-rows * columns // block)
    doubled = 0 if scales.numel() == blocks else blocks * 4
    return int(rows * columns * values.element_size() + doubled)


def gemm_4bit_cuda(args: Arguments, out: Any) -> int:
    """As `gemm_4bit`, unless the batch is small."""
    tokens = args[0].numel() // args[0].shape[-1]
    return 0 if tokens <= 512 else gemm_4bit(args, out)


def blockwise_cpu(args: Arguments, _out: Any) -> int:
    """Both states, the gradient, two terms of the update and a lower weight, all in float32 (cpu/ops.py)."""
    weight = args[2]
    return int(weight.numel() * 4 * (5 + (weight.element_size() < 4)))


def int8_outliers(args: Arguments, _out: Any) -> int:
    """Magnitudes of the input, and which exceed the threshold (bitsandbytes, cuda/ops.py)."""
    values = args[0]
    return int(values.numel() * (values.element_size() + 1))


def int8_product(args: Arguments, _out: Any) -> int:
    """The int32 product before it is scaled (bitsandbytes, default/ops.py)."""
    left, right = args[1], args[2]
    return int(left.numel() // left.shape[-1] * right.shape[0] * 4)


CUDA: dict[str, Scratch] = {
    "_scaled_dot_product_flash_attention_backward": flash_backward,
    "_scaled_dot_product_efficient_attention_backward": efficient_backward,
    "_softmax_backward_data": softmax_backward,
    "_log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "multinomial": multinomial,
    "embedding_dense_backward": embedding_backward,
    "_foreach_norm": foreach_norm,
    "gemm_4bit": gemm_4bit_cuda,
    "int8_vectorwise_quant": int8_outliers,
    "int8_mixed_scaled_mm": int8_product,
}

CPU: dict[str, Scratch] = {
    "gemm_4bit": gemm_4bit,
    "optimizer_update_8bit_blockwise": blockwise_cpu,
    "_log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "multinomial": multinomial,
}

BACKENDS: dict[str, dict[str, Scratch]] = {"cuda": CUDA, "cpu": CPU}

"""Similarity of two kernels on the same inputs."""

import math

import numpy as np
from jaxtyping import Real

from kdtheory.errors import InputError, KernelError
from kdtheory.typing import ArrayLike


def ntk_similarity(
    first: Real[ArrayLike, "..."],
    second: Real[ArrayLike, "..."],
    *,
    centred: bool = False,
    num_outputs: int = 1,
) -> float:
    """Return the cosine of two kernels, <K1, K2>_F / (||K1||_F ||K2||_F).

    1 where one is a multiple of the other, 0 where they have nothing in common; between positive
    semidefinite kernels never negative. Does not change when either is scaled.

    Args:
      first: kernel, shape (N, N), on the same inputs in the same order as `second`.
      second: kernel, shape (N, N). Networks with different numbers of outputs are compared by
        their kernels summed over outputs ("trace").
      centred: take the mean over examples out of the features first (K -> H K H with
        H = I - 11^T / n), which gives centred kernel alignment, CKA.
      num_outputs: d for "full" kernels of shape (n d, n d), example-major: each output's mean
        over examples is taken out. It matters only when `centred`.

    Returns:
      The cosine, computed in float64.

    Raises:
      KernelError: not square, of different shapes, NaN or infinite, zero (after centring).
      InputError: num_outputs that does not divide N.

    Source: paper (NTK similarity); Cortes et al. 2012 and Kornblith et al. 2019 for CKA.

    >>> K = np.diag([1.0, 2.0, 3.0])
    >>> round(ntk_similarity(K, 5 * K), 12)
    1.0
    >>> ntk_similarity(np.diag([1.0, 0.0]), np.diag([0.0, 1.0]))
    0.0
    >>> round(ntk_similarity(np.diag([1.0, 0.0]), np.diag([0.0, 1.0]), centred=True), 12)
    1.0
    """
    a, b = (np.asarray(kernel, dtype=np.float64) for kernel in (first, second))
    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape != b.shape:
        raise KernelError(
            f"similarity needs two square kernels of one shape, got {a.shape} and {b.shape}; "
            'compare networks of different numbers of outputs by their "trace" kernels'
        )
    if num_outputs < 1 or a.shape[0] % num_outputs:
        raise InputError(
            f"num_outputs must divide the kernels' {a.shape[0]} rows, got {num_outputs}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise KernelError("a kernel has NaN or infinite entries; compute it again")
    scale_a, scale_b = (float(np.abs(kernel).max(initial=0.0)) for kernel in (a, b))
    if centred:
        a, b = _centre(a, num_outputs), _centre(b, num_outputs)
    norm_a, norm_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    # What centring leaves of a constant kernel is rounding, not a direction.
    rounding = 10 * np.finfo(np.float64).eps * a.shape[0]
    if norm_a <= rounding * scale_a or norm_b <= rounding * scale_b:
        state = "zero after centring" if centred else "zero"
        raise KernelError(f"a kernel is {state}: its similarity to another is not defined")
    cosine = float(np.vdot(a / norm_a, b / norm_b))
    return math.copysign(min(abs(cosine), 1.0), cosine)


def _centre(kernel: np.ndarray, num_outputs: int) -> np.ndarray:
    """H K H with H = (I - 11^T / n) for each output."""
    n = kernel.shape[0] // num_outputs
    blocks = kernel.reshape(n, num_outputs, n, num_outputs)
    rows = blocks.mean(axis=0, keepdims=True)
    columns = blocks.mean(axis=2, keepdims=True)
    centred = blocks - rows - columns + rows.mean(axis=2, keepdims=True)
    return centred.reshape(kernel.shape)

"""What the sum-of-logits kernel leaves out, measured against the exact one on a subset.

The kernel of the sum of the outputs over sqrt(d), `outputs="sum"`, costs as much as that of one
output and stands in for the others: at initialisation and infinite width the d outputs are
independent and alike, K_ab = 0 for a != b and K_aa = K_bb, so that K_sum = Tr_outputs K / d and
K = K_sum x I_d (the "pseudo-NTK"; Mohamadi, Bae and Sutherland, ICML 2023, arXiv 2206.12543).
Nothing of this is said of trained networks; so it is measured.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from kdtheory.errors import InputError
from kdtheory.ntk.dense import gram
from kdtheory.ntk.operators import Estimate
from kdtheory.typing import ApplyFn, ArrayLike


class SumOfLogits(NamedTuple):
    """Relative Frobenius errors of the sum-of-logits kernel, with jackknife standard errors.

    With K_ab the (n, n) block of outputs a and b, K_sum = sum_ab K_ab / d, K_mean = sum_a K_aa / d.

    Attributes:
      mean_error: ||K_sum - K_mean|| / ||K_mean||: as a kernel for all outputs alike.
      full_error: ||K - K_sum x I|| / ||K||: in place of the whole kernel.
      best_full_error: ||K - K_mean x I|| / ||K||, the least that any kernel of the form M x I
        has; the share of `full_error` that is no fault of the sum.
      random_signs_error: the root mean square of `mean_error` if the outputs were summed with
        random signs: ||K_v - K_mean|| / ||K_mean||, v = +-1, whose mean over v is K_mean exactly.
      scale: Tr K_sum / Tr K_mean; 1 where outputs are uncorrelated on average.
      cosine: <K_sum, K_mean> / (||K_sum|| ||K_mean||).
      examples: positions of the subset's examples.
    """

    mean_error: Estimate
    full_error: Estimate
    best_full_error: Estimate
    random_signs_error: Estimate
    scale: float
    cosine: float
    examples: Int[np.ndarray, " subset"]


def sum_of_logits_error(
    apply_fn: ApplyFn,
    variables: Any,
    x: ArrayLike,
    *,
    key: jax.Array,
    subset: int = 64,
    dtype: Any = None,
) -> SumOfLogits:
    r"""Return how far the sum-of-logits kernel is from the exact one, on random examples of x.

    One exact kernel of `subset` examples and all d outputs. The errors are ratios of sums over
    pairs of examples, so those of a random subset estimate those of all of x; the standard errors
    (delete-one-example jackknife) say how well.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d), each example on its own.
      variables: {"params": ..., "batch_stats": ...}; only "params" is differentiated.
      x: inputs of shape (n, ...).
      key: PRNG key of the subset.
      subset: examples to compare on, at least 3; all of x if it has no more.
      dtype: as for `gram`.

    Raises:
      InputError: as `gram`; a subset of fewer than 3 examples.
      KernelError: as `gram`.

    >>> import flax.linen as nn
    >>> model, x = nn.Dense(4), np.eye(5, dtype=np.float32)
    >>> found = sum_of_logits_error(
    ...     model.apply, model.init(jax.random.key(0), x), x, key=jax.random.key(1)
    ... )
    >>> found.full_error.value, found.scale  # a linear model's outputs share nothing: exact
    (0.0, 1.0)
    """
    x = np.asarray(x)
    if min(subset, len(x)) < 3:
        raise InputError(f"a subset needs at least 3 examples; got {min(subset, len(x))}")
    seed = [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]
    examples = np.random.default_rng(seed).permutation(len(x))[:subset]
    full = gram(apply_fn, variables, x[examples], outputs="full", dtype=dtype)
    return compare_sum_of_logits(full, num_outputs=len(full) // len(examples))._replace(
        examples=examples
    )


def compare_sum_of_logits(full: Float[np.ndarray, "rows rows"], *, num_outputs: int) -> SumOfLogits:
    """Return the errors of the sum-of-logits kernel that a full kernel implies.

    Args:
      full: K, (n d, n d), example-major, as `gram` returns it.
      num_outputs: d.

    Raises:
      InputError: a kernel whose size is not a multiple of d, with at least 3 examples; or zero.

    >>> round(compare_sum_of_logits(np.eye(6) + 0.5, num_outputs=2).scale, 3)
    1.333
    """
    d = num_outputs
    n = len(full) // d
    if n < 3 or n * d != len(full):
        raise InputError(
            f"the kernel must have d = {d} rows for each of at least 3 examples; got {len(full)}"
        )
    blocks = full.astype(np.float64).reshape(n, d, n, d)
    mean = np.einsum("iaja->ij", blocks) / d
    total = blocks.sum((1, 3)) / d
    if not mean.any():
        raise InputError("the kernel is zero; relative errors do not exist")
    # Squared errors and norms of each pair of examples.
    of_full = np.square(blocks).sum((1, 3))
    of_best = of_full - d * np.square(mean)
    of_sum = np.square(total - mean)
    # Cross terms v_a v_b of different pairs have no mean; a pair counts with a, b swapped too.
    diagonal = np.einsum("iaja->ija", blocks)
    crossed = np.square(blocks).sum((1, 3)) + np.einsum("iajb,ibja->ij", blocks, blocks)
    of_signs = (crossed - 2 * np.square(diagonal).sum(-1)) / d**2
    of_mean = np.square(mean)
    return SumOfLogits(
        mean_error=_ratio(of_sum, of_mean),
        full_error=_ratio(of_best + d * of_sum, of_full),
        best_full_error=_ratio(of_best, of_full),
        random_signs_error=_ratio(of_signs, of_mean),
        scale=float(np.trace(total) / np.trace(mean)),
        cosine=float(np.sum(total * mean) / (np.linalg.norm(total) * np.linalg.norm(mean))),
        examples=np.arange(n),
    )


def _ratio(error: np.ndarray, norm: np.ndarray) -> Estimate:
    """Return sqrt(sum error / sum norm) with its delete-one-example jackknife standard error."""
    n = len(error)

    def without_each(pairs: np.ndarray) -> np.ndarray:
        return pairs.sum() - pairs.sum(0) - pairs.sum(1) + np.diag(pairs)

    def root(numerator: Any, denominator: Any) -> Any:
        return np.sqrt(np.maximum(numerator, 0.0) / denominator)

    parts = root(without_each(error), without_each(norm))
    spread = np.sqrt((n - 1) / n * np.square(parts - parts.mean()).sum())
    return Estimate(float(root(error.sum(), norm.sum())), float(spread))

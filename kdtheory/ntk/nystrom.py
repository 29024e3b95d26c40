"""The Nystrom approximation of the kernel from landmark examples, with its exact trace-norm error.

K ~ K(x, z) K(z, z)^+ K(z, x) lies below K, so the trace norm of the error is Tr K - Tr K_hat: the
diagonal of K tells it exactly, and K itself is never needed.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from kdtheory.errors import InputError, unknown_name
from kdtheory.ntk.dense import gram
from kdtheory.ntk.operators import Estimate, NtkOperator, operator
from kdtheory.typing import ApplyFn, ArrayLike

_OUTPUTS = ("full", "sum")
_SELECTIONS = ("residual", "uniform")


class NystromGram(NamedTuple):
    """K_hat = F F^T and its error, E = K - K_hat >= 0.

    Attributes:
      factor: F, (rows, rank), float64, example-major as in `gram`.
      landmarks: positions of the landmark examples in x, in the order they were chosen.
      residual: the diagonal of E, (rows,), at least 0. It bounds every entry:
        |E_ij| <= sqrt(residual_i residual_j).
      trace_error: Tr E, the trace norm of E, exact up to rounding; ||E||_F is at most as large.
      relative_trace_error: Tr E / Tr K.
      frobenius_error: ||E||_F by random probes, with its standard error; None without probes.
    """

    factor: Float[np.ndarray, "rows rank"]
    landmarks: Int[np.ndarray, " landmarks"]
    residual: Float[np.ndarray, " rows"]
    trace_error: float
    relative_trace_error: float
    frobenius_error: Estimate | None

    @property
    def gram(self) -> Float[np.ndarray, "rows rows"]:
        """Return K_hat, (rows, rows)."""
        kernel: np.ndarray = self.factor @ self.factor.T
        return kernel

    def estimate_frobenius_error(
        self, kernel: NtkOperator, key: jax.Array, *, probes: int = 8
    ) -> Estimate:
        """Return an estimate of ||K - K_hat||_F: the root mean square of |(K - K_hat) z|, z = +-1.

        Args:
          kernel: K, the operator of the same model, inputs and outputs.
          key: PRNG key of the signs z.
          probes: how many, at least 2; one product with K each.

        Raises:
          InputError: fewer than 2 probes, a kernel of another size.
        """
        if probes < 2:
            raise InputError(f"probes must be at least 2 (for an error bar); got {probes}")
        values = []
        for one in jax.random.split(key, probes):
            z = np.asarray(jax.random.rademacher(one, (len(self.factor),), np.int32)).astype(float)
            error = (kernel @ z).astype(np.float64) - self.factor @ (self.factor.T @ z)
            values.append(float(error @ error))
        norm = float(np.sqrt(np.mean(values)))
        spread = float(np.std(values, ddof=1) / np.sqrt(probes))
        return Estimate(norm, spread / (2 * norm) if norm > 0 else 0.0)


def nystrom_gram(
    apply_fn: ApplyFn,
    variables: Any,
    x: ArrayLike,
    *,
    landmarks: int,
    key: jax.Array,
    outputs: str = "full",
    selection: str = "residual",
    rounds: int = 4,
    probes: int = 8,
    batch_size: int | None = None,
    dtype: Any = None,
) -> NystromGram:
    r"""Return K_hat = K(x, z) K(z, z)^+ K(z, x), for landmarks z chosen among the examples.

    All outputs of a landmark belong to it, so with "full" the rank is at most d times the number
    of landmarks. K_hat is the orthogonal projection of the kernel onto what the landmarks span:
    0 <= K_hat <= K, exact if they span everything.

    "uniform" takes the landmarks at random, all at once. "residual" takes them in rounds, with
    probabilities proportional to each example's part of Tr (K - K_hat) so far: randomly pivoted
    partial Cholesky by blocks (Chen, Epperly, Tropp and Webber, 2022, "Randomly pivoted
    Cholesky"). It needs fewer landmarks where few examples have large or unusual gradients, and
    each round passes over all examples once more.

    Costs, for each round, the per-example gradients of x and of the round's landmarks and the
    n d x (landmarks d) block of K; and each probe one product with K (`operator`).

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d), each example on its own.
      variables: {"params": ..., "batch_stats": ...}; only "params" is differentiated.
      x: inputs of shape (n, ...).
      landmarks: how many examples, 1..n; fewer are taken if those span K up to rounding.
      key: PRNG key of the choice and the probes.
      outputs: "full" or "sum", as in `gram`.
      selection: "residual" or "uniform".
      rounds: number of rounds of "residual".
      probes: random sign vectors for ||K - K_hat||_F, 0 or at least 2.
      batch_size: as for `gram`.
      dtype: of the entries of K, "float32" or "float64"; None keeps the parameters'. All else is
        float64. Directions of K(z, z) below that dtype's rounding are left out, and so errors
        below about 1e-6 of the kernel cannot be told in float32.

    Raises:
      InputError: as `gram`; landmarks, rounds or probes out of range, an unknown selection.
      KernelError: as `gram`.

    >>> import flax.linen as nn
    >>> model, x = nn.Dense(1, use_bias=False), np.eye(4, 2, dtype=np.float32) + 1
    >>> found = nystrom_gram(
    ...     model.apply, model.init(jax.random.key(0), x), x, landmarks=3, key=jax.random.key(1)
    ... )
    >>> np.round(found.gram, 3).tolist()[0], round(found.trace_error, 3)  # x x^T has rank 2
    ([5.0, 4.0, 3.0, 3.0], 0.0)
    """
    n = len(np.asarray(x))
    _check(n, landmarks, outputs, selection, rounds, probes)
    x = np.asarray(x)
    kernel = operator(apply_fn, variables, x, outputs=outputs, dtype=dtype)
    diagonal = kernel.diagonal().astype(np.float64)
    d = diagonal.shape[1]
    choose_key, probe_key = jax.random.split(key)
    rng = np.random.default_rng([int(w) for w in np.asarray(jax.random.key_data(choose_key))])
    rounds = 1 if selection == "uniform" else min(rounds, landmarks)
    # Eigenvalues below this are rounding of the entries.
    floor = float(np.finfo(kernel.dtype).eps * np.max(diagonal)) * d * landmarks
    residual = diagonal.copy()
    factor = np.zeros((n * d, 0))
    chosen = np.zeros(0, np.int64)
    for done in range(rounds):
        size = (landmarks - len(chosen)) // (rounds - done)
        new = _choose(rng, residual.sum(1), chosen, size, floor, uniform=selection == "uniform")
        if not len(new):
            break
        columns = gram(
            apply_fn,
            variables,
            x,
            x[new],
            outputs=outputs,
            batch_size=batch_size,
            dtype=kernel.dtype.name,
        ).astype(np.float64)
        rows = (new[:, None] * d + np.arange(d)).ravel()
        columns -= factor @ factor[rows].T
        core = columns[rows]
        values, vectors = np.linalg.eigh((core + core.T) / 2)
        kept = values > max(floor, float(values[-1]) * len(rows) * np.finfo(kernel.dtype).eps)
        step = columns @ (vectors[:, kept] / np.sqrt(values[kept]))
        factor = np.concatenate([factor, step], axis=1)
        residual = np.maximum(residual - np.square(step).sum(1).reshape(n, d), 0.0)
        chosen = np.concatenate([chosen, new])
    trace_error = float(residual.sum())
    found = NystromGram(
        factor=factor,
        landmarks=chosen,
        residual=residual.ravel(),
        trace_error=trace_error,
        relative_trace_error=trace_error / float(diagonal.sum()) if diagonal.any() else 0.0,
        frobenius_error=None,
    )
    if probes == 0:
        return found
    error = found.estimate_frobenius_error(kernel, probe_key, probes=probes)
    return found._replace(frobenius_error=error)


def _choose(
    rng: np.random.Generator,
    residual: np.ndarray,
    chosen: np.ndarray,
    size: int,
    floor: float,
    *,
    uniform: bool,
) -> np.ndarray:
    """Return up to `size` new examples, none of them where nothing but rounding is left."""
    if uniform:
        return rng.choice(len(residual), size, replace=False)
    weights = np.where(residual > floor, residual, 0.0)
    weights[chosen] = 0.0
    size = min(size, int(np.count_nonzero(weights)))
    if size == 0:
        return np.zeros(0, np.int64)
    return rng.choice(len(weights), size, replace=False, p=weights / weights.sum())


def _check(n: int, landmarks: int, outputs: str, selection: str, rounds: int, probes: int) -> None:
    if outputs not in _OUTPUTS:
        raise unknown_name("outputs", outputs, _OUTPUTS)
    if selection not in _SELECTIONS:
        raise unknown_name("selection", selection, _SELECTIONS)
    if not 1 <= landmarks <= n:
        raise InputError(f"landmarks must be between 1 and the {n} examples; got {landmarks}")
    if rounds < 1:
        raise InputError(f"rounds must be at least 1; got {rounds}")
    if probes < 0 or probes == 1:
        raise InputError(f"probes must be 0, or at least 2 (for an error bar); got {probes}")

"""Random projections of per-layer gradients, and what each does to an inner product.

A layer's gradients x (rows of J_l, P_l columns) become features x S_l with E[S_l S_l^T] = I, so
that <x S_l, y S_l> estimates <x, y> without bias. Three maps, by the layer's form and its share m
of the sketch's columns:

- `Exact`: no map, where m = P_l. Variance 0.
- `CountSketch`, for gradients that are formed: random signs, a random permutation, and sums of r =
  ceil(P_l / m) entries, one multiplication and one addition an entry whatever m is. With zeros
  appended up to P = m r entries, two entries fall into one sum with probability
  c = (r - 1) / (P - 1) <= 1 / m, and the signs leave

      Var = c (|x|^2 |y|^2 + <x, y>^2 - 2 sum_p x_p^2 y_p^2).

  Source: Charikar, Chen and Farach-Colton, 2002; with a permutation in place of independent
  buckets, c is below 1 / m and 0 at m = P_l.
- `SignProduct`, for a Dense layer's gradients a b^T, which stay unformed: column k is
  (a . r_k) (b . s_k) / sqrt(m) with random signs r_k and s_k. The columns are independent, and

      Var <= ((|a|^2 |a'|^2 + 2 <a, a'>^2) (|b|^2 |b'|^2 + 2 <b, b'>^2) - <x, y>^2) / m,

  an equality but for the signs' -2 sum a_i^2 a'_i^2 in each factor. Source: Kar and Karnick, 2012.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from kdtheory.errors import InputError
from kdtheory.ntk.contractions import Flat, Positions, RankOne, Share

#: Fewest columns for a layer that is not kept whole: a variance needs some.
SMALLEST_PART = 8

#: An outer product up to this many times its sketch is formed: a count sketch then costs no more
#: than products with two dense sign matrices, and its variance is the smaller one.
_FORMED = 4


class Exact(NamedTuple):
    """Keep the gradients as they are."""


class CountSketch(NamedTuple):
    """Sum signed entries, chosen by a permutation."""

    order: Int[jax.Array | np.ndarray, "m r"]
    """The entries of each sum; padding points anywhere."""
    signs: Float[jax.Array | np.ndarray, "m r"]
    """+1 and -1; 0 for padding."""


class SignProduct(NamedTuple):
    """Multiply signed sums of the inputs and of the cotangents."""

    inputs: Float[jax.Array | np.ndarray, "p m"]
    cotangents: Float[jax.Array | np.ndarray, "q m"]


Projection = Exact | CountSketch | SignProduct


class Part(NamedTuple):
    """What a layer's columns of the sketch are.

    Attributes:
      kind: "exact", "count" or "product".
      size: P_l, parameters of the layer (or of several narrow ones, joined).
      dimension: m, columns.
    """

    kind: str
    size: int
    dimension: int

    @property
    def collision(self) -> float:
        """Return c, the probability that two entries fall into one sum ("count" only)."""
        fold = -(-self.size // self.dimension)
        return (fold - 1) / (fold * self.dimension - 1) if fold > 1 else 0.0


def share_size(share: Share) -> int:
    """Return the number of parameters that a share speaks for.

    >>> share_size(RankOne(jnp.ones((2, 3)), jnp.ones((2, 1, 4))))
    12
    """
    if isinstance(share, RankOne | Positions):
        return int(share.inputs.shape[-1] * share.cotangents.shape[-1])
    return int(share.gradients.shape[-1])


def allocate(
    weights: Float[np.ndarray, " layers"], sizes: Sequence[int], dimension: int
) -> list[int]:
    """Divide the columns of a sketch among layers, in proportion to weights.

    With weights |x_l|^2 this minimises sum_l |x_l|^4 / m_l, the leading term of the variance of
    the mean row. No layer gets more columns than it has parameters (what is over goes to the
    others), none less than `SMALLEST_PART` unless it is that small.

    Args:
      weights: mean squared gradient norm of each layer, at least 0.
      sizes: parameters of each layer.
      dimension: columns in all.

    Returns:
      Columns of each layer; their sum is `dimension`, or all parameters if those are fewer.

    Raises:
      InputError: too few columns for so many layers.

    >>> allocate(np.array([1.0, 3.0, 96.0]), [500, 500, 20], 100)
    [20, 60, 20]
    """
    upper = np.asarray(sizes, np.int64)
    lower = np.minimum(upper, SMALLEST_PART)
    if dimension < lower.sum():
        raise InputError(
            f"dimension must be at least {lower.sum()} for this model's {len(upper)} groups of "
            f"layers; got {dimension}"
        )
    if dimension >= upper.sum():
        return [int(size) for size in upper]
    weights = np.maximum(weights / max(weights.sum(), np.finfo(float).tiny), 1e-12)
    low, high = 0.0, float(np.max(upper)) / float(np.min(weights))
    for _ in range(200):
        level = (low + high) / 2
        if np.clip(level * weights, lower, upper).sum() > dimension:
            high = level
        else:
            low = level
    wanted = np.clip(low * weights, lower, upper)
    # What bisection leaves a hair below an integer is that integer.
    columns = np.floor(wanted + 1e-6).astype(np.int64)
    columns = np.minimum(columns, upper)
    while (missing := dimension - int(columns.sum())) > 0:
        open_parts = np.flatnonzero(columns < upper)
        first = open_parts[np.argsort(-(wanted - columns)[open_parts], kind="stable")]
        columns[first[:missing]] += 1
    return [int(value) for value in columns]


def draw(
    key: jax.Array, shares: Sequence[Share], columns: Sequence[int], dtype: np.dtype[Any]
) -> tuple[list[Part], list[Projection]]:
    """Draw each layer's projection, from a stream of random numbers of its own.

    The numbers come from NumPy's generator, seeded by the key's bits and the layer's index: they
    depend on neither device nor JAX's flags, and need no compilation.

    Args:
      key: PRNG key.
      shares: the layers' gradients, or arrays of the same shapes without the examples.
      columns: m of each layer, at most its size.
      dtype: of the signs.
    """
    seed = [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]
    parts: list[Part] = []
    projections: list[Projection] = []
    for index, (share, m) in enumerate(zip(shares, columns, strict=True)):
        rng = np.random.default_rng([*seed, index])
        size = share_size(share)
        if m >= size:
            parts.append(Part("exact", size, size))
            projections.append(Exact())
        elif not isinstance(share, RankOne) or size <= _FORMED * m:
            fold = -(-size // m)
            order = rng.permutation(fold * m)
            signs = np.where(order < size, _signs(rng, order.shape, dtype), dtype.type(0))
            order = np.minimum(order, size - 1).astype(np.int32)
            parts.append(Part("count", size, m))
            projections.append(CountSketch(order.reshape(m, fold), signs.reshape(m, fold)))
        else:
            p, q = share.inputs.shape[-1], share.cotangents.shape[-1]
            parts.append(Part("product", size, m))
            projections.append(SignProduct(_signs(rng, (p, m), dtype), _signs(rng, (q, m), dtype)))
    return parts, projections


def project(projections: list[Projection], shares: list[Share]) -> Float[jax.Array, "b d m"]:
    """Return the features of a block of examples, layer beside layer.

    >>> project([Exact()], [RankOne(jnp.ones((1, 2)), jnp.full((1, 1, 1), 3.0))]).tolist()
    [[[3.0, 3.0]]]
    """
    columns = []
    for projection, share in zip(projections, shares, strict=True):
        if isinstance(projection, SignProduct):
            assert isinstance(share, RankOne)
            left = share.inputs @ projection.inputs / math.sqrt(projection.inputs.shape[-1])
            columns.append(left[:, None] * (share.cotangents @ projection.cotangents))
            continue
        gradients = _formed(share)
        if isinstance(projection, CountSketch):
            # Plain matrices and flat indices: XLA's CPU gather is seven times slower on operands
            # and indices of higher rank.
            b, d, p = gradients.shape
            order, signs = projection.order, projection.signs
            picked = jnp.take(gradients.reshape(b * d, p), order.reshape(-1), axis=1, mode="clip")
            signed = (picked * signs.reshape(1, -1)).reshape(b * d, *order.shape)
            gradients = signed.sum(-1).reshape(b, d, -1)
        columns.append(gradients)
    return jnp.concatenate(columns, axis=-1)


def variance(
    part: Part,
    first: Float[jax.Array, "rows m"],
    second: Float[jax.Array, "columns m"],
    squared_norms: tuple[Float[jax.Array, " rows"], Float[jax.Array, " columns"]],
) -> tuple[Float[jax.Array, "rows columns"], Float[jax.Array, "rows columns"]]:
    """Return one layer's estimate of the kernel, and an estimate of its variance.

    "count": E[k^2] = <x, y>^2 + Var turns the closed form into
    c / (1 + c) (|x|^2 |y|^2 + k^2), unbiased but for the term -2 sum x_p^2 y_p^2, which is left
    out: on average it is never too small. "product": the sample variance over the m independent
    columns, (m sum_k z_k^2 - k^2) / (m - 1) with k = sum_k z_k; unbiased.

    Args:
      part: what the columns are.
      first: features of the rows.
      second: features of the columns.
      squared_norms: exact |x|^2 and |y|^2 of the layer.
    """
    kernel = first @ second.T
    if part.kind == "exact":
        return kernel, jnp.zeros_like(kernel)
    if part.kind == "product":
        squares = jnp.square(first) @ jnp.square(second).T
        spread = (part.dimension * squares - jnp.square(kernel)) / (part.dimension - 1)
        return kernel, jnp.maximum(spread, 0)
    norms = jnp.outer(*squared_norms)
    c = part.collision
    return kernel, c / (1 + c) * (norms + jnp.square(kernel))


def _formed(share: Share) -> jax.Array:
    """Return gradients (b, d, p), outer products carried out."""
    if isinstance(share, Flat):
        return share.gradients
    if isinstance(share, Positions):
        return share.formed().gradients
    outer = share.cotangents[..., None] * share.inputs[:, None, None, :]
    return outer.reshape(*outer.shape[:2], -1)


def _signs(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    signs: np.ndarray = rng.integers(0, 2, shape, np.int8) * 2 - 1
    return signs.astype(dtype)

"""From per-example gradients of layers to tiles of the kernel.

The kernel is a sum over layers, K = sum_l J_l J_l^T, so a tile grows layer by layer and the whole
Jacobian is never formed. A layer's share comes in one of three forms.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

#: Flat gradients narrower than this are joined: one product costs less than several thin ones.
_NARROW = 2048

#: On CPU, products of fewer rows than this are summed over slabs of so many columns: XLA multiplies
#: few long rows at a fifth of the rate (32 rows of 614,880: 20 GFLOP/s whole, 50 in slabs).
_FEW_ROWS, _SLAB = 128, 16384

#: Pairs of positions in a table at most, where gradients stay sums over positions.
_PAIRS = 2**24


class Flat(NamedTuple):
    """Gradients as they are: gradients[i, a] is output a of example i by the parameters."""

    gradients: Float[jax.Array, "b d p"]


class RankOne(NamedTuple):
    """Gradients that are outer products, cotangents[i, a] inputs[i]^T, and stay unformed.

    The layer's kernel is <inputs_i, inputs_j> * <cotangents_ia, cotangents_jb>.
    """

    inputs: Float[jax.Array, "b p"]
    cotangents: Float[jax.Array, "b d q"]


class Positions(NamedTuple):
    """Gradients that are sums of outer products over positions, and stay unformed.

    gradients[i, a] = sum_t cotangents[i, a, t] inputs[i, t]^T; the layer's kernel is
    sum_st <inputs_is, inputs_jt> <cotangents_ias, cotangents_jbt>.
    """

    inputs: Float[jax.Array, "b t p"]
    cotangents: Float[jax.Array, "b d t q"]

    def formed(self) -> Flat:
        """Return the gradients, carried out."""
        gradients = jnp.einsum("btp,bdtq->bdqp", self.inputs, self.cotangents)
        return Flat(gradients.reshape(*gradients.shape[:2], -1))


Share = Flat | RankOne | Positions


def join_narrow(shares: list[Share]) -> list[Share]:
    """Join narrow flat gradients into wider ones.

    >>> thin = Flat(jnp.ones((2, 1, 3)))
    >>> [share.gradients.shape for share in join_narrow([thin, thin])]
    [(2, 1, 6)]
    """
    joined: list[Share] = []
    narrow: list[jax.Array] = []
    for share in shares:
        if isinstance(share, Flat) and share.gradients.shape[-1] < _NARROW:
            narrow.append(share.gradients)
            if sum(part.shape[-1] for part in narrow) >= _NARROW:
                joined.append(Flat(jnp.concatenate(narrow, axis=-1)))
                narrow = []
        else:
            joined.append(share)
    if narrow:
        joined.append(Flat(jnp.concatenate(narrow, axis=-1)))
    return joined


def contract(first: list[Share], second: list[Share], *, outputs: str) -> jax.Array:
    """Return the tile of two blocks of examples.

    Args:
      first: shares of b1 examples, one for each layer.
      second: shares of b2 examples, of the same layers.
      outputs: "full" for (b1, d, b2, d), "diagonal" for (d, b1, b2), "trace" and "sum" for
        (b1, b2); "sum" expects the one cotangent of the sum as only output.

    >>> share = Flat(jnp.arange(6.0).reshape(3, 1, 2))
    >>> contract([share], [share], outputs="trace")
    Array([[ 1.,  3.,  5.],
           [ 3., 13., 23.],
           [ 5., 23., 41.]], dtype=float32)
    """
    tile: jax.Array | None = None
    for one, other in zip(first, second, strict=True):
        if isinstance(one, Flat) and isinstance(other, Flat):
            part = _product(one.gradients, other.gradients, outputs)
        elif isinstance(one, RankOne) and isinstance(other, RankOne):
            part = _product(one.cotangents, other.cotangents, outputs)
            inner = one.inputs @ other.inputs.T
            part = part * (inner[:, None, :, None] if outputs == "full" else inner)
        elif isinstance(one, Positions) and isinstance(other, Positions):
            part = _over_positions(one, other, outputs)
        else:
            raise TypeError("the two blocks' shares must be of the same layers")
        tile = part if tile is None else tile + part
    assert tile is not None
    return tile


def _product(first: jax.Array, second: jax.Array, outputs: str) -> jax.Array:
    """Return the inner products of (b1, d, p) and (b2, d, p) that `outputs` keeps."""
    if outputs == "diagonal":
        return jnp.einsum("iap,jap->aij", first, second)
    (b1, d, _), b2 = first.shape, second.shape[0]
    if outputs == "full":
        # Plain matrices: XLA's CPU backend multiplies those faster than operands of rank three.
        flat = first.reshape(b1 * d, -1) @ second.reshape(b2 * d, -1).T
        return flat.reshape(b1, d, b2, d)
    return _long_product(first.reshape(b1, -1), second.reshape(b2, -1))


def _long_product(first: jax.Array, second: jax.Array) -> jax.Array:
    """Return first @ second.T, of few rows in slabs of their columns."""
    count = first.shape[1] // _SLAB
    many = min(first.shape[0], second.shape[0]) >= _FEW_ROWS
    if many or count < 2 or jax.default_backend() != "cpu":
        return first @ second.T

    def add(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        one, other = (jax.lax.dynamic_slice_in_dim(a, start, _SLAB, 1) for a in (first, second))
        return total + one @ other.T, None

    rest = first[:, count * _SLAB :] @ second[:, count * _SLAB :].T
    return jax.lax.scan(add, rest, jnp.arange(count) * _SLAB)[0]


def _over_positions(first: Positions, second: Positions, outputs: str) -> jax.Array:
    """Return the tile of gradients that stay sums over positions.

    In parts of the first block, so that no table of position pairs grows beyond `_PAIRS`.
    """
    b1, d, t, _ = first.cotangents.shape
    b2 = second.inputs.shape[0]
    tables = {"full": d * d, "diagonal": d}.get(outputs, 1)
    count = min(b1, -(-b1 * b2 * t * t * tables // _PAIRS))
    step = -(-b1 // count)
    parts = [
        _pairs_of_positions(jax.tree.map(lambda a, i=i: a[i : i + step], first), second, outputs)
        for i in range(0, b1, step)
    ]
    return jnp.concatenate(parts, axis=1 if outputs == "diagonal" else 0)


def _pairs_of_positions(first: Positions, second: Positions, outputs: str) -> jax.Array:
    (b1, d, t, q), (b2, _, s, _) = first.cotangents.shape, second.cotangents.shape
    inner = first.inputs.reshape(b1 * t, -1) @ second.inputs.reshape(b2 * s, -1).T
    if outputs == "full":
        left, right = (share.cotangents.reshape(-1, q) for share in (first, second))
        table = (left @ right.T).reshape(b1, d, t, b2, d, s)
        return (table * inner.reshape(b1, 1, t, b2, 1, s)).sum((2, 5))
    if outputs == "diagonal":
        left, right = (
            share.cotangents.swapaxes(0, 1).reshape(d, -1, q) for share in (first, second)
        )
        table = jnp.einsum("axq,ayq->axy", left, right) * inner
        return table.reshape(d, b1, t, b2, s).sum((2, 4))
    left, right = (share.cotangents.swapaxes(1, 2).reshape(-1, d * q) for share in (first, second))
    return ((left @ right.T) * inner).reshape(b1, t, b2, s).sum((1, 3))


def squared_norms(shares: list[Share]) -> jax.Array:
    """Return the squared norm of each gradient, (b, d): the diagonal of the "full" kernel.

    >>> squared_norms([Flat(jnp.ones((1, 2, 3))), RankOne(jnp.ones((1, 5)), jnp.ones((1, 2, 4)))])
    Array([[23., 23.]], dtype=float32)
    """
    total: Any = 0.0
    for share in shares:
        if isinstance(share, Flat):
            total += jnp.square(share.gradients).sum(-1)
        elif isinstance(share, Positions):
            inner = jnp.einsum("bsp,btp->bst", share.inputs, share.inputs)
            outer = jnp.einsum("bdsq,bdtq->bdst", share.cotangents, share.cotangents)
            total += (outer * inner[:, None]).sum((-2, -1))
        else:
            cotangents = jnp.square(share.cotangents).sum(-1)
            total += cotangents * jnp.square(share.inputs).sum(-1)[:, None]
    return total

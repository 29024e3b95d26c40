"""The empirical neural tangent kernel as an operator: products with K, never K itself.

K v = J (J^T v) takes one vector-Jacobian and one Jacobian-vector product for each batch of
examples, and the memory of one batch and two parameter vectors, whatever n and d are.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from kdtheory.errors import InputError, unknown_name
from kdtheory.ntk.inputs import as_inputs, cast, settings
from kdtheory.ntk.methods import make_engine
from kdtheory.ntk.tiling import blocks, padded
from kdtheory.typing import ApplyFn, ArrayLike, Variables

_OUTPUTS = ("full", "sum")


class Estimate(NamedTuple):
    """A random estimate: its mean over probes and the standard error of that mean."""

    value: float
    standard_error: float


class NtkOperator:
    """K + ridge I as a linear operator on R^(n d); make one with `operator`.

    Vectors are NumPy arrays of shape (n * d,), example-major as in `gram`, or (n, d); results have
    the shape of the argument and the operator's dtype.

    Attributes:
      shape: (n d, n d).
      dtype: what products are computed in.
      ridge: the multiple of the identity that is added.
    """

    def __init__(
        self,
        apply_fn: ApplyFn,
        variables: Variables,
        x: ArrayLike,
        *,
        outputs: str,
        ridge: float,
        batch_size: int,
        dtype: Any,
    ) -> None:
        if outputs not in _OUTPUTS:
            raise unknown_name("outputs", outputs, _OUTPUTS)
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1; got {batch_size}")
        if not (np.isfinite(ridge) and ridge >= 0):
            raise InputError(f"ridge must be at least 0; got {ridge}")
        with settings(dtype, variables) as self.dtype:
            self._variables = jax.device_put(cast(variables, self.dtype))
            self._x = as_inputs("x", x, self.dtype)
            self._size = min(batch_size, len(self._x))
            self._engine = make_engine(
                apply_fn, self._variables, self._x, outputs=outputs, method="auto"
            )
        self._d = 1 if outputs == "sum" else self._engine.d
        self.shape = (len(self._x) * self._d,) * 2
        self.ridge = float(ridge)
        self._sum = outputs == "sum"
        self._pull, self._push = _products(apply_fn, summed=self._sum)

    def __matmul__(self, vector: ArrayLike) -> np.ndarray:
        """Return (K + ridge I) v."""
        vector = self._vector(vector)
        product = self.jacobian_product(self.transposed_jacobian_product(vector))
        return product.reshape(vector.shape) + self.dtype.type(self.ridge) * vector

    def transposed_jacobian_product(self, vector: ArrayLike) -> Any:
        """Return J^T y, as a tree like variables["params"].

        Args:
          vector: y, of shape (n * d,) or (n, d).

        Raises:
          InputError: a vector of another size.
        """
        rows = self._vector(vector).reshape(len(self._x), self._d)
        with settings(self.dtype, self._variables):
            total = jax.tree.map(jnp.zeros_like, self._variables["params"])
            for part, x in self._batches():
                cotangents = np.zeros((self._size, self._d), self.dtype)
                cotangents[: part.stop - part.start] = rows[part]
                total = self._pull(total, self._variables, x, cotangents)
            return total

    def jacobian_product(self, direction: Any) -> Float[np.ndarray, "n d"]:
        """Return J u for a tree u like variables["params"]."""
        result = np.empty((len(self._x), self._d), self.dtype)
        with settings(self.dtype, self._variables):
            direction = jax.tree.map(lambda leaf: jnp.asarray(leaf, self.dtype), direction)
            for part, x in self._batches():
                tangents = self._push(self._variables, x, direction)
                result[part] = np.asarray(tangents)[: part.stop - part.start]
        return result

    def diagonal(self) -> Float[np.ndarray, "n d"]:
        """Return the diagonal of K + ridge I, exactly: squared norms of per-example gradients."""
        result = np.empty((len(self._x), self._d), self.dtype)
        with settings(self.dtype, self._variables):
            for part in blocks(len(self._x), self._engine.block_size(len(self._x), None)):
                result[part] = self._engine.squared_norms(self._variables, self._x[part])
        return result + self.dtype.type(self.ridge)

    def trace(self) -> float:
        """Return Tr (K + ridge I), exactly; summed in float64."""
        return float(self.diagonal().sum(dtype=np.float64))

    def estimate_trace(self, key: jax.Array, *, probes: int = 16) -> Estimate:
        """Return Hutchinson's estimate of the trace: the mean of z^T (K + ridge I) z, z = +-1."""
        return self._estimate(key, probes, lambda z, product: float(z @ product))

    def estimate_squared_frobenius_norm(self, key: jax.Array, *, probes: int = 16) -> Estimate:
        """Return an estimate of ||K + ridge I||_F^2: the mean of |(K + ridge I) z|^2, z = +-1."""
        return self._estimate(key, probes, lambda z, product: float(product @ product))

    def _estimate(
        self, key: jax.Array, probes: int, value: Callable[[np.ndarray, np.ndarray], float]
    ) -> Estimate:
        if probes < 2:
            raise InputError(f"probes must be at least 2 (for an error bar); got {probes}")
        values = []
        for one in jax.random.split(key, probes):
            z = np.asarray(jax.random.rademacher(one, (self.shape[0],), np.int32))
            product = (self @ z).astype(np.float64)
            values.append(value(z.astype(np.float64), product))
        return Estimate(
            float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
        )

    def _vector(self, vector: ArrayLike) -> np.ndarray:
        vector = np.asarray(vector)
        if vector.shape not in ((self.shape[0],), (len(self._x), self._d)):
            raise InputError(
                f"a vector must have shape ({self.shape[0]},) or ({len(self._x)}, {self._d}); "
                f"got {vector.shape}"
            )
        return vector.astype(self.dtype)

    def _batches(self) -> Iterator[tuple[slice, np.ndarray]]:
        for part in blocks(len(self._x), self._size):
            yield part, padded(self._x[part], self._size)


def operator(
    apply_fn: ApplyFn,
    variables: Variables,
    x: ArrayLike,
    *,
    outputs: str = "full",
    ridge: float = 0.0,
    batch_size: int = 128,
    dtype: Any = None,
) -> NtkOperator:
    r"""Return K + ridge I of the empirical neural tangent kernel K = J J^T, as an operator.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d), each example on its own.
      variables: {"params": ..., "batch_stats": ...}; only "params" is differentiated.
      x: inputs of shape (n, ...).
      outputs: "full" for all d outputs, or "sum" for their sum over sqrt(d), as in `gram`.
      ridge: added to the diagonal.
      batch_size: examples in one product; it does not change the result beyond rounding.
      dtype: "float32" or "float64"; None keeps the parameters'.

    Raises:
      InputError: as `gram`; a negative ridge.

    >>> import flax.linen as nn
    >>> model, x = nn.Dense(1, use_bias=False), np.eye(3, 2, dtype=np.float32)
    >>> kernel = operator(model.apply, model.init(jax.random.key(0), x), x, ridge=0.5)
    >>> kernel @ np.ones(3)  # x x^T + 0.5 I
    array([1.5, 1.5, 0.5], dtype=float32)
    >>> kernel.trace()
    3.5
    """
    return NtkOperator(
        apply_fn,
        variables,
        x,
        outputs=outputs,
        ridge=ridge,
        batch_size=batch_size,
        dtype=dtype,
    )


def _products(
    apply_fn: ApplyFn, *, summed: bool
) -> tuple[Callable[..., Any], Callable[..., jax.Array]]:
    """Return the compiled (total + J^T y) and (J u) of one batch."""

    def logits(params: Any, variables: Variables, x: Any) -> jax.Array:
        result = apply_fn({**variables, "params": params}, x)
        if summed:
            result = result.sum(1, keepdims=True) / float(np.sqrt(result.shape[1]))
        return result

    def pull(total: Any, variables: Variables, x: Any, cotangents: Any) -> Any:
        _, back = jax.vjp(lambda params: logits(params, variables, x), variables["params"])
        return jax.tree.map(jnp.add, total, back(cotangents)[0])

    def push(variables: Variables, x: Any, direction: Any) -> jax.Array:
        return jax.jvp(
            lambda params: logits(params, variables, x), (variables["params"],), (direction,)
        )[1]

    return jax.jit(pull), jax.jit(push)

"""The empirical neural tangent kernel as an operator: products with K, never K itself.

K v = J (J^T v) takes one vector-Jacobian and one Jacobian-vector product for each batch of
examples, and the memory of one batch and a few parameter vectors, whatever n and d are.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import numpy as np
from jaxtyping import Float

from kdtheory.errors import InputError, unknown_name
from kdtheory.ntk import neural_tangents
from kdtheory.ntk.differentiated import ParamsFilter, differentiated
from kdtheory.ntk.inputs import as_inputs, cast, settings
from kdtheory.ntk.jacobian import Jacobian
from kdtheory.ntk.methods import make_engine
from kdtheory.ntk.tiling import blocks
from kdtheory.typing import ApplyFn, ArrayLike, Variables

_OUTPUTS = ("full", "sum")
_METHODS = ("auto", "neural_tangents")


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
      num_outputs: d, 1 for outputs="sum".
      jacobian: J, a `Jacobian`: products with it and its transpose alone.
    """

    def __init__(
        self,
        apply_fn: ApplyFn,
        variables: Any,
        x: ArrayLike,
        *,
        outputs: str,
        ridge: float,
        method: str,
        batch_size: int | None,
        keep_linearization: bool,
        dtype: Any,
        params: ParamsFilter = "params",
    ) -> None:
        if outputs not in _OUTPUTS:
            raise unknown_name("outputs", outputs, _OUTPUTS)
        if method not in _METHODS:
            raise unknown_name("method", method, _METHODS)
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1; got {batch_size}")
        if not (np.isfinite(ridge) and ridge >= 0):
            raise InputError(f"ridge must be at least 0; got {ridge}")
        apply_fn, variables = differentiated(apply_fn, variables, params)
        with settings(dtype, variables) as self.dtype:
            self._variables = jax.device_put(cast(variables, self.dtype))
            self._x = as_inputs("x", x, self.dtype)
            self._engine = make_engine(
                apply_fn, self._variables, self._x, outputs=outputs, method=method
            )
            self.num_outputs = 1 if outputs == "sum" else self._engine.d
            self.jacobian = Jacobian(
                apply_fn,
                self._variables,
                self._x,
                num_outputs=self.num_outputs,
                summed=outputs == "sum",
                batch_size=batch_size,
                keep_linearization=keep_linearization,
                dtype=self.dtype,
            )
        self._reference = (
            _reference_product(apply_fn, outputs) if method == "neural_tangents" else None
        )
        self.shape = (len(self._x) * self.num_outputs,) * 2
        self.ridge = float(ridge)

    def __matmul__(self, vector: ArrayLike) -> np.ndarray:
        """Return (K + ridge I) v.

        Raises:
          InputError: a vector of another size.
        """
        vector = self._vector(vector)
        if self._reference is not None:
            with settings(self.dtype, self._variables):
                shaped = vector.reshape(-1, self.num_outputs)
                product = np.asarray(self._reference(self._variables, self._x, shaped))
        else:
            product = self.jacobian.matvec(self.jacobian.rmatvec(vector.ravel()))
        return product.reshape(vector.shape) + self.dtype.type(self.ridge) * vector

    def transposed_jacobian_product(self, vector: ArrayLike) -> Any:
        """Return J^T y, as a tree like variables["params"].

        Args:
          vector: y, of shape (n * d,) or (n, d).

        Raises:
          InputError: a vector of another size.
        """
        return self.jacobian.unravel(self.jacobian.rmatvec(self._vector(vector).ravel()))

    def jacobian_product(self, direction: Any) -> Float[np.ndarray, "n d"]:
        """Return J u for a tree u like variables["params"], or its leaves as one flat vector.

        Raises:
          InputError: a direction of another size.
        """
        with settings(self.dtype, self._variables):
            flat = np.asarray(jax.flatten_util.ravel_pytree(direction)[0])
        return self.jacobian.matvec(flat).reshape(-1, self.num_outputs)

    def diagonal(self) -> Float[np.ndarray, "n d"]:
        """Return the diagonal of K + ridge I, exactly: squared norms of per-example gradients."""
        result = np.empty((len(self._x), self.num_outputs), self.dtype)
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

    def estimate_frobenius_norm(self, key: jax.Array, *, probes: int = 16) -> Estimate:
        """Return an estimate of ||K + ridge I||_F, by the root of that of its square.

        The error bar is the square's, carried over to first order: s / (2 ||K + ridge I||_F).
        """
        square = self.estimate_squared_frobenius_norm(key, probes=probes)
        norm = math.sqrt(square.value)
        return Estimate(norm, square.standard_error / (2 * norm) if norm > 0 else 0.0)

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
        shapes = (self.shape[0],), (len(self._x), self.num_outputs)
        if vector.shape not in shapes:
            raise InputError(
                f"a vector must have shape {shapes[0]} or {shapes[1]}; got {vector.shape}"
            )
        return vector.astype(self.dtype)


def _reference_product(apply_fn: ApplyFn, outputs: str) -> Callable[..., jax.Array]:
    """Return (variables, x, v (n, d)) -> K v by neural-tangents, compiled."""
    library = neural_tangents.load()

    @jax.jit
    def product(variables: Variables, x: jax.Array, vector: jax.Array) -> jax.Array:
        rest = {name: value for name, value in variables.items() if name != "params"}

        def logits(params: Any, x: jax.Array) -> jax.Array:
            values = apply_fn({"params": params, **rest}, x)
            if outputs == "sum":
                return values.sum(-1, keepdims=True) / math.sqrt(values.shape[-1])
            return values

        return library.empirical_ntk_vp_fn(logits, x, None, variables["params"])(vector)

    return product


def operator(
    apply_fn: ApplyFn,
    variables: Any,
    x: ArrayLike,
    *,
    outputs: str = "full",
    ridge: float = 0.0,
    method: str = "auto",
    batch_size: int | None = None,
    keep_linearization: bool = False,
    dtype: Any = None,
    params: ParamsFilter = "params",
) -> NtkOperator:
    r"""Return K + ridge I of the empirical neural tangent kernel K = J J^T, as an operator.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d), each example on its own.
      variables: {"params": ..., "batch_stats": ...}; only "params" is differentiated.
      x: inputs of shape (n, ...).
      outputs: "full" for all d outputs, or "sum" for their sum over sqrt(d), as in `gram`.
      ridge: added to the diagonal.
      method: "auto", or "neural_tangents": the reference, whose `empirical_ntk_vp_fn` multiplies
        all examples in one call (`batch_size` is not used for K v then), and its Jacobian
        contraction for the diagonal. `jacobian` is ours with both.
      batch_size: examples in one call; it does not change the result beyond rounding. None takes
        64 on CPU, where a batch's activations then stay in the cache, else 1024.
      keep_linearization: keep the activations of all examples after the first product, so that
        later ones need no forward pass: some 3.2 inference passes for K v instead of 4.6 on
        LeNet-5x1, at 80 KB an example.
      dtype: "float32" or "float64"; None keeps the parameters'.
      params: what in `variables` is differentiated, as in `gram`.

    Raises:
      InputError: as `gram`; a negative ridge; a linearisation to keep that does not fit in memory.

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
        method=method,
        batch_size=batch_size,
        keep_linearization=keep_linearization,
        dtype=dtype,
        params=params,
    )

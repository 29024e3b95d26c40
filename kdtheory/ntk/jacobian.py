"""The Jacobian J of all outputs by all parameters as an operator: J u and J^T y, never J itself.

One ordinary compiled call for each batch of examples, from a Python loop: inside `scan` XLA's CPU
convolutions lose their threads. Sums over batches are compensated, so that their rounding does not
grow with n.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real

from kdtheory.errors import InputError
from kdtheory.memory import check_fits
from kdtheory.ntk.inputs import settings
from kdtheory.ntk.tiling import blocks, padded
from kdtheory.typing import ApplyFn, ArrayLike, Variables

#: Examples in a batch: on CPU a batch's activations then stay in the cache (LeNet-5x1: half the
#: time of 256); other devices want more work in a call.
_CPU_BATCH, _BATCH = 64, 1024


class Jacobian:
    """J in R^(n d x P) of one model on given inputs; `NtkOperator.jacobian` is one.

    Parameter vectors are flat, in the order of `jax.flatten_util.ravel_pytree`; output vectors are
    example-major.

    Attributes:
      shape: (n d, P).
      dtype: what products are computed in. J is that of the linearisation as computed: at the
        activations as they are rounded in this dtype.
    """

    def __init__(
        self,
        apply_fn: ApplyFn,
        variables: Variables,
        x: np.ndarray,
        *,
        num_outputs: int,
        summed: bool,
        batch_size: int | None,
        keep_linearization: bool,
        dtype: np.dtype[Any],
    ) -> None:
        self.dtype = dtype
        self._variables, self._x, self._d = variables, x, num_outputs
        if batch_size is None:
            batch_size = _CPU_BATCH if jax.default_backend() == "cpu" else _BATCH
        self._size = min(batch_size, len(x))
        flat, self._unravel = jax.flatten_util.ravel_pytree(variables["params"])
        self.shape = (len(x) * num_outputs, int(flat.size))
        rows = jax.ShapeDtypeStruct((self._size, num_outputs), dtype)
        self._calls = _compile(apply_fn, self._unravel, rows, summed=summed)
        self._kept: list[Any] | None = [] if keep_linearization else None
        if keep_linearization:
            self._check_memory()

    def matvec(self, direction: Real[ArrayLike, " P"]) -> Float[np.ndarray, " N"]:
        """Return J u: one Jacobian-vector product a batch.

        Raises:
          InputError: a vector of another size.
        """
        direction = self._checked("direction", direction, self.shape[1])
        result = np.empty((len(self._x), self._d), self.dtype)
        with settings(self.dtype, self._variables):
            pending = []
            for part, at in self._linearizations():
                pending.append((part, self._calls.push(at, direction)))
            for part, tangents in pending:
                result[part] = np.asarray(tangents)[: part.stop - part.start]
        return result.ravel()

    def rmatvec(self, vector: Real[ArrayLike, " N"]) -> Float[np.ndarray, " P"]:
        """Return J^T y: one vector-Jacobian product a batch.

        Raises:
          InputError: a vector of another size.
        """
        rows = self._rows(vector)
        with settings(self.dtype, self._variables):
            total = self._zero()
            for part, at in self._linearizations():
                total = self._calls.pull(total, at, self._batch(rows, part))
            return np.asarray(total[0] + total[1])

    def residual(
        self, direction: Real[ArrayLike, " P"], vector: Real[ArrayLike, " N"], scale: float
    ) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " P"]]:
        """Return (w, J^T w) for w = J u + scale y: both products for one forward pass.

        What an iteration of Golub-Kahan, LSQR or gradient descent on squared loss needs. K v takes
        two passes, since J^T v must be whole before J can be applied to it; this takes one.

        Args:
          direction: u, shape (P,).
          vector: y, shape (n d,).
          scale: of y.

        Raises:
          InputError: a vector of another size.
        """
        direction = self._checked("direction", direction, self.shape[1])
        rows = self._rows(vector)
        result = np.empty((len(self._x), self._d), self.dtype)
        with settings(self.dtype, self._variables):
            total, pending = self._zero(), []
            factor = self.dtype.type(scale)
            for part, at in self._linearizations():
                # Padding repeats an example: it must not enter the sum twice.
                mask = (np.arange(self._size) < part.stop - part.start).astype(self.dtype)
                w, total = self._calls.both(
                    total, at, direction, self._batch(rows, part), factor, mask[:, None]
                )
                pending.append((part, w))
            for part, w in pending:
                result[part] = np.asarray(w)[: part.stop - part.start]
            return result.ravel(), np.asarray(total[0] + total[1])

    def unravel(self, direction: Real[ArrayLike, " P"]) -> Any:
        """Return a flat parameter vector as a tree like variables["params"].

        Raises:
          InputError: a vector of another size.
        """
        with settings(self.dtype, self._variables):
            return self._unravel(
                jnp.asarray(self._checked("direction", direction, self.shape[1]), self.dtype)
            )

    def _linearizations(self) -> Iterator[tuple[slice, Any]]:
        """Yield each batch with what its products start from: its inputs, or kept residuals."""
        parts = blocks(len(self._x), self._size)
        if self._kept is None:
            for part in parts:
                yield part, (self._variables, padded(self._x[part], self._size))
            return
        for index, part in enumerate(parts):
            if index == len(self._kept):
                inputs = padded(self._x[part], self._size)
                self._kept.append(self._calls.linearize(self._variables, inputs))
            yield part, self._kept[index]

    def _check_memory(self) -> None:
        with settings(self.dtype, self._variables):
            kept = jax.eval_shape(
                self._calls.linearize, self._variables, padded(self._x[:1], self._size)
            )
        count = len(blocks(len(self._x), self._size))
        needed = count * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))
        check_fits(
            f"keep_linearization for {len(self._x)} examples",
            # With a quarter to work in.
            needed * 5 // 4,
            "leave it out, or take fewer examples",
        )

    def _zero(self) -> tuple[jax.Array, jax.Array]:
        zero = jnp.zeros(self.shape[1], self.dtype)
        return zero, zero

    def _rows(self, vector: ArrayLike) -> np.ndarray:
        return self._checked("vector", vector, self.shape[0]).reshape(len(self._x), self._d)

    def _batch(self, rows: np.ndarray, part: slice) -> np.ndarray:
        if part.stop - part.start == self._size:
            return rows[part]
        batch = np.zeros((self._size, self._d), self.dtype)
        batch[: part.stop - part.start] = rows[part]
        return batch

    def _checked(self, name: str, vector: ArrayLike, size: int) -> np.ndarray:
        vector = np.asarray(vector)
        if vector.shape != (size,):
            raise InputError(f"{name} must have shape ({size},); got {vector.shape}")
        return vector.astype(self.dtype, copy=False)


class _Calls(NamedTuple):
    """The compiled parts; `at` is (variables, inputs), or what `linearize` returned for them."""

    linearize: Callable[..., Any]
    push: Callable[..., jax.Array]
    pull: Callable[..., tuple[jax.Array, jax.Array]]
    both: Callable[..., tuple[jax.Array, tuple[jax.Array, jax.Array]]]


def _compile(
    apply_fn: ApplyFn, unravel: Callable[..., Any], rows: jax.ShapeDtypeStruct, *, summed: bool
) -> _Calls:
    """Return the compiled calls for batches whose outputs are like `rows`, (size, d)."""

    def logits(params: Any, variables: Variables, x: Any) -> jax.Array:
        result = apply_fn({**variables, "params": params}, x)
        if summed:
            result = result.sum(1, keepdims=True) / float(np.sqrt(result.shape[1]))
        return result

    def linearize(variables: Variables, x: Any) -> Any:
        return jax.vjp(lambda params: logits(params, variables, x), variables["params"])[1]

    def forward(at: Any, direction: jax.Array) -> tuple[jax.Array, Callable[..., Any]]:
        """Return J u and the function y -> (J^T y,) of a batch, from one linearisation."""
        tangent = unravel(direction)
        if isinstance(at, tuple):
            variables, x = at
            _, push = jax.linearize(
                lambda params: logits(params, variables, x), variables["params"]
            )
            return push(tangent), jax.linear_transpose(push, tangent)
        # What was kept maps y to J^T y; its transpose maps u to J u.
        return jax.linear_transpose(lambda y: at(y)[0], rows)(tangent)[0], at

    def push(at: Any, direction: jax.Array) -> jax.Array:
        if not isinstance(at, tuple):
            return forward(at, direction)[0]
        variables, x = at
        return jax.jvp(
            lambda params: logits(params, variables, x),
            (variables["params"],),
            (unravel(direction),),
        )[1]

    def pull(total: Any, at: Any, y: jax.Array) -> Any:
        back = linearize(*at) if isinstance(at, tuple) else at
        return _add(total, jax.flatten_util.ravel_pytree(back(y)[0])[0])

    def both(
        total: Any, at: Any, direction: jax.Array, y: jax.Array, scale: jax.Array, mask: jax.Array
    ) -> Any:
        tangents, back = forward(at, direction)
        w = mask * (tangents + scale * y)
        return w, _add(total, jax.flatten_util.ravel_pytree(back(w)[0])[0])

    return _Calls(jax.jit(linearize), jax.jit(push), jax.jit(pull), jax.jit(both))


def _add(total: tuple[jax.Array, jax.Array], term: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return (sum, what rounding has lost of it) with one more term: Knuth's two-sum."""
    high, low = total
    result = high + term
    part = result - high
    return result, low + ((high - (result - part)) + (term - part))

"""The empirical neural tangent kernel of a model on given inputs, as one dense matrix.

`gram` is the public entry: it checks the input, chooses a method and lays tiles of the matrix one
beside the other on the host. A method is a `TileEngine`: what to keep of a block of examples, and
the tile of the kernel that two such blocks make.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from kdtheory.errors import InputError, KernelError, unknown_name
from kdtheory.ntk.engines import OUTPUTS, TileEngine
from kdtheory.ntk.inputs import as_inputs, cast, settings
from kdtheory.ntk.methods import METHODS, make_engine
from kdtheory.ntk.tiling import blocks, fill
from kdtheory.typing import ApplyFn, ArrayLike, Variables


def gram(
    apply_fn: ApplyFn,
    variables: Variables,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    outputs: str = "full",
    method: str = "auto",
    batch_size: int | None = None,
    dtype: Any = None,
    on_tile: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, "..."]:
    r"""Return the Gram matrix of the empirical neural tangent kernel, exact up to rounding.

    With the Jacobian of all outputs by the parameters, J in R^(n d x P), the matrix is

        K(x1, x2) = J(x1) J(x2)^T,

    the kernel of the paper (Harutyunyan et al., ICLR 2023, arXiv 2301.12245) and of Jacot et al.
    (2018), at the parameters given.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d); a Flax linen `model.apply` is one. It must
        treat examples independently: BatchNorm in inference mode, no dropout.
      variables: {"params": ..., "batch_stats": ...}; only "params" is differentiated.
      x1: inputs of shape (n1, ...).
      x2: inputs of shape (n2, ...), or None for x2 = x1: then the symmetric half is computed once
        and the result is exactly symmetric.
      outputs: what is kept of the d outputs:
        "full": (n1*d, n2*d), example-major: row i*d + a is example i, output a;
        "trace": (n1, n2), summed over outputs (for "full" and "trace", Tr K is the same);
        "diagonal": (d, n1, n2), one kernel for each output;
        "sum": (n1, n2), the kernel of the sum of the outputs divided by sqrt(d).
      method: "layerwise", "neural_tangents" (its Jacobian contraction),
        "neural_tangents_vector_products", or "auto" (see `choose_method`).
      batch_size: examples in a block of rows; None chooses one from n, d and P. It does not change
        the result beyond rounding.
      dtype: "float32" or "float64"; None keeps the parameters' (float32 for lower precision).
        "float64" holds whatever JAX's own flag says, and casts floating variables and inputs.
      on_tile: called with (tiles done, tiles in all) after each tile.

    Returns:
      A NumPy array on the host, of the dtype asked for.

    Raises:
      InputError: an unknown method, outputs or dtype, variables without "params", inputs that do
        not match, logits that are not (n, d), a model that `method="layerwise"` does not cover.
      KernelError: the kernel has entries that are not finite; the message names the likely cause.

    >>> import jax, flax.linen as nn
    >>> model, x = nn.Dense(1), np.eye(3, 2, dtype=np.float32)
    >>> variables = model.init(jax.random.key(0), x)
    >>> gram(model.apply, variables, x)  # x x^T + 1: the one is the bias
    array([[2., 1., 1.],
           [1., 2., 1.],
           [1., 1., 1.]], dtype=float32)
    """
    _check_names(outputs, method, batch_size)
    with settings(dtype, variables) as result_dtype:
        variables = cast(variables, result_dtype)
        x1 = as_inputs("x1", x1, result_dtype)
        x2 = None if x2 is None else as_inputs("x2", x2, result_dtype)
        if x2 is not None and (x1.shape[1:] != x2.shape[1:] or x1.dtype != x2.dtype):
            raise InputError(
                f"x1 and x2 must be alike but for their length; got {x1.dtype}{x1.shape} and "
                f"{x2.dtype}{x2.shape}"
            )
        engine = make_engine(apply_fn, variables, x1, outputs=outputs, method=method)
        kernel = _tiled(engine, variables, x1, x2, batch_size, on_tile)
        if kernel.dtype != result_dtype:
            # A model with a computation dtype of its own.
            kernel = kernel.astype(result_dtype)
    return kernel


def choose_method(apply_fn: ApplyFn, variables: Variables, x: ArrayLike) -> tuple[str, str]:
    """Return the method that `gram(..., method="auto")` uses for this model, and why.

    "layerwise" wherever it is exact; "neural_tangents" for functions whose parameters do not enter
    through calls of Flax modules only, or whose layers run inside lifted transformations.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d).
      variables: the model's variables.
      x: inputs of shape (n, ...); only shape and dtype matter.

    Returns:
      (method, reason).

    Raises:
      InputError: as `gram`.

    >>> choose_method(lambda v, x: x @ v["params"]["w"], {"params": {"w": np.eye(2)}}, np.eye(2))
    ('neural_tangents', 'outside layer calls, or hidden by a transformation: w')
    """
    with settings(None, variables) as result_dtype:
        variables = cast(variables, result_dtype)
        engine = make_engine(
            apply_fn, variables, as_inputs("x", x, result_dtype), outputs="full", method="auto"
        )
    return engine.method, engine.reason


def _tiled(
    engine: TileEngine,
    variables: Variables,
    x1: np.ndarray,
    x2: np.ndarray | None,
    batch_size: int | None,
    on_tile: Callable[[int, int], None] | None,
) -> np.ndarray:
    """Compute the kernel block by block, keeping the row block's features while they serve."""
    other = x1 if x2 is None else x2
    variables = jax.device_put(variables)
    row_size = engine.block_size(x1.shape[0], batch_size)
    column_size = engine.block_size(other.shape[0], batch_size)
    rows, columns = blocks(x1.shape[0], row_size), blocks(other.shape[0], column_size)
    places = [(i, j) for i in range(len(rows)) for j in range(i if x2 is None else 0, len(columns))]
    keeps = engine.keeps(len(columns), column_size)
    kept: dict[int, Any] = {}

    def column_features(j: int) -> Any:
        """Features of a block of columns, kept for later rows where they fit in memory."""
        if j in kept:
            return kept[j]
        value = engine.features(variables, other[columns[j]], column_size)
        if keeps:
            kept[j] = value
        return value

    kernel: np.ndarray | None = None
    row_features: Any = None
    for done, (i, j) in enumerate(places, 1):
        row, column = rows[i], columns[j]
        if done == 1 or i != places[done - 2][0]:
            if x2 is None:
                row_features = column_features(i)
                kept.pop(i, None)
            else:
                row_features = engine.features(variables, x1[row], row_size)
        on_diagonal = x2 is None and i == j
        tile = np.asarray(
            engine.tile(variables, row_features, None if on_diagonal else column_features(j))
        )
        if kernel is None:
            kernel = np.empty(engine.shape(x1.shape[0], other.shape[0]), tile.dtype)
        written = fill(kernel, tile, row, column, engine.outputs, symmetric=x2 is None)
        if not np.isfinite(written).all():
            raise _not_finite(variables, x1, x2)
        if on_tile is not None:
            on_tile(done, len(places))
    assert kernel is not None
    return kernel


def _check_names(outputs: str, method: str, batch_size: int | None) -> None:
    if outputs not in OUTPUTS:
        raise unknown_name("outputs", outputs, OUTPUTS)
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size must be at least 1; got {batch_size}")


def _not_finite(variables: Variables, x1: np.ndarray, x2: np.ndarray | None) -> KernelError:
    """Name the likely cause of a kernel with entries that are not finite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.isfinite(np.asarray(leaf)).all():
            where = "/".join(str(getattr(key, "key", key)) for key in path)
            return KernelError(
                f"the kernel is not finite because {where} is not (a training run that diverged?)"
            )
    largest = max(float(np.abs(x).max()) for x in (x1, x2) if x is not None)
    return KernelError(
        "the kernel is not finite although inputs and parameters are: an overflow in the model or "
        f"a derivative that does not exist (largest input {largest:.3g}); "
        'try dtype="float64" or normalised inputs'
    )

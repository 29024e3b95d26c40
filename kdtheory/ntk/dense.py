"""The empirical neural tangent kernel of a model on given inputs, as one dense matrix.

`gram` is the public entry: it checks the input, chooses a method and lays tiles of the matrix one
beside the other on the host. A method is a `TileEngine`: what to keep of a block of examples, and
the tile of the kernel that two such blocks make.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from kdtheory.errors import InputError, KernelError, unknown_name
from kdtheory.memory import parse_bytes
from kdtheory.ntk.blockwise import Blockwise, Progress
from kdtheory.ntk.differentiated import ParamsFilter, differentiated
from kdtheory.ntk.engines import OUTPUTS, TileEngine
from kdtheory.ntk.fingerprint import identity
from kdtheory.ntk.inputs import as_inputs, cast, settings
from kdtheory.ntk.mesh import Placement
from kdtheory.ntk.methods import METHODS, make_engine
from kdtheory.ntk.processes import Team
from kdtheory.ntk.schedule import all_tiles
from kdtheory.ntk.spill import Spill
from kdtheory.ntk.store import FILE_BYTES, TileStore
from kdtheory.ntk.tiling import Assembly, blocks
from kdtheory.typing import ApplyFn, ArrayLike, Variables


def gram(
    apply_fn: ApplyFn,
    variables: Any,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    outputs: str = "full",
    method: str = "auto",
    params: ParamsFilter = "params",
    batch_size: int | None = None,
    dtype: Any = None,
    precision: str = "highest",
    memory_budget: str | int | None = None,
    store: str | os.PathLike[str] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    distributed: bool = False,
    on_tile: Callable[[int, int], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Float[np.ndarray, "..."]:
    r"""Return the Gram matrix of the empirical neural tangent kernel, exact up to rounding.

    With the Jacobian of all outputs by the parameters, J in R^(n d x P), the matrix is

        K(x1, x2) = J(x1) J(x2)^T,

    the kernel of the paper (Harutyunyan et al., ICLR 2023, arXiv 2301.12245) and of Jacot et al.
    (2018), at the parameters given.

    Args:
      apply_fn: any function (variables, x) -> logits of shape (n, d); a Flax linen `model.apply` is
        one, and `kdtheory.models.from_nnx`, `from_equinox` and `from_haiku` make one. It must treat
        examples independently, which is checked: BatchNorm in inference mode, no dropout.
      variables: any pytree of arrays, such as {"params": ..., "batch_stats": ...}.
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
      params: what in `variables` is differentiated: the path of a subtree or of a leaf ("params",
        "params/Dense_0"), or a filter (path, leaf) -> bool.
      batch_size: examples in a block of rows; None chooses one from n, d, P and memory_budget. It
        does not change the result beyond rounding.
      dtype: "float32" or "float64"; None keeps the parameters' (float32 for lower precision).
        "float64" holds whatever JAX's own flag says, and casts floating variables and inputs.
      precision: how GPUs and TPUs multiply float32: "highest" (in float32), or named as such and
        faster, "tensorfloat32" (products good to about 1e-3) or "bfloat16" (to about 1e-2). CPUs
        compute in float32 whatever this says.
      memory_budget: memory to compute in besides the matrix itself, such as "4GiB" or a number of
        bytes; on accelerators it is theirs, all devices of the mesh together. Features of blocks of
        examples that do not fit are spilled to a temporary file (in `store`, else in $TMPDIR), or
        computed again where that is quicker. None keeps gradients of at most 4 GiB, and of
        half of what is free; block sizes, and so the rounding, never depend on what is free.
      store: a folder for finished tiles. A call that was killed goes on when it is made again, and
        returns the same matrix bit for bit; damaged tiles are computed again, with a warning.
      mesh: devices of this process to split the examples over, along all axes together.
      distributed: share the tiles among the processes of `jax.distributed`, all of which must make
        the same call; each returns the whole matrix. They exchange tiles through `store`, a folder
        that all of them see, or without one by an all-gather.
      on_tile: called with (tiles done, tiles in all) after each tile of this process.
      on_progress: called with a `Progress` after each tile: the same, and the seconds left.

    Returns:
      A NumPy array on the host, of the dtype asked for.

    Raises:
      InputError: an unknown method, outputs, dtype or precision, variables without "params", inputs
        that do not match, logits that are not (n, d), a model that `method="layerwise"` does not
        cover, a budget that cannot be met, a store of another kernel, a mesh with devices of other
        processes.
      KernelError: the kernel has entries that are not finite; the message names the likely cause.
      RunError: the store cannot be written, or another process was lost.

    >>> import jax, flax.linen as nn
    >>> model, x = nn.Dense(1), np.eye(3, 2, dtype=np.float32)
    >>> variables = model.init(jax.random.key(0), x)
    >>> gram(model.apply, variables, x)  # x x^T + 1: the one is the bias
    array([[2., 1., 1.],
           [1., 2., 1.],
           [1., 1., 1.]], dtype=float32)
    """
    _check_names(outputs, method, batch_size)
    apply_fn, variables = differentiated(apply_fn, variables, params)
    budget = None if memory_budget is None else parse_bytes(memory_budget)
    placement = Placement(mesh)

    def tell(progress: Progress) -> None:
        if on_tile is not None:
            on_tile(progress.done, progress.total)
        if on_progress is not None:
            on_progress(progress)

    with settings(dtype, variables, precision=precision) as result_dtype:
        variables = cast(variables, result_dtype)
        x1 = as_inputs("x1", x1, result_dtype)
        x2 = None if x2 is None else as_inputs("x2", x2, result_dtype)
        if x2 is not None and (x1.shape[1:] != x2.shape[1:] or x1.dtype != x2.dtype):
            raise InputError(
                f"x1 and x2 must be alike but for their length; got {x1.dtype}{x1.shape} and "
                f"{x2.dtype}{x2.shape}"
            )
        engine = make_engine(
            apply_fn,
            variables,
            x1,
            outputs=outputs,
            method=method,
            budget=budget,
            placement=placement,
        )
        kernel = _assembled(
            apply_fn,
            engine,
            variables,
            x1,
            x2,
            batch_size=batch_size,
            folder=None if store is None else Path(store),
            distributed=distributed,
            tell=tell,
        )
        if kernel.dtype != result_dtype:
            # A model with a computation dtype of its own.
            kernel = kernel.astype(result_dtype)
    return kernel


def choose_method(apply_fn: ApplyFn, variables: Any, x: ArrayLike) -> tuple[str, str]:
    """Return the method that `gram(..., method="auto")` uses for this model, and why.

    That is "layerwise", which is exact for every function whose gradient JAX can take.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d).
      variables: the model's variables.
      x: inputs of shape (n, ...); only shape and dtype matter.

    Returns:
      (method, reason).

    Raises:
      InputError: as `gram`.

    >>> choose_method(lambda v, x: x @ v["params"]["w"], {"params": {"w": np.eye(2)}}, np.eye(2))
    ('layerwise', 'exact for every function')
    """
    apply_fn, variables = differentiated(apply_fn, variables)
    with settings(None, variables) as result_dtype:
        variables = cast(variables, result_dtype)
        engine = make_engine(
            apply_fn, variables, as_inputs("x", x, result_dtype), outputs="full", method="auto"
        )
    return engine.method, engine.reason


def _assembled(
    apply_fn: ApplyFn,
    engine: TileEngine,
    variables: Variables,
    x1: np.ndarray,
    x2: np.ndarray | None,
    *,
    batch_size: int | None,
    folder: Path | None,
    distributed: bool,
    tell: Callable[[Progress], None],
) -> np.ndarray:
    """Compute the tiles that are this process' and not stored yet, and put all together."""
    other = x1 if x2 is None else x2
    n1, n2 = x1.shape[0], other.shape[0]
    plan = engine.plan(variables, n1, n2, batch_size)
    rows, columns = blocks(n1, plan.rows), blocks(n2, plan.columns)
    matrix = Assembly(engine.shape(n1, n2), engine.outputs, rows, columns, symmetric=x2 is None)
    every = all_tiles(len(rows), len(columns), symmetric=x2 is None)
    team = Team(share=distributed)
    mine = team.share_of(every)
    store: TileStore | None = None
    if folder is not None or team.count > 1:
        names = identity(engine, plan, apply_fn, variables, x1, x2)
        if folder is None:
            team.check_alike(names)
        else:
            store = TileStore(folder, names, file_bytes=_pending_bytes(engine))
            for place, tile in store.read():
                matrix.put(place, tile)
    wanted = [place for place in mine if place not in matrix.placed]
    work = Blockwise(engine, plan, variables, x1, x2, rows, columns)
    done = len(mine) - len(wanted)
    if done:
        tell(Progress(done, len(mine), None))
    with Spill(folder) as spill:
        for place, tile, seconds_left in work.tiles(wanted, spill):
            if not np.isfinite(matrix.put(place, tile)).all():
                raise _not_finite(variables, x1, x2)
            if store is None:
                team.keep(place, tile)
            else:
                store.add(place, tile)
            done += 1
            tell(Progress(done, len(mine), seconds_left))
    # JAX keeps arrays that it shares with NumPy, features among them, until the collector runs.
    gc.collect(0)
    if store is not None:
        store.flush()
    if team.count > 1:
        team.complete(matrix, every, store)
    return matrix.whole()


def _pending_bytes(engine: TileEngine) -> int:
    """Return how much may wait in memory to be stored."""
    return FILE_BYTES if engine.budget is None else min(FILE_BYTES, engine.budget // 32)


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

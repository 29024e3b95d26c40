"""Telling kernels apart: short hashes of everything that a kernel's entries depend on."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from kdtheory.ntk.engines import Plan, TileEngine, abstract
from kdtheory.typing import ApplyFn, Variables


def array_hash(*arrays: np.ndarray) -> str:
    """Return a hash of arrays' shapes, dtypes and entries.

    >>> array_hash(np.zeros(2)) == array_hash(np.zeros(2, np.float32))
    False
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def model_hash(apply_fn: ApplyFn, variables: Variables, x: np.ndarray) -> str:
    """Return a hash of what the model computes: its program, and the constants in it.

    The program is JAX's own text of it (a jaxpr): a change of the model's code, of a layer's
    configuration or of a captured constant shows, and a new name for the same thing does not.

    >>> linear = lambda v, x: x @ v["params"]["w"]
    >>> doubled = lambda v, x: 2 * x @ v["params"]["w"]
    >>> eye = np.eye(2, dtype=np.float32)
    >>> given = {"params": {"w": eye}}, eye
    >>> model_hash(linear, *given) == model_hash(doubled, *given)
    False
    """
    x_like = jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype)
    closed = jax.make_jaxpr(apply_fn)(abstract(variables), x_like)
    # Functions are printed with their addresses, which differ from process to process.
    program = re.sub(r" at 0x[0-9a-f]+", "", str(closed.jaxpr))
    constants = [np.asarray(constant) for constant in closed.consts]
    return hashlib.sha256(f"{program}{array_hash(*constants)}".encode()).hexdigest()[:16]


def _entries(leaf: Any) -> np.ndarray:
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def identity(
    engine: TileEngine,
    plan: Plan,
    apply_fn: ApplyFn,
    variables: Variables,
    x1: np.ndarray,
    x2: np.ndarray | None,
) -> Mapping[str, Any]:
    """Return what a kernel's entries depend on, by name: JSON's types, equal for equal kernels.

    How much memory there is, and how many processes share the work, is not among it.
    """
    leaves = jax.tree_util.tree_leaves_with_path(dict(variables))
    names = hashlib.sha256("".join(str(path) for path, _ in leaves).encode()).hexdigest()[:16]
    device = jax.local_devices()[0]
    config: Any = jax.config
    return {
        "model": model_hash(apply_fn, variables, x1),
        "parameters": f"{names}-{array_hash(*(_entries(leaf) for _, leaf in leaves))}",
        "x1": array_hash(x1),
        "x2": None if x2 is None else array_hash(x2),
        "outputs": engine.outputs,
        "method": engine.method,
        "dtype": str(np.dtype(jax.tree.leaves(variables["params"])[0].dtype)),
        "precision": str(config.jax_default_matmul_precision),
        "block_sizes": [plan.rows, plan.columns, plan.chunk, plan.groups],
        "devices": f"{engine.placement.count} x {device.platform}: {device.device_kind}",
        "jax": jax.__version__,
    }

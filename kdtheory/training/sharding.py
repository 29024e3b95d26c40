"""Data-parallel training: the devices that share a batch."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh of one axis, "data", for `make_train_chunk(mesh=...)`.

    Args:
      devices: default: all devices, those of other processes too (`jax.distributed`).

    >>> data_mesh().axis_names
    ('data',)
    """
    return Mesh(np.asarray(jax.devices() if devices is None else devices), ("data",))


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Return a pytree with every array on all devices of a mesh.

    With several processes, each gives the same values, and holds its own devices' copies.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    if everywhere.is_fully_addressable:
        return jax.device_put(tree, everywhere)

    def place(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.sharding == everywhere:
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            implementation = jax.random.key_impl(leaf)
            return jax.random.wrap_key_data(place(jax.random.key_data(leaf)), impl=implementation)
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, everywhere, lambda index: values[index])

    return jax.tree.map(place, tree)

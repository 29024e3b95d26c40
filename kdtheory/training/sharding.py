"""Data-parallel training: the devices that share a batch."""

from collections.abc import Sequence
from typing import TypeVar

import jax
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
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))

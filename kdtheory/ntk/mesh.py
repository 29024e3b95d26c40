"""Where arrays lie: on one device, or by rows over the devices of a mesh.

Per-example work is split by `jax.shard_map`: each device runs the very program that one device
alone would run, on its own examples, so that nothing is left to the partitioner's judgement.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kdtheory.errors import InputError


@dataclasses.dataclass(frozen=True)
class Placement:
    """One device (mesh None), or all devices of a mesh, examples split over them.

    Attributes:
      mesh: any axes; examples are split over all of them together.
    """

    mesh: jax.sharding.Mesh | None = None

    def __post_init__(self) -> None:
        if self.mesh is None:
            return
        others = {device.process_index for device in self.mesh.devices.flat} - {jax.process_index()}
        if others:
            raise InputError(
                f"mesh must hold devices of this process only, it has some of process "
                f"{min(others)}; build it from jax.local_devices(), and let several processes "
                "share the tiles (distributed=True)"
            )

    @property
    def count(self) -> int:
        """The number of devices.

        >>> Placement().count
        1
        """
        return 1 if self.mesh is None else int(self.mesh.devices.size)

    def _split(self, axis: int) -> PartitionSpec:
        assert self.mesh is not None
        return PartitionSpec(*(None,) * axis, self.mesh.axis_names)

    def rows(self, x: np.ndarray) -> jax.Array:
        """Return `x` on the devices, split along axis 0, whose length `count` divides."""
        if self.mesh is None:
            return jax.device_put(x)
        return jax.device_put(x, NamedSharding(self.mesh, self._split(0)))

    def everywhere(self, tree: Any) -> Any:
        """Return the arrays of a tree as a whole on each device."""
        if self.mesh is None:
            return jax.device_put(tree)
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def abstract(self, shape: tuple[int, ...], dtype: Any, *, rows: bool) -> jax.ShapeDtypeStruct:
        """Return what stands for an array placed by `rows` or by `everywhere`."""
        if self.mesh is None:
            return jax.ShapeDtypeStruct(shape, dtype)
        spec = self._split(0) if rows else PartitionSpec()
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(self.mesh, spec))

    def jit(self, function: Callable[..., Any], *split: bool, out_axis: int = 0) -> Any:
        """Compile a function that each device applies to its own part.

        Args:
          function: of as many arguments as `split` has entries.
          split: whether each argument is split along axis 0; the others are whole everywhere.
          out_axis: the axis of the results that stays split.
        """
        if self.mesh is None:
            return jax.jit(function)
        return jax.jit(
            jax.shard_map(
                function,
                mesh=self.mesh,
                in_specs=tuple(self._split(0) if part else PartitionSpec() for part in split),
                out_specs=self._split(out_axis),
                check_vma=False,
            )
        )

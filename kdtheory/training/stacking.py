"""Several networks' states and supervisions as one pytree each, and back."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from kdtheory.errors import InputError
from kdtheory.training.state import TrainState


@struct.dataclass
class Stacked:
    """Several supervisions of one structure: what they share once, what differs along axis 0."""

    own: list[jax.Array]
    shared: list[jax.Array]
    is_shared: tuple[bool, ...] = struct.field(pytree_node=False)
    structure: Any = struct.field(pytree_node=False)

    def with_own(self, own: Sequence[jax.Array]) -> Any:
        """Return the supervision with one network's part of what differs."""
        parts = {True: iter(self.shared), False: iter(own)}
        return jax.tree.unflatten(self.structure, [next(parts[kind]) for kind in self.is_shared])


def _kind(supervision: Any) -> Any:
    leaves, structure = jax.tree.flatten(supervision)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


def of_one_kind(supervisions: Sequence[Any]) -> bool:
    """Return whether target providers can be stacked: they differ in numbers alone."""
    kinds = [_kind(supervision) for supervision in supervisions]
    return all(kind == kinds[0] for kind in kinds)


def stack_supervisions(supervisions: Sequence[Any]) -> Stacked:
    """Stack target providers of one structure, for networks that train together.

    An array that is one and the same object in all of them (a teacher's trajectory that several
    arms or seeds share) is kept once, and is no batch axis for the teacher's inference.

    Raises:
      InputError: providers of different kinds, teachers or shapes.

    >>> stacked = stack_supervisions([{"tau": jnp.float32(1)}, {"tau": jnp.float32(4)}])
    >>> stacked.own[0].tolist()
    [1.0, 4.0]
    """
    if not of_one_kind(supervisions):
        raise InputError(
            "networks that train in one program need supervisions of one kind, which differ in "
            "numbers alone (temperature, alpha, a teacher's parameters)"
        )
    structure = jax.tree.structure(supervisions[0])
    columns = list(zip(*map(jax.tree.leaves, supervisions), strict=True))
    is_shared = tuple(all(leaf is column[0] for leaf in column) for column in columns)
    parted = list(zip(columns, is_shared, strict=True))
    own = [jnp.stack(column) for column, shared in parted if not shared]
    return Stacked(own, [column[0] for column, shared in parted if shared], is_shared, structure)


def stack_states(states: Sequence[TrainState]) -> TrainState:
    """Stack states that have made the same number of updates; the step stays one number.

    Raises:
      InputError: states at different steps.
    """
    steps = {int(state.step) for state in states}
    if len(steps) > 1:
        raise InputError(
            f"networks that train together must be at the same step, got {sorted(steps)}"
        )
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return stacked._replace(step=jnp.copy(states[0].step))


@jax.jit
def unstack_states(states: TrainState) -> list[TrainState]:
    """Return each network's state, of copies."""
    count = jax.tree.leaves(states.params)[0].shape[0]
    step = states.step
    networks = [jax.tree.map(lambda leaf: leaf[i], states[1:]) for i in range(count)]  # noqa: B023
    return [TrainState(jnp.copy(step), *network) for network in networks]

"""Parameters from elsewhere: read from a file, matched by name and shape to a model's variables."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.array_files import arrays_in, opened
from kdtheory.errors import InputError
from kdtheory.files import check_regular
from kdtheory.memory import check_fits
from kdtheory.typing import Variables

#: In a report, as many names are listed of each kind.
_LISTED = 6

#: Endings of files of arrays whose names have / or . between their parts.
_NAMED = (".npz", ".safetensors")
#: What Flax calls the files of its checkpoints: checkpoint_100.
_FLAX = re.compile(r".+_\d+")
#: Of several items in a step of an orbax CheckpointManager, these are taken, in this order.
_ITEMS = ("default", "state", "params", "variables", "model")


class Matched(NamedTuple):
    """A model's variables with what was found for them, and what was not."""

    variables: Variables
    """As the model has them: what was found in their places, the rest as it was."""
    sha256: str
    """Of the arrays that were found: their names, shapes, dtypes and bytes."""
    found: int
    """How many of the model's arrays were found."""
    unmatched: tuple[str, ...]
    """The model's arrays that were not, each with its shape and, if it is there, the other one."""
    left_over: tuple[str, ...]
    """The arrays of no use to the model, with their shapes."""

    @property
    def report(self) -> str:
        """What matched and what did not, in one line."""
        total = self.found + len(self.unmatched)
        text = f"{self.found} of the model's {total} arrays found"
        for what, names in (("not found", self.unmatched), ("left over", self.left_over)):
            if names:
                more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
                text += f"; {what}: {', '.join(names[:_LISTED])}{more}"
        return text


def match_variables(like: Variables, given: Any, source: str = "these variables") -> Matched:
    """Return a model's variables with those of another pytree in their places.

    An array is found under its own name (params/Dense_0/kernel), or under the shortest one that
    ends with it, with or without the collection (model/params/Dense_0/kernel, Dense_0/kernel); it
    must have the same shape, and is converted to the dtype that the model has.

    Args:
      like: the model's own variables, which stay where nothing is found.
      given: a pytree of arrays, or a mapping from names with / or . in them to arrays.
      source: where they come from, for messages.

    Raises:
      InputError: nothing is found, a name could be one of several, or a number is not finite.

    >>> like = {"params": {"w": jnp.zeros(2), "b": jnp.zeros(())}}
    >>> matched = match_variables(like, {"w": np.ones(2), "head.w": np.ones(3)})
    >>> matched.variables["params"]["w"].tolist(), matched.report
    ([1.0, 1.0], "1 of the model's 2 arrays found; not found: params/b (); left over: head/w (3,)")
    """
    entries = {
        name: array
        for name, array in _by_name(given).items()
        # Moments have the names and the shapes of what they are moments of.
        if not {"opt_state", "optimizer"} & set(name.split("/"))
    }
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    arrays, digest, unmatched, used = [], hashlib.sha256(), [], set()
    for path, leaf in leaves:
        name = _name(path)
        place = _place(name, entries, source)
        array = None if place is None else np.asarray(entries[place])
        arrays.append(leaf)
        if place is None or array is None:
            unmatched.append(f"{name} {tuple(leaf.shape)}")
            continue
        used.add(place)
        if array.shape != tuple(leaf.shape):
            unmatched.append(f"{name} {tuple(leaf.shape)}, there {array.shape}")
            continue
        found = array.astype(leaf.dtype)
        if not np.isfinite(found.astype(np.float32)).all():
            raise InputError(f"{source}: {place} has numbers that are not finite")
        described = json.dumps([name, list(found.shape), str(found.dtype)])
        digest.update(described.encode() + np.ascontiguousarray(found).tobytes())
        arrays[-1] = jnp.asarray(found)
    matched = Matched(
        jax.tree_util.tree_unflatten(structure, arrays),
        digest.hexdigest(),
        len(leaves) - len(unmatched),
        tuple(unmatched),
        tuple(f"{name} {np.shape(entries[name])}" for name in sorted(set(entries) - used)),
    )
    if not matched.found:
        raise InputError(f"{source}: {matched.report}")
    return matched


def _of_one_file(path: Path) -> bool:
    """Return whether a file's name is that of variables: Flax's, or of named arrays."""
    return path.suffix in (".msgpack", *_NAMED) or _FLAX.fullmatch(path.name) is not None


def read_variables(path: Path) -> Mapping[str, Any]:
    """Return the arrays of a file, by their names.

    - `.msgpack`, or Flax's checkpoint_N: what `flax.serialization.to_bytes` made.
    - `.safetensors`, `.npz`: arrays whose names have / or . between their parts.
    - a folder: an orbax checkpoint, or the step of one that its CheckpointManager wrote.

    Nothing in them is executed: no pickles. Names are those that `match_variables` looks in.

    Raises:
      InputError: no such file, another kind, a damaged one, or a run's own, which
        `kdtheory.runs.checkpoint_variables` reads; one line.
      RunError: it is not what the digest beside it says.

    >>> read_variables(Path("weights.pt"))
    Traceback (most recent call last):
    kdtheory.errors.InputError: weights.pt must be an orbax folder, or a file .msgpack, ...
    """
    if path.is_dir():
        return _by_name(_orbax(path))
    if not _of_one_file(path):
        if not path.suffix and not path.exists():
            raise InputError(f"{path} does not exist")
        raise InputError(
            f"{path} must be an orbax folder, or a file .msgpack, .safetensors or .npz"
            + (" (safetensors.torch.save_file writes one)" if path.suffix == ".pt" else "")
        )
    with opened(path) as file:
        if path.suffix in _NAMED:
            return _by_name(arrays_in(file, path, forms=_NAMED))
        content = file.read()
    from flax import serialization

    try:
        return _by_name(serialization.msgpack_restore(content))
    except Exception as error:  # msgpack and Flax raise many kinds for damaged content
        raise InputError(f"{path} cannot be read as .msgpack: {_first(error)}") from error


def _orbax(path: Path) -> Any:
    """Return the pytree of an orbax checkpoint, or of the one item that its folder holds."""
    import orbax.checkpoint as ocp

    try:
        check_regular(path)
    except OSError as error:
        raise InputError(f"{path}: {error}") from error
    if not (path / "_METADATA").exists():
        inner = [child for child in path.iterdir() if (child / "_METADATA").is_file()]
        if len(inner) > 1:
            inner = [path / name for name in _ITEMS if path / name in inner]
        if not inner:
            below = [found.parent for found in sorted(path.rglob("_METADATA"))]
            below = below or sorted(filter(_of_one_file, path.iterdir()))
            instead = f"; name one, such as {below[-1]}" if below else ""
            raise InputError(f"{path} is no orbax checkpoint of arrays{instead}")
        path = inner[0]
    checkpointer = ocp.StandardCheckpointer()
    try:
        tree = checkpointer.metadata(path.absolute()).item_metadata.tree
        if isinstance(tree, dict) and {"structure", "float32"} <= tree.keys():
            raise InputError(
                f"{path} is of kdtheory run, which stores numbers without names: name it where it "
                "lies in the run's folder; in Python kdtheory.runs.checkpoint_variables(path, like)"
            )
        abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), tree)
        needed = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(abstract))
        check_fits(f"the checkpoint {path}", needed, "take a smaller one")
        return checkpointer.restore(path.absolute(), abstract)
    except InputError:
        raise
    except Exception as error:  # orbax raises many kinds
        raise InputError(f"{path} cannot be read as an orbax folder: {_first(error)}") from error
    finally:
        checkpointer.close()


def _by_name(tree: Any) -> dict[str, Any]:
    """Return a pytree's arrays of numbers by their names, parts joined by /."""
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype") and _is_numbers(leaf):
            name = _name(path)
            named[name if "/" in name else name.replace(".", "/")] = leaf
    return named


def _is_numbers(leaf: Any) -> bool:
    # JAX's own floating dtypes, such as bfloat16, are none of NumPy's.
    return bool(jnp.issubdtype(leaf.dtype, jnp.number))


def _name(path: Sequence[Any]) -> str:
    name = jax.tree_util.keystr(tuple(path), simple=True, separator="/")
    # NNX keeps an array as the value of a variable.
    return name.removesuffix("/value").removesuffix("/raw_value")


def _place(name: str, entries: Mapping[str, Any], source: str) -> str | None:
    """Return under which name an array of a model's is found."""
    short = name.partition("/")[2]
    for wanted in (name, short):
        if wanted in entries:
            return wanted
        ends = [other for other in entries if other.endswith("/" + wanted)]
        if ends:
            fewest = min(other.count("/") for other in ends)
            nearest = [other for other in ends if other.count("/") == fewest]
            if len(nearest) > 1:
                raise InputError(
                    f"{source}: {name} could be {' or '.join(nearest[:3])}; save one of them alone"
                )
            return nearest[0]
    return None


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]

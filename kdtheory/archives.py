"""Archives of arrays (.npz) with a seal: what is damaged or another's is not read."""

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdtheory.digests import Owner, Unsound, checked, seal
from kdtheory.errors import InputError
from kdtheory.files import open_regular, write_whole
from kdtheory.memory import check_fits

#: Member of an archive that seals the others.
_SEAL = "seal"

#: Members of so many bytes fit into every memory.
_SMALL = 2**24

#: What reading damaged archives raises, besides errors of the system.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, NotImplementedError,
    RuntimeError, OverflowError, SyntaxError, tokenize.TokenError, TypeError, KeyError,
    AttributeError, MemoryError,
)  # fmt: skip


class Archive(NamedTuple):
    """What could be read of an archive."""

    arrays: dict[str, np.ndarray]
    """Those that are whole and their owner's."""
    unsound: Unsound | None
    """What is wrong with the others."""


def write_archive(path: Path, arrays: Mapping[str, np.ndarray], owner: Owner) -> Path:
    """Write arrays and their seal as .npz, whole or not at all; return the path.

    Raises:
      RunError: the file cannot be written.
    """
    members = {**arrays, _SEAL: np.array(seal(arrays, owner))}
    return write_whole(path, lambda file: np.savez(file, **members))  # type: ignore[arg-type]


def load_arrays(file: BufferedIOBase, path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an archive that somebody else made, without a seal.

    Raises:
      InputError: its arrays are larger than the memory: an archive of a megabyte may hold a
        thousand times as many zeros.
      One of `DAMAGE`: it is no whole archive of arrays.
    """
    with zipfile.ZipFile(file) as archive:
        _check_sizes(archive, path)
        return {name.removesuffix(".npy"): _member(archive, name) for name in archive.namelist()}


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    # No member gives more bytes than the archive's directory says.
    size = sum(member.file_size for member in archive.infolist())
    if size > _SMALL:
        # Once more for the array that is made of a member's bytes.
        check_fits(f"what {path} holds", 2 * size, "it cannot be read here")


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    # Read to the end, which is where the checksum is compared.
    content = io.BytesIO(archive.read(name))
    array: np.ndarray = np.lib.format.read_array(content, allow_pickle=False)
    return array


def read_archive(path: Path, owner: Owner) -> Archive:
    """Return the arrays of an archive, each as it was stored for its owner, and what is wrong.

    Raises:
      OSError: there is no such file, or it cannot be opened.
      InputError: its arrays are larger than the memory.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...   path = write_archive(Path(folder) / "a.npz", {"a": np.ones(2)}, Owner(names={"seed": 0}))
    ...   read_archive(path, Owner(names={"seed": 0})).arrays["a"].tolist()
    ...   read_archive(path, Owner(names={"seed": 1})).unsound.reason
    [1.0, 1.0]
    'it is of seed 0, not 1'
    """
    arrays: dict[str, np.ndarray] = {}
    wrong: Unsound | None = None
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_sizes(archive, path)
                for member in archive.namelist():
                    try:
                        arrays[member.removesuffix(".npy")] = _member(archive, member)
                    except (*DAMAGE, OSError) as error:
                        wrong = Unsound(str(error) or type(error).__name__)
        except InputError:
            raise
        except (*DAMAGE, OSError) as error:
            wrong = Unsound(str(error) or type(error).__name__)
    sealed = arrays.pop(_SEAL, None)
    found = checked(arrays, None if sealed is None else str(sealed), owner)
    return Archive({name: arrays[name] for name in found.sound}, wrong or found.wrong)

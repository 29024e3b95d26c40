"""Archives of arrays (.npz) with a seal: what is damaged or another's is not read."""

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdtheory.digests import Owner, Unsound, checked, seal
from kdtheory.files import open_regular, write_whole

#: Member of an archive that seals the others.
_SEAL = "seal"

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


def read_archive(path: Path, owner: Owner) -> Archive:
    """Return the arrays of an archive, each as it was stored for its owner, and what is wrong.

    Raises:
      OSError: there is no such file, or it cannot be opened.

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
                for member in archive.namelist():
                    try:
                        # Read to the end, which is where the checksum is compared.
                        content = io.BytesIO(archive.read(member))
                        array = np.lib.format.read_array(content, allow_pickle=False)
                        arrays[member.removesuffix(".npy")] = array
                    except (*DAMAGE, OSError) as error:
                        wrong = Unsound(str(error) or type(error).__name__)
        except (*DAMAGE, OSError) as error:
            wrong = Unsound(str(error) or type(error).__name__)
    sealed = arrays.pop(_SEAL, None)
    found = checked(arrays, None if sealed is None else str(sealed), owner)
    return Archive({name: arrays[name] for name in found.sound}, wrong or found.wrong)

"""Arrays in files of other programs: .npy, .npz, .csv, .mat and .safetensors, by their ending.

Nothing in a file is executed: no pickle is read. What a file unpacks to is compared with the memory
first, and a file with the digest that lies beside it.
"""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from kdtheory.archives import DAMAGE, load_arrays
from kdtheory.errors import InputError, unknown_name
from kdtheory.file_digests import check_digest
from kdtheory.files import open_regular
from kdtheory.memory import check_fits

#: Endings of the files that are read.
FORMS = (".npy", ".npz", ".csv", ".mat", ".safetensors")

#: Endings of PyTorch's files, which are pickles.
_PICKLES = (".pt", ".pth")

#: The name of an array that has none.
ALONE = ""

#: What a file takes as a multiple of its size: itself and its arrays; of text the characters too.
_TIMES = 2
_TIMES_TEXT = 10

#: In a .mat file: the bytes before its elements, and the kind of those that are compressed.
_MAT_HEADER = 128
_COMPRESSED = 15
_PIECE = 2**16


def read_array(path: Path, key: str | None = None) -> np.ndarray:
    """Return one array of a file: the one of a name, or the only one.

    Args:
      path: ends in one of `FORMS`.
      key: the array's name, in a file of several.

    Raises:
      InputError: no such file, another form, damaged, no such name, or several and no name; one
        line.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "both.npz"
    >>> np.savez(path, K=np.eye(2), Y=np.ones(2))
    >>> read_array(path, "Y").tolist()
    [1.0, 1.0]
    >>> read_array(path)
    Traceback (most recent call last):
    kdtheory.errors.InputError: .../both.npz holds several arrays: K, Y; say which is meant
    """
    with opened(path) as file:
        arrays = arrays_in(file, path)
    if key is None:
        if not arrays:
            raise InputError(f"{path} holds no array of numbers")
        if len(arrays) > 1:
            names = ", ".join(sorted(arrays))
            raise InputError(f"{path} holds several arrays: {names}; say which is meant")
        return next(iter(arrays.values()))
    if set(arrays) == {ALONE}:
        raise InputError(f"{path} is one array without a name; leave {key!r} out")
    if key not in arrays:
        raise unknown_name(f"array in {path}:", key, arrays)
    return arrays[key]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """Open a regular file for reading; what the system says is one line.

    Raises:
      InputError: it cannot be opened or read, or is larger than the memory.
      RunError: it is not what the digest beside it says.
    """
    try:
        with open_regular(path) as file:
            # A file with holes takes no space on the disk.
            times = _TIMES_TEXT if path.suffix == ".csv" else _TIMES
            _check_fits(path, times * os.fstat(file.fileno()).st_size)
            check_digest(path, file)
            yield file
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def arrays_in(
    file: BufferedIOBase, path: Path, *, forms: Sequence[str] = FORMS
) -> Mapping[str, np.ndarray]:
    """Return the arrays of an open file by name; that of a .npy or a .csv has the name "".

    Args:
      file: its bytes.
      path: what it is called; the ending says what it is.
      forms: the endings that are allowed.

    Raises:
      InputError: another ending, or damaged; one line.
    """
    if path.suffix not in forms:
        raise InputError(_other_form(path, forms))
    try:
        return _READERS[path.suffix](file, path)
    except InputError:
        raise
    # What NumPy, SciPy and safetensors let through for damaged content.
    except (*DAMAGE, RecursionError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{path} cannot be read as {path.suffix}: {reason}") from error


def _check_fits(path: Path, size: int) -> None:
    check_fits(f"what {path} holds", size, "it cannot be read here")


def _other_form(path: Path, forms: Sequence[str]) -> str:
    if path.suffix in _PICKLES:
        return (
            f"{path} is a pickle, which may run code and is not read; convert it: python -c "
            f"\"import numpy, torch; numpy.save('{path.stem}.npy', torch.load('{path.name}', "
            'weights_only=True).numpy(force=True))"'
        )
    return f"{path} must end in {', '.join(forms[:-1])} or {forms[-1]}"


def _npy(file: BufferedIOBase, path: Path) -> dict[str, np.ndarray]:
    if file.read(2) == b"PK":
        raise InputError(f"{path} is an archive of arrays; it must end in .npz")
    file.seek(0)
    return {ALONE: np.lib.format.read_array(file, allow_pickle=False)}


def _npz(file: BufferedIOBase, path: Path) -> dict[str, np.ndarray]:
    return load_arrays(file, path)


def _csv(file: BufferedIOBase, path: Path) -> dict[str, np.ndarray]:
    """Read numbers between commas, under a line of names or not."""
    text = file.read().decode("utf-8-sig")
    first = text.split("\n", 1)[0].split(",")
    if not first[0].strip() and len(first) > 1:
        raise InputError(
            f"{path} begins with a column without a name, such as an index; leave it out (pandas: "
            "to_csv(..., index=False))"
        )
    named = not all(map(_is_number, first))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "input contained no data": it has no rows then
        rows = np.loadtxt(
            io.StringIO(text), delimiter=",", comments=None, skiprows=int(named), ndmin=2
        )
    if not rows.size:
        raise InputError(f"{path} holds no numbers")
    return {ALONE: rows[:, 0] if rows.shape[1] == 1 else rows}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _mat(file: BufferedIOBase, path: Path) -> dict[str, np.ndarray]:
    import scipy.io

    _check_unpacked(file, path)
    try:
        held = scipy.io.loadmat(file)
    except NotImplementedError as error:
        raise InputError(f"{path} is of MATLAB 7.3 (HDF5): save it there with '-v7'") from error
    except Exception as error:  # SciPy raises many kinds for damaged content
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{path} cannot be read as .mat: {reason}") from error
    # What is no plain array: cells, structures, text, sparse matrices.
    return {
        name: values
        for name, values in held.items()
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiubc"
    }


def _check_unpacked(file: BufferedIOBase, path: Path) -> None:
    """Raise InputError if what is compressed in a .mat file is larger than the memory."""
    order = {b"IM": "<", b"MI": ">"}.get(file.read(_MAT_HEADER)[-2:])
    size = 0
    while order and len(tag := file.read(8)) == 8:
        kind, left = struct.unpack(f"{order}II", tag)
        if kind != _COMPRESSED:
            file.seek(left, os.SEEK_CUR)
            continue
        # Of a few pieces at a time, which are dropped: a megabyte may hold a gigabyte of zeros.
        unpacked = zlib.decompressobj()
        while left and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            size += len(unpacked.decompress(piece))
            _check_fits(path, _TIMES * size)
    file.seek(0)


def _safetensors(file: BufferedIOBase, path: Path) -> dict[str, np.ndarray]:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise InputError(
            f"{path} needs the package safetensors (pip install safetensors)"
        ) from error
    try:
        return dict(safetensors.numpy.load(file.read()))
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} cannot be read as .safetensors: {error}") from error


_READERS: Mapping[str, Callable[[Any, Path], dict[str, np.ndarray]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".mat": _mat,
    ".safetensors": _safetensors,
}

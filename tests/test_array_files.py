"""Arrays of other programs: every form holds the same, and what is none is one line."""

import io
import os

import numpy as np
import pytest
import safetensors.numpy
import scipy.io

from kdtheory.arguments import as_array
from kdtheory.array_files import read_array
from kdtheory.complexity import eigendecompose, factorize
from kdtheory.errors import InputError, RunError
from kdtheory.file_digests import write_with_digest

K = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 3.0]])


def written(folder, form, **arrays):
    path = folder / f"K{form}"
    first = next(iter(arrays.values()))
    {
        ".npy": lambda: np.save(path, first),
        ".npz": lambda: np.savez(path, **arrays),
        ".csv": lambda: np.savetxt(path, first, delimiter=",", fmt="%.17g"),
        ".mat": lambda: scipy.io.savemat(path, arrays),
        ".safetensors": lambda: safetensors.numpy.save_file(arrays, path),
    }[form]()
    return path


@pytest.mark.parametrize("form", [".npy", ".npz", ".csv", ".mat", ".safetensors"])
def test_every_form_holds_the_same_and_damage_is_one_line(tmp_path, form):
    path = written(tmp_path, form, K=K)
    np.testing.assert_array_equal(read_array(path), K)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 3], b"", b"\x00\xff" * 40):
        path.write_bytes(damaged)
        if form == ".csv" and damaged == content[: len(content) // 3]:
            continue  # whole lines are a table
        with pytest.raises(InputError) as error:
            read_array(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", [".npz", ".mat", ".safetensors"])
def test_of_several_the_one_that_is_named(tmp_path, form):
    path = written(tmp_path, form, K=K, Y=K[:, :2].copy())
    np.testing.assert_array_equal(read_array(path, "Y"), K[:, :2])
    with pytest.raises(InputError, match="holds several arrays: K, Y; say which is meant"):
        read_array(path)
    with pytest.raises(InputError, match=r"unknown array in .*'k'; did you mean 'K'"):
        read_array(path, "k")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a,b\n1,2\n3,4\n", [[1, 2], [3, 4]]), ("\ufeff1,2\r\n3,4", [[1, 2], [3, 4]]),
     ("y\n1\n-1\n", [1, -1]), ("1,2", [[1, 2]])],
)  # fmt: skip
def test_tables_of_text(tmp_path, text, expected):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert read_array(tmp_path / "t.csv").tolist() == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b",a,b\n0,1,2\n", "a column without a name, such as an index"),
        ("t.csv", b"1,2\n3\n", "cannot be read as .csv"),
        ("t.csv", b"a,b\n", "holds no numbers"),
        ("t.csv", b"1;2\n3;4\n", "cannot be read as .csv"),
        ("t.pt", b"x", r"a pickle, which may run code .* numpy.save\('t.npy', torch.load\('t.pt'"),
        ("t.pth", b"x", "is a pickle"),
        ("t.txt", b"1", "must end in .npy, .npz, .csv, .mat or .safetensors"),
        ("t.npz", b"\x93NUMPY", "cannot be read as .npz"),
    ],
)  # fmt: skip
def test_what_is_no_array_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_array(tmp_path / name)
    assert "\n" not in str(error.value)


def test_pickles_inside_of_files_are_refused(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]), allow_pickle=True)
    (tmp_path / "t.npy").write_bytes(buffer.getvalue())
    np.savez(tmp_path / "t.npz", K=np.array([{}]))
    for name in ("t.npy", "t.npz"):
        with pytest.raises(InputError, match="cannot be read as"):
            read_array(tmp_path / name)


@pytest.mark.parametrize("form", [".npz", ".mat"])
def test_what_a_file_unpacks_to_is_compared_with_the_memory_first(tmp_path, form, monkeypatch):
    path = tmp_path / f"K{form}"
    zeros = np.zeros(2**22)
    if form == ".npz":
        np.savez_compressed(path, K=zeros)
    else:
        scipy.io.savemat(path, {"cells": np.array([zeros, 1], object)}, do_compression=True)
    assert path.stat().st_size < 2**16
    monkeypatch.setattr("kdtheory.memory.available", lambda: 2**23)
    with pytest.raises(InputError, match=rf"what .*K{form} holds needs .*, 8MiB are free"):
        read_array(path)


def test_what_is_no_file_of_this_size_is_not_read(tmp_path):
    with (tmp_path / "holes.csv").open("wb") as file:
        file.truncate(2**43)
    with pytest.raises(InputError, match=r"holes\.csv holds needs 81920GiB"):
        read_array(tmp_path / "holes.csv")
    os.mkfifo(tmp_path / "pipe.mat")
    with pytest.raises(InputError, match="no regular file"):
        read_array(tmp_path / "pipe.mat")


def test_a_digest_beside_a_file_is_compared(tmp_path):
    path = write_with_digest(tmp_path / "K.csv", "1,2")
    assert read_array(path).tolist() == [[1, 2]]
    path.write_text("1,3")
    with pytest.raises(RunError, match="has changed since it was written"):
        read_array(path)


def test_of_matlab_plain_arrays_alone_are_taken(tmp_path):
    path = written(tmp_path, ".mat", K=K, words="text", cells=np.array([{}], object))
    np.testing.assert_array_equal(read_array(path), K)


class Foreign:
    """Another framework's array: with DLPack, and without NumPy's own door."""

    def __init__(self, values):
        self.values = values

    def __array__(self, *arguments, **settings):
        raise TypeError("can't convert to numpy")

    def __dlpack__(self, *arguments, **settings):
        return self.values.__dlpack__(*arguments, **settings)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


def test_what_dlpack_takes_is_an_array():
    np.testing.assert_array_equal(as_array("K", Foreign(np.float32(K))), np.float32(K))
    targets = np.array([1.0, -1.0, 1.0], np.float32)
    exact = factorize(np.float32(K)).complexity(targets).complexity
    assert factorize(Foreign(np.float32(K))).complexity(Foreign(targets)).complexity == exact
    spectrum = eigendecompose(Foreign(np.float32(K)))
    np.testing.assert_allclose(spectrum.energy(Foreign(targets)).sum(), 3, rtol=1e-6)


def test_torch_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    gram = torch.tensor(K, requires_grad=True)
    targets = torch.tensor([1.0, -1.0, 1.0])
    exact = factorize(K).complexity(np.array([1.0, -1.0, 1.0])).complexity
    assert factorize(gram).complexity(targets).complexity == pytest.approx(exact)
    assert as_array("t", targets.bfloat16()).tolist() == [1, -1, 1]


def test_what_is_no_array_says_so():
    class Closed:
        def __array__(self, *arguments, **settings):
            raise TypeError("can't convert cuda:0 device type tensor")

    with pytest.raises(InputError, match=r"cuda:0 .*give it as a NumPy array") as error:
        as_array("the kernel", Closed())
    assert "\n" not in str(error.value)

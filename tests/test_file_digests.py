"""Files with their digest beside them: every change of either is told in one line."""

import shutil

import numpy as np
import pytest

from kdtheory.errors import KdtheoryError
from kdtheory.file_digests import check_digest, write_with_digest
from kdtheory.measure.kernel_file import values_of_files
from kdtheory.measure.spec import KernelSpec


@pytest.fixture
def kernel(tmp_path):
    """A kernel, what is said of it, and targets, as `kdtheory gram` writes them."""
    k, settings, y = (tmp_path / name for name in ("K.npy", "K.json", "Y.npy"))
    write_with_digest(
        k, lambda file: np.save(file, np.diag([1.0, 2, 3, 4])),
        also={settings: '{"num_outputs": 2, "shape": [4, 4]}'},
    )  # fmt: skip
    write_with_digest(y, lambda file: np.save(file, np.ones(4)))
    return tmp_path


def complexity(folder):
    spec = KernelSpec(ridge_absolute=0.0)
    return values_of_files(folder / "K.npy", folder / "Y.npy", spec).values["complexity"]


def ended(folder):
    try:
        return float(complexity(folder))
    except KdtheoryError as error:
        return str(error)


def test_sha256sum_reads_them(kernel):
    words = (kernel / "K.npy.sha256").read_text().split()
    assert words[1::2] == ["K.npy", "K.json"]
    assert complexity(kernel) == pytest.approx(1 + 1 / 2 + 1 / 3 + 1 / 4)


@pytest.mark.parametrize("name", ["K.npy", "K.json", "Y.npy", "K.npy.sha256", "Y.npy.sha256"])
def test_no_changed_bit_is_used(kernel, name):
    content = (kernel / name).read_bytes()
    for place in np.linspace(0, len(content) - 1, 9).astype(int):
        changed = bytearray(content)
        changed[place] ^= 4
        (kernel / name).write_bytes(bytes(changed))
        end = ended(kernel)
        # A name in a digest says nothing of what the file holds.
        assert isinstance(end, str) or (name.endswith(".sha256") and end == pytest.approx(25 / 12))
        assert "\n" not in str(end)


def test_whoever_changes_a_file_removes_its_digest(kernel):
    np.save(kernel / "Y.npy", 2 * np.ones(4))
    with pytest.raises(KdtheoryError, match=r"Y\.npy has changed since .* removes the digest"):
        complexity(kernel)
    (kernel / "Y.npy.sha256").unlink()
    assert complexity(kernel) == pytest.approx(25 / 3)


def test_renamed_with_its_digest_it_is_still_compared(kernel):
    shutil.move(kernel / "Y.npy", kernel / "labels.npy")
    shutil.move(kernel / "Y.npy.sha256", kernel / "labels.npy.sha256")
    with (kernel / "labels.npy").open("rb") as file:
        check_digest(kernel / "labels.npy", file)
        assert file.tell() == 0

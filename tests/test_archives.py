"""Archives and their seals: a changed bit, another's arrays, and numbers put in by hand."""

import numpy as np
import pytest

from kdtheory.archives import load_arrays, read_archive, write_archive
from kdtheory.digests import Owner, checked, seal
from kdtheory.errors import InputError

OWNER = Owner(names={"run": "s1", "seed": 0, "network": "labels", "step": 4})


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {"train": rng.normal(size=(7, 3)).astype(np.float32), "test": np.arange(5)}


@pytest.fixture
def path(arrays, tmp_path):
    return write_archive(tmp_path / "logits.npz", arrays, OWNER)


def same(found, arrays):
    return found.keys() == arrays.keys() and all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype
        for name, array in arrays.items()
    )


def test_what_was_stored_is_read(path, arrays):
    found, wrong = read_archive(path, OWNER)
    assert wrong is None
    assert same(found, arrays)


def test_every_changed_bit_is_noticed_or_harmless(path, arrays):
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for place in rng.integers(len(content), size=300):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(changed))
        found, wrong = read_archive(path, OWNER)
        assert wrong is not None or same(found, arrays)
        assert all(np.array_equal(array, arrays[name]) for name, array in found.items())
        noticed += wrong is not None
    assert noticed > 200


@pytest.mark.parametrize(
    "change", ["zeros", "nan", "shape", "dtype", "removed", "added", "unsealed"]
)
def test_numbers_put_in_with_valid_checksums_are_noticed(path, arrays, change):
    with np.load(path) as stored:
        members = dict(stored)
    train = members["train"]
    if change == "removed":
        del members["test"]
    elif change == "added":
        members["more"] = train
    elif change == "unsealed":
        del members["seal"]
    else:
        members["train"] = {
            "zeros": np.zeros_like(train), "nan": np.full_like(train, np.nan),
            "shape": train.reshape(3, 7), "dtype": train.view(np.int32),
        }[change]  # fmt: skip
    np.savez(path, **members)
    found, wrong = read_archive(path, OWNER)
    assert wrong is not None
    assert not wrong.foreign
    assert all(np.array_equal(array, arrays[name]) for name, array in found.items())


@pytest.mark.parametrize(
    ("name", "value"), [("run", "s2"), ("seed", 1), ("network", "self-tau1"), ("step", 8)]
)
def test_anothers_arrays_are_not_taken(path, name, value):
    found, wrong = read_archive(path, OWNER.at(**{name: value}))
    assert wrong is not None
    assert wrong.foreign
    assert wrong.reason == f"it is of {name} {OWNER.names[name]}, not {value}"
    assert found == {}


@pytest.mark.parametrize("content", [b"", b"PK", b"\0" * 500, b"text"])
def test_what_is_no_archive_is_damaged(path, content):
    path.write_bytes(content)
    found, wrong = read_archive(path, OWNER)
    assert found == {}
    assert wrong is not None


def test_versions_before_seals_are_read_by_their_owners_alone(arrays, tmp_path):
    path = tmp_path / "old.npz"
    np.savez(path, **arrays)
    found, wrong = read_archive(path, Owner(names=OWNER.names, sealed=False))
    assert wrong is None
    assert same(found, arrays)
    assert read_archive(path, OWNER).unsound is not None


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"of": 3, "sha256": {}}', "[" * 100_000])
def test_a_seal_that_cannot_be_read_seals_nothing(arrays, text):
    assert checked(arrays, text, OWNER).wrong is not None


def test_a_changed_owner_in_the_seal_is_damage(arrays):
    text = seal(arrays, OWNER).replace('"seed": 0', '"seed": 1')
    wrong = checked(arrays, text, OWNER.at(seed=1)).wrong
    assert wrong is not None
    assert "changed" in wrong.reason


def test_an_archive_larger_than_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, train=np.zeros(2**25, np.uint8))
    assert path.stat().st_size < 2**16
    monkeypatch.setattr("kdtheory.memory.available", lambda: 2**25)
    monkeypatch.setattr("zipfile.ZipFile.read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match=r"bomb\.npz holds needs 64\.1MiB, 32MiB are free"):
        read_archive(path, OWNER)
    with path.open("rb") as file, pytest.raises(InputError, match=r"bomb\.npz holds needs"):
        load_arrays(file, path)

"""What lies in a folder that others made: nothing is followed, emptied or waited for."""

import os
import time

import pytest

from kdtheory.errors import InputError, RunError
from kdtheory.files import (
    check_space,
    is_locked,
    locked_folder,
    open_regular,
    read_json,
    remove_temporaries,
    write_whole,
)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(RunError, match=r"\.lock is a symbolic link"), locked_folder(folder):
        pass
    assert not is_locked(folder)
    assert precious.read_text() == "kept"


def test_what_is_in_a_lock_stays(tmp_path):
    (tmp_path / ".lock").write_text("kept")
    with locked_folder(tmp_path):
        assert is_locked(tmp_path)
    assert (tmp_path / ".lock").read_text() == "kept"


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / ".lock")
    began = time.monotonic()
    with pytest.raises(OSError, match="no regular file"):
        open_regular(tmp_path / "pipe")
    with pytest.raises(RunError, match="cannot write to"), locked_folder(tmp_path):
        pass
    is_locked(tmp_path)
    assert time.monotonic() - began < 10


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    left = [tmp_path / f".config.json.{'a' * 32}.tmp", tmp_path / "x" / f".a.{'0' * 32}.tmp"]
    orbax = tmp_path / "x" / "step-00000004.orbax-checkpoint-tmp"
    kept = [tmp_path / "mine.tmp", tmp_path / ".hidden", tmp_path / "x" / "step-00000004" / "d"]
    for path in [*left, orbax / "d", *kept]:
        write_whole(path, "x")
    remove_temporaries(tmp_path)
    assert not any(path.exists() for path in [*left, orbax])
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "", "\0" * 9, "9" * 5000]
)
def test_what_is_no_json_is_told_by_one_kind_of_error(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_json(tmp_path / "a.json")


def test_space_is_checked_before_anything_is_computed(tmp_path):
    check_space(tmp_path / "K.npy", 10)
    with pytest.raises(InputError, match=r"K\.npy takes .* are free in"):
        check_space(tmp_path / "K.npy", 10**18)

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
    parse_json,
    read_json,
    refuse_links,
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


def test_a_file_with_holes_is_not_read_into_memory(tmp_path):
    (tmp_path / "config.json").touch()
    os.truncate(tmp_path / "config.json", 2**40)
    with pytest.raises(OSError, match="more than 1,073,741,824 bytes"):
        read_json(tmp_path / "config.json")


def test_integers_that_no_number_here_holds_are_no_json():
    assert parse_json(str(-(2**63))) == -(2**63)
    for digits in (21, 400, 5000):
        with pytest.raises(ValueError, match=f"an integer of {digits} digits"):
            parse_json("[" + "9" * digits + "]")


def test_a_link_in_the_place_of_a_folder_is_not_written_through(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "run" / "seeds").mkdir(parents=True)
    refuse_links(tmp_path / "run")
    for link in (tmp_path / "run" / "seeds" / "0", tmp_path / "linked"):
        link.symlink_to(elsewhere)
        with pytest.raises(InputError, match=f"{link} is a symbolic link to another folder"):
            refuse_links(tmp_path / link.relative_to(tmp_path).parts[0])

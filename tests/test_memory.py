"""What is free, and what a kernel takes of it."""

import pytest

from kdtheory import memory
from kdtheory.errors import InputError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Let the machine have 100 KiB, 60 of them available, and a control group's files be here."""
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable: 60 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    group = memory._ControlGroup(
        tmp_path / "max", tmp_path / "current", tmp_path / "stat", "inactive_file"
    )
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", (group,))
    return tmp_path


def test_a_control_group_counts_where_it_has_less_left(machine):
    assert (memory.available(), memory.total()) == (60 * 1024, 100 * 1024)
    (machine / "max").write_text("max\n")
    (machine / "current").write_text("1000\n")
    assert (memory.available(), memory.total()) == (60 * 1024, 100 * 1024)
    (machine / "max").write_text("5000\n")
    assert (memory.available(), memory.total()) == (4000, 5000)
    # Files that it would give up are free.
    (machine / "stat").write_text("anon 700\ninactive_file 300\n")
    assert memory.available() == 4300
    (machine / "current").write_text("9000\n")
    assert memory.available() == 0


def test_what_does_not_fit_is_said_with_its_remedy(machine):
    memory.check_fits("a kernel", 60 * 1024, "take less")
    with pytest.raises(InputError, match=r"^a kernel needs 60\.1KiB, 60KiB are free; take less$"):
        memory.check_fits("a kernel", 60 * 1024 + 1, "take less")

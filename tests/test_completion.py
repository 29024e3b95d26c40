"""What the tab key offers in bash and zsh, asked of the shells themselves."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdtheory.arms import ARMS
from kdtheory.cli import COMMANDS, completion_of
from kdtheory.commands.unknown_options import options_of

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_tyro_kdtheory
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Called as zsh's completion system calls it, whose two functions print what they are given.
ZSH = """
script=$1; shift
words=("$@"); CURRENT=$#
_describe() { for one in ${(P)2}; print -r -- ${one%%:*} }
_files() { print files }
source $script
"""


@pytest.fixture(scope="module")
def offered(tmp_path_factory):
    """What a shell offers after words, the last of which is being typed."""
    folder = tmp_path_factory.mktemp("completion")
    # The scripts look for python3 by name.
    (folder / "python3").symlink_to(sys.executable)

    def offer(shell: str, *words: str, cwd: Path = folder) -> list[str]:
        script = folder / shell
        if not script.exists():
            script.write_text(completion_of(shell))
        program = {"bash": BASH, "zsh": ZSH}[shell]
        done = subprocess.run(
            [shell, "-c", program, shell, script, "kdtheory", *words], cwd=cwd,
            env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    return offer


SHELLS = [
    "bash",
    pytest.param(
        "zsh", marks=pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
    ),
]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_groups(offered, shell):
    assert {word for word in offered(shell, "") if word[0] != "-"} == {
        name.split()[0] for name in COMMANDS
    }
    assert offered(shell, "data", "sh") == ["show"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["run", "data export", "table"])
def test_options_are_those_of_help(offered, shell, name):
    found = {word for word in offered(shell, *name.split(), "-") if word.startswith("--")}
    assert found == {*options_of(COMMANDS[name].options), "--help", "--import"}


@pytest.mark.parametrize("shell", SHELLS)
def test_values(offered, shell):
    assert offered(shell, "run", "--together", "") == ["none", "seeds", "arms"]
    assert offered(shell, "run", "--kernel", "") == ["full", "trace", "none"]
    assert offered(shell, "run", "--arms", "") == ARMS
    assert offered(shell, "run", "--arms", "labels", "off") == ["offline"]


@pytest.mark.parametrize("shell", SHELLS)
def test_files_where_a_path_or_anything_may_stand(offered, shell, tmp_path):
    (tmp_path / "results.jsonl").touch()
    expected = {"bash": ["results.jsonl"], "zsh": ["files"]}[shell]
    assert offered(shell, "table", "res", cwd=tmp_path) == expected
    assert offered(shell, "run", "--out", "res", cwd=tmp_path) == expected

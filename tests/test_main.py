"""Ctrl-C where an exception cannot be raised, or before the command line is there."""

import sys
import time
from types import SimpleNamespace

import pytest

from kdtheory.__main__ import interrupted_again, main


def test_a_lost_interrupt_comes_again():
    interrupted_again(SimpleNamespace(exc_type=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        time.sleep(20)


def test_what_else_was_lost_is_shown_as_python_shows_it(monkeypatch):
    shown = []
    monkeypatch.setattr(sys, "__unraisablehook__", shown.append)
    lost = SimpleNamespace(exc_type=ValueError)
    interrupted_again(lost)
    assert shown == [lost]


def test_an_interrupt_while_the_command_line_is_imported_is_one_line(monkeypatch, capsys):
    class Interrupted:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "kdtheory.cli", Interrupted())
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "\ninterrupted\n"

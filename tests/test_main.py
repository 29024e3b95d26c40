"""Ctrl-C: where no exception can be raised, before the command line is there, in a kernel."""

import signal
import sys
import time
import warnings
from types import SimpleNamespace

import pytest

import kdtheory.commands.gram
from kdtheory import cli
from kdtheory.__main__ import interrupted_again, main


def test_a_lost_interrupt_comes_again():
    # Workers of pytest-xdist ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupted_again(SimpleNamespace(exc_type=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)
    finally:
        signal.signal(signal.SIGINT, before)


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --store DIR to keep"),
        (["--store", "tiles"], "is kept in tiles; the same command"),
    ],
)
def test_an_interrupted_kernel_says_what_is_kept(words, said, monkeypatch, capsys):
    def interrupted(options, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(kdtheory.commands.gram, "save_gram", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *handler: None)  # ours goes on
    with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
        cli.main(["gram", "--dataset", "digits", "--model", "mlp8x1", "--out", "K.npy", *words])
    assert end.value.code == 130
    err = capsys.readouterr().err
    assert said in err
    assert err.endswith("\ninterrupted\n")

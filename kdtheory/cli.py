"""The command `kdtheory`: finds the subcommand, reads its flags, calls its function.

The subcommands are in `kdtheory.commands`: a frozen dataclass, whose fields are the flags, and a
function of it. A usage error, bad input or a kernel that cannot be used is one line on standard
error and exit code 2.
"""

import argparse
import ast
import contextlib
import dataclasses
import inspect
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import tyro

from kdtheory.arms import ARMS
from kdtheory.commands.advise import Advise, advise
from kdtheory.commands.completion import Completion, completion_script
from kdtheory.commands.complexity import ComplexityOf, complexity
from kdtheory.commands.data import (
    DataExport,
    DataList,
    DataPrepare,
    DataShow,
    data_export,
    data_list,
    data_prepare,
    data_show,
)
from kdtheory.commands.demo import Demo, demo
from kdtheory.commands.gram import Gram, gram
from kdtheory.commands.methods import Methods, methods
from kdtheory.commands.models import Models, models
from kdtheory.commands.report import Report, report
from kdtheory.commands.run import Run, run
from kdtheory.commands.runs import Runs, runs
from kdtheory.commands.study import StudyOptions, study
from kdtheory.commands.sweep import Sweep, sweep
from kdtheory.commands.table import Table, table
from kdtheory.commands.unknown_options import (
    options_of,
    spelt_out,
    suggestion,
    with_squares,
)
from kdtheory.commands.validate import Validate, validate
from kdtheory.errors import InputError, KdtheoryError, Terminated, asked
from kdtheory.plain_text import plain
from kdtheory.runs.config_file import read_config, recipe
from kdtheory.runs.own_code import import_code, place_in_own_code
from kdtheory.training.orbax_messages import leave_out_orbax_messages

Options = TypeVar("Options")


def with_imports(options: type[Options]) -> Any:
    """Return a command's flags and, after them, the one that all commands have: --import.

    What it names is imported before flags are read, as values may be names that it registers.
    """
    imports = tyro.conf.arg(
        name="import",
        metavar="FILE.py|MODULE",
        help="Python of your own, not from strangers: what it registers (models, data sets, tasks, "
        "methods, claims, studies) is known by name. May be given several times.",
    )
    made = dataclasses.make_dataclass(
        "WithImports",
        [
            ("options", Annotated[options, tyro.conf.arg(name="")]),
            ("imports", Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], imports], ()),
        ],
        frozen=True,
        kw_only=True,
    )
    made.__doc__ = inspect.getdoc(options)
    return made


def named_imports(arguments: Sequence[str]) -> list[str]:
    """Return the values of --import among a command's arguments.

    >>> named_imports(["--seeds", "3", "--import", "a.py", "--import=b"])
    ['a.py', 'b']
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--import", action="append", default=[], dest="imports")
    with contextlib.suppress(argparse.ArgumentError):
        return list(early.parse_known_args(list(arguments))[0].imports)
    return []


class Command(NamedTuple):
    """A subcommand: its flags and its function."""

    options: Any
    function: Callable[[Any], None]


COMMANDS: dict[str, Command] = {
    "demo": Command(Demo, demo),
    "run": Command(Run, run),
    "study": Command(StudyOptions, study),
    "sweep": Command(Sweep, sweep),
    "runs": Command(Runs, runs),
    "table": Command(Table, table),
    "report": Command(Report, report),
    "advise": Command(Advise, advise),
    "gram": Command(Gram, gram),
    "complexity": Command(ComplexityOf, complexity),
    "validate": Command(Validate, validate),
    "models": Command(Models, models),
    "methods": Command(Methods, methods),
    "data prepare": Command(DataPrepare, data_prepare),
    "data list": Command(DataList, data_list),
    "data show": Command(DataShow, data_show),
    "data export": Command(DataExport, data_export),
    "completion": Command(Completion, lambda asked_for: print(completion_of(asked_for.shell))),
}


def completion_of(shell: Literal["bash", "zsh"]) -> str:
    """Return a shell's completion of the commands."""
    return completion_script(
        shell,
        {name: with_imports(command.options) for name, command in COMMANDS.items()},
        names={"--arms": ARMS},
    )


def _usage() -> str:
    lines = [
        "usage: kdtheory COMMAND [flags]    (kdtheory COMMAND --help explains its flags)",
        "",
        "How complex is each kind of teacher supervision for a student, and how well does the",
        "student then do?",
        "",
    ]
    for name, command in COMMANDS.items():
        lines.append(f"  {name:<13} {command.options.__doc__.splitlines()[0]}")
    lines += ["", "Start with: kdtheory demo"]
    return "\n".join(lines)


def _one_line(message: str) -> str:
    """Return the sentence in a message that tyro drew in a box."""
    sentence: list[str] = []
    titled = False
    for line in message.splitlines():
        text = line.strip().strip("│╭╮╰╯").strip()
        if line.strip().startswith(("╭", "╰")):
            continue
        if text.startswith("──"):
            break
        if text.startswith("---"):  # a terminal without frames: title, rule, sentence, rule
            if titled:
                break
            titled = True
            sentence.clear()
            continue
        if text:
            sentence.append(text)
    # Which of our dataclasses refused is nobody's business; a flag's name stays.
    told = re.sub(r"^Error parsing (?:[\w.]+: )?", "", " ".join(sentence))
    # Of the kinds that a value may have, tyro tells why each does not fit: what they are suffices.
    kinds = re.match(r"(--\S+): no type matching (.+) could be instantiated from (\[.*?\])", told)
    if kinds is None:
        return told
    allowed = " or ".join(re.findall(r"\{(.+?)\}", kinds[2]))
    values = " ".join(ast.literal_eval(kinds[3]))
    return f"{kinds[1]} takes {allowed or kinds[2]}, got {values}"


def parse(name: str, options: type[Options], arguments: Sequence[str]) -> Options:
    """Return a subcommand's options from its arguments.

    Raises:
      InputError: an unknown flag, or a value that does not fit; one line.
    """
    default: Any = None
    if options is Run:
        # The file first: its settings are the defaults that flags override.
        early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        early.add_argument("--config", type=Path)
        early.add_argument("--recipe")
        with contextlib.suppress(argparse.ArgumentError):
            found = early.parse_known_args(list(arguments))[0]
            path = found.config
            if path is not None and found.recipe is not None:
                raise InputError("give --config or --recipe, not both")
            if found.recipe is not None:
                default = Run(run=recipe(found.recipe))
            if path is not None:
                config = read_config(path)
                if (path.parent / "data.json").exists():
                    # A run's own file: it is continued where it lies, whatever its folder was
                    # called when it began.
                    config = config.replace(out=str(path.parent))
                default = Run(run=config)
    both = with_imports(options)
    settings: dict[str, Any] = {"prog": f"kdtheory {name}"}
    if default is not None:
        settings["default"] = both(options=default)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed: Options = tyro.cli(both, args=arguments, **settings).options
            return parsed
    except SystemExit as end:
        if not end.code:
            raise
        known = options_of(both)
        written = spelt_out(with_squares(arguments), known)
        if written != list(arguments):
            return parse(name, options, written)
        message = suggestion(arguments, known) or _one_line(complaint.getvalue())
        raise InputError(f"{message} (see kdtheory {name} --help)") from end


def missing_device() -> str | None:
    """Return one line if JAX lacks the device that JAX_PLATFORMS asks for; None if it is there."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        asked_for = os.environ.get("JAX_PLATFORMS", "")
        return (
            f"JAX has no device of JAX_PLATFORMS={asked_for} on this machine: unset it, or set "
            "JAX_PLATFORMS=cpu"
        )
    return None


def _warning(message: Warning | str, *_: object, **__: object) -> str:
    """Return a warning as it is shown: a line, without the place in our code that gave it."""
    return f"warning: {plain(' '.join(str(message).split()))}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    warnings.formatwarning = _warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character shows its number.
            stream.reconfigure(errors="backslashreplace")
    leave_out_orbax_messages()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage())
        return
    if words[0] == "--version":
        import kdtheory

        print(kdtheory.__version__)
        return
    name, rest = words[0], words[1:]
    if name == "data" and rest and not rest[0].startswith("-"):
        name, rest = f"data {rest[0]}", rest[1:]
    # Warnings of TensorFlow and of gRPC, which datasets may load, are nobody's business here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if name not in COMMANDS:
            raise InputError(
                f"unknown command {name!r}; {asked(name, COMMANDS)}known: {', '.join(COMMANDS)} "
                "(see kdtheory --help)"
            )
        command = COMMANDS[name]
        for code in named_imports(rest):
            import_code(code)
        command.function(parse(name, command.options, rest))
    except Terminated as order:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"\n{order}; the same command continues where it was", file=sys.stderr)
        raise SystemExit(order.exit_code) from None
    except KdtheoryError as error:
        print(f"error: {plain(' '.join(str(error).split()))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        # A second one finds nothing to interrupt: what is left is to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Of a checkpoint that was being written, which is not there now.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")
        goes_on = "; the same command, without --fresh, continues where it was"
        resumes = name in ("demo", "run", "study", "sweep", "advise")
        print(f"\ninterrupted{goes_on if resumes else ''}", file=sys.stderr)
        raise SystemExit(130) from None
    except (RuntimeError, AssertionError) as error:
        missing = missing_device() or place_in_own_code(error)
        if missing is None:
            raise
        print(f"error: {plain(missing)}", file=sys.stderr)
        raise SystemExit(2) from error
    except MemoryError:
        print("error: there is not enough memory for these sizes", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        # The reader of our output has gone (such as `| head`): nothing left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {plain(f'{where}{error.strerror}')}", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception as error:
        place = place_in_own_code(error)
        if place is None:
            raise
        print(f"error: {plain(place)}", file=sys.stderr)
        raise SystemExit(2) from error

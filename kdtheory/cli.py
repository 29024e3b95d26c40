"""The command `kdtheory`: one function a subcommand.

Every subcommand is a frozen dataclass, whose fields are the flags, and a function of it. A usage
error, bad input or a kernel that cannot be used is one line on standard error and exit code 2.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import tyro

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.studies.config import RunConfig, read_config

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Make the first table: digits, ten classes and even against odd, on every arm."""

    out: str = "runs/demo"
    """Folder of the run; a second call continues or reuses what is there."""
    seeds: int = 3
    """Number of repetitions."""
    smoke: bool = False
    """Shrink everything, to try the command in seconds; the numbers mean nothing."""
    fresh: bool = False
    """Start over."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Train a teacher and students on every arm; write the complexity-versus-accuracy table."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    config: Path | None = None
    """JSON file of settings, such as a run's config.json; flags override it."""
    fresh: bool = False
    """Start over: delete what an earlier run left in the folder."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Make one table out of several runs, from their rows.jsonl alone."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or rows.jsonl files."""
    out: Path | None = None
    """Folder to write table.{md,csv,tex,html}, figures and report.html to (default: print only)."""


@dataclass(frozen=True, kw_only=True)
class Gram:
    """Compute a model's NTK Gram matrix on training examples, and save it as .npy."""

    out: Path
    """File to write, such as K.npy; the settings go into a .json beside it."""
    dataset: str = "digits"
    """digits, synthetic, or any TFDS image classification set."""
    task: str = "full"
    """full, first_half, odd_even, even_odd."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    model: str = "lenet5x1"
    """Name of the model; it is taken at its initialisation."""
    ntk_size: int = 512
    """Number of training examples n."""
    outputs: Literal["full", "trace", "diagonal", "sum"] = "full"
    """What is kept of the d outputs: see `kdtheory.ntk.gram`."""
    method: str = "auto"
    """auto, layerwise, neural_tangents (the reference), neural_tangents_vector_products."""
    batch_size: int | None = None
    """Examples a tile (default: chosen from the sizes)."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the entries."""
    seed: int = 0
    """Seed of the subsample and of the model's initialisation."""
    targets: Path | None = None
    """Also save the labels as targets (n, d), such as Y.npy."""


@dataclass(frozen=True, kw_only=True)
class ComplexityOf:
    """Print the supervision complexity Y^T (K + ridge I)^-1 Y of saved targets."""

    gram: Path
    """The kernel: .npy of shape (n, n), or (n d, n d) example-major."""
    targets: Path
    """The targets: .npy of shape (n,), (n, d), flat (n d,), or a stack (k, n, d), (k, n d)."""
    ridge: float = 0.0
    """lambda, added to the diagonal."""
    num_outputs: int | None = None
    """Outputs d of each example (default: what the .json beside the kernel says, else the last axis
    of (n, d) targets, else 1)."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Run the theory's claims: one line each, exit code 1 if one fails."""

    claims: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of claims (default: all)."""
    quick: bool = False
    """Smaller sizes: under two minutes on two cores."""
    seed: int = 0
    """Seed of all draws."""
    out: Path | None = None
    """Folder for each claim's figure and JSON."""


@dataclass(frozen=True, kw_only=True)
class DataPrepare:
    """Download and prepare a TFDS set, where there is a network."""

    name: tyro.conf.Positional[str]
    """Name of the set, such as cifar100."""
    data_dir: str | None = None
    """Folder to prepare it in (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""


@dataclass(frozen=True, kw_only=True)
class DataList:
    """List the TFDS sets that are prepared in a folder."""

    data_dir: str | None = None
    """Folder to look in (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""


def demo(options: Demo) -> None:
    """Run `kdtheory demo`."""
    from kdtheory.studies.demo import run_demo

    run_demo(Path(options.out), seeds=options.seeds, smoke=options.smoke, fresh=options.fresh)


def run(options: Run) -> None:
    """Run `kdtheory run`."""
    from kdtheory.studies.demo import show
    from kdtheory.studies.runner import run_study

    show(run_study(options.run, fresh=options.fresh), Path(options.run.out))


def table(options: Table) -> None:
    """Run `kdtheory table`."""
    from kdtheory.report import print_table, read_rows, stdout_console, write_all

    if not options.runs:
        raise InputError("name at least one run folder or rows.jsonl file")
    read = read_rows(*options.runs)
    for note in read.notes:
        print(f"note: {note}", file=sys.stderr)
    print_table(read.rows, stdout_console())
    if options.out is not None:
        names = [str(path) for path in options.runs]
        title = "kdtheory: " + ", ".join(names)
        write_all(read.rows, options.out, config={"runs": names}, provenance={}, title=title)
        print(f"wrote {options.out}/report.html and the tables and figures beside it")


def gram(options: Gram) -> None:
    """Run `kdtheory gram`."""
    from kdtheory.studies.kernel_files import save_gram, tile_bar

    with tile_bar() as on_tile:
        shape, seconds = save_gram(
            options.out, dataset=options.dataset, task=options.task, data_dir=options.data_dir,
            model=options.model, ntk_size=options.ntk_size, outputs=options.outputs,
            method=options.method, batch_size=options.batch_size, dtype=options.dtype,
            seed=options.seed, targets=options.targets, on_tile=on_tile,
        )  # fmt: skip
    print(f"wrote {options.out}: {' x '.join(map(str, shape))} {options.dtype}, {seconds:.1f} s")


def complexity(options: ComplexityOf) -> None:
    """Run `kdtheory complexity`."""
    from kdtheory.studies.kernel_files import complexity_of_files

    values = complexity_of_files(
        options.gram, options.targets, ridge=options.ridge, num_outputs=options.num_outputs
    )
    if options.json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        shown = value if isinstance(value, list) else [value]
        print(f"{name:>11}  {'  '.join(f'{entry:.6g}' for entry in shown)}")


def validate(options: Validate) -> None:
    """Run `kdtheory validate`."""
    from kdtheory.claims import CLAIMS, run_claims, select_claims

    failed = 0
    chosen = select_claims(CLAIMS, options.claims)
    for validation in run_claims(chosen, quick=options.quick, seed=options.seed, out=options.out):
        print(validation.line, flush=True)
        failed += not validation.outcome.holds
    if failed:
        print(f"{failed} of {len(chosen)} claims failed", file=sys.stderr)
        raise SystemExit(1)


def data_prepare(options: DataPrepare) -> None:
    """Run `kdtheory data prepare`."""
    from kdtheory.datasets import prepare

    prepared = prepare(options.name, data_dir=options.data_dir)
    print(f"prepared {prepared.full_name} in {prepared.path}")


def data_list(options: DataList) -> None:
    """Run `kdtheory data list`."""
    from kdtheory.datasets import list_prepared

    found = list_prepared(options.data_dir)
    for entry in found:
        splits = ", ".join(f"{name} {size:,}" for name, size in entry.splits.items())
        size = f"{entry.num_bytes / 2**20:,.0f} MiB"
        print(f"{entry.full_name}    {splits}    {entry.file_format}, {size}    {entry.path}")
    if not found:
        print("no prepared sets; get one with: kdtheory data prepare NAME")


class Command(NamedTuple):
    """A subcommand: its flags and its function."""

    options: Any
    function: Callable[[Any], None]


COMMANDS: dict[str, Command] = {
    "demo": Command(Demo, demo),
    "run": Command(Run, run),
    "table": Command(Table, table),
    "gram": Command(Gram, gram),
    "complexity": Command(ComplexityOf, complexity),
    "validate": Command(Validate, validate),
    "data prepare": Command(DataPrepare, data_prepare),
    "data list": Command(DataList, data_list),
}


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
    for line in message.splitlines():
        text = line.strip().strip("│╭╮╰╯").strip()
        if line.strip().startswith(("╭", "╰")):
            continue
        if text.startswith("──"):
            break
        if text:
            sentence.append(text)
    return " ".join(sentence)


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
        with contextlib.suppress(argparse.ArgumentError):
            path = early.parse_known_args(list(arguments))[0].config
            if path is not None:
                default = Run(run=read_config(path))
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            if default is None:
                return tyro.cli(options, prog=f"kdtheory {name}", args=arguments)
            return tyro.cli(options, prog=f"kdtheory {name}", args=arguments, default=default)
    except SystemExit as end:
        if end.code:
            message = _one_line(complaint.getvalue())
            raise InputError(f"{message} (see kdtheory {name} --help)") from end
        raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
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
                f"unknown command {name!r}; known: {', '.join(COMMANDS)} (see kdtheory --help)"
            )
        command = COMMANDS[name]
        command.function(parse(name, command.options, rest))
    except KdtheoryError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        goes_on = "; the same command, without --fresh, continues where it was"
        print(f"\ninterrupted{goes_on if name in ('demo', 'run') else ''}", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output has gone (such as `| head`): nothing left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""Turn result.json into the tables of benchmarks/README.md.

python -m benchmarks.accelerator.table runs/accelerator/result.json
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def markdown(content: dict[str, Any]) -> str:
    """Return the tables of what is measured, and where and with what it was."""
    parts = [part for make in (_tests, _training, _grams, _whole, _certified, _distilled)
             if (part := make(content["steps"]))]  # fmt: skip
    parts.append(_about(content))
    return "\n\n".join(parts)


def _rows(steps: dict[str, Any], step: str) -> list[dict[str, Any]]:
    return list(steps.get(step, {}).values())


def _table(heads: Iterable[str], lines: list[list[str]]) -> str:
    if not lines:
        return ""
    heads = list(heads)
    drawn = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in drawn)


def _tests(steps: dict[str, Any]) -> str:
    names = ("highest", "tensorfloat32", "bfloat16", "product")
    return _table(
        ("error against float64", *names[:3], "K v"),
        [[row["name"], *(f"{row[f'error_{name}']:.1e}" for name in names)]
         for row in _rows(steps, "self-test")],
    )  # fmt: skip


def _training(steps: dict[str, Any]) -> str:
    return _table(
        ("training", "dtype", "images a second", "seconds an epoch", "first program, s"),
        [[row["model"], row["dtype"], f"{row['images_per_second']:,.0f}",
          f"{row['epoch_seconds']:.3g}", f"{row['first_program_seconds']:.3g}"]
         for row in _rows(steps, "training")],
    )  # fmt: skip


def _grams(steps: dict[str, Any]) -> str:
    return _table(
        ("kernel, d = 1", "n", "float32 as", "seconds", "of the peak"),
        [[row["model"], f"{row['n']:,}", row["precision"], f"{row['seconds']:.3g}",
          f"{row['share_of_peak']:.0%}"] for row in _rows(steps, "gram") if "n" in row],
    )  # fmt: skip


def _whole(steps: dict[str, Any]) -> str:
    return _table(
        ("whole kernel", "n", "float32 as", "seconds", "of the peak", "error", "trace"),
        [[row["model"], f"{row['n']:,}", row["precision"], f"{row['seconds']:.3g}",
          f"{row['share_of_peak']:.0%}", f"{row['error']:.1e}", f"{row['trace']:.6g}"]
         for row in _rows(steps, "whole kernel")],
    )  # fmt: skip


def _certified(steps: dict[str, Any]) -> str:
    return _table(
        ("certified", "ridge", "labels", "random labels", "route", "products", "seconds"),
        [[row["name"], f"{row['ridge']:.4g}", f"{row['lower']:.6g} .. {row['upper']:.6g}",
          f"{row['random_lower']:.6g} .. {row['random_upper']:.6g}", row["route"],
          str(row["products"]), f"{row['seconds']:.3g}"] for row in _rows(steps, "certified")],
    )  # fmt: skip


def _distilled(steps: dict[str, Any]) -> str:
    names = ("teacher", "labels", "offline", "online")
    return _table(
        ("distillation, last epoch, one seed", "epochs", *names),
        [[row["name"], str(row["epochs"]),
          *(f"{100 * row[f'accuracy_{name}']:.2f} %" for name in names)]
         for row in _rows(steps, "distillation") if "accuracy_teacher" in row],
    )  # fmt: skip


def _about(content: dict[str, Any]) -> str:
    """Return one line of where the figures come from, and one for each commit they were made at."""
    config, sessions = content["config"], content["sessions"]
    last = sessions[-1]
    peaks = [f"{row['name'].removeprefix('peak, ')} {row['flops_per_second'] / 1e12:.3g} TFLOP/s"
             for row in _rows(content["steps"], "gram") if "flops_per_second" in row]  # fmt: skip
    measured = {row["session"] for step in content["steps"].values() for row in step.values()}
    commits = dict.fromkeys(
        f"{session['git']['commit'] or 'no checkout'}"
        f"{' with uncommitted changes' if session['git']['uncommitted_changes'] else ''}"
        for session in (sessions[index] for index in sorted(measured))
    )
    versions = last["versions"]
    smoke = "In miniature, on made-up images: the figures mean nothing. " if config["smoke"] else ""
    return (
        f"{smoke}{', '.join(last['devices'])}; {last['machine']['processor']}, "
        f"{last['machine']['cores']} cores; images: {config['data']}; JAX {versions['jax']}, "
        f"Python {versions['python']}; {last['time']}; commit {', '.join(commits)}."
        + (f" Peak, measured: {', '.join(peaks)}." if peaks else "")
    )


def main(arguments: list[str]) -> None:
    """Print the tables of the file that is named."""
    if len(arguments) != 1:
        raise SystemExit("error: give one result.json (made by python -m benchmarks.accelerator)")
    try:
        print(markdown(json.loads(Path(arguments[0]).read_text())))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SystemExit(
            f"error: {arguments[0]} is no result.json of python -m benchmarks.accelerator ({error})"
        ) from None


if __name__ == "__main__":
    main(sys.argv[1:])

"""Turn what `python -m benchmarks.training --out FILE` wrote into tables of benchmarks/README.md.

python -m benchmarks.training_table benchmarks/results/training.json
"""

import json
import pathlib
import sys
from typing import Any

_LOOPS = ("kdtheory", "flax loop", "pytorch float32", "3 x inference", "offline", "online")


def markdown(content: dict[str, Any]) -> str:
    """Return the table of loops, the table of several networks, and the machine."""
    found: dict[str, dict[str, float]] = {}
    for row in content["rows"]:
        found.setdefault(row["model"], {})[row["what"]] = row["ms_a_batch"]
    lines = ["| model | " + " | ".join(_LOOPS) + " |", "|---" * (len(_LOOPS) + 1) + "|"]
    for model, times in found.items():
        if "kdtheory" not in times:
            continue
        times = {**times, "3 x inference": 3 * times["inference"]}
        ours = times["kdtheory"]
        cells = [_cell(times.get(name), ours, name in _LOOPS[1:4]) for name in _LOOPS]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    lines += ["", "| four networks, batch 64 | in turn | interleaved | vmap |", "|---|---|---|---|"]
    for model, times in found.items():
        if not model.endswith("(seeds)"):
            continue
        by_form = {what.split(" networks ")[1]: time for what, time in times.items()}
        alone = by_form["in turn"]
        cells = [f"{alone:.2f}"] + [
            f"{by_form[form]:.2f} ({alone / by_form[form]:.2f} x)"
            for form in ("interleaved", "vmap")
        ]
        lines.append(f"| {model.removesuffix(' (seeds)')} | " + " | ".join(cells) + " |")
    about = content["machine"]
    lines.append(
        f"\n{about['cpu']}, {about['cores']} cores, load {about['load_average_at_start']:.1f} at "
        f"the start, JAX {about['jax']}, Python {about['python']}."
    )
    return "\n".join(lines)


def _cell(time: float | None, ours: float, compared: bool) -> str:
    if time is None:
        return ""
    return f"{time:.1f} ({time / ours:.2f} x)" if compared else f"{time:.1f}"


if __name__ == "__main__":
    print(markdown(json.loads(pathlib.Path(sys.argv[1]).read_text())))

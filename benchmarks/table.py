"""Turn what `python -m benchmarks.gram --out FILE` wrote into the tables of benchmarks/README.md.

python -m benchmarks.table benchmarks/results/gram-*.json
"""

import json
import pathlib
import sys
from typing import Any

_HEADS = (
    "model", "d", "n", "method", "seconds", "/ T_limit", "of GEMM", "/ layerwise", "peak GiB",
    "error",
)  # fmt: skip
_METHODS = {
    "layerwise": "layerwise",
    "neural_tangents": "neural-tangents, untiled",
    "nt_batch": "nt.batch(64)",
    "torch": "torch.func",
}


def cells(row: dict[str, Any]) -> list[str]:
    """Return a measurement as the cells of a line."""
    times = row["times_layerwise"]
    return [
        row["model"],
        str(row["d"]),
        f"{row['n']:,}",
        _METHODS[row["method"]] + _precision(row),
        f"{row['seconds']:.3g}",
        f"{row['over_limit']:.2f}",
        f"{row['gemm_fraction']:.0%}",
        "" if times is None or row["method"] == "layerwise" else f"{times:.1f}",
        f"{row['peak_bytes'] / 2**30:.2f}",
        "" if row["error"] is None else f"{row['error']:.1e}",
    ]


def _precision(row: dict[str, Any]) -> str:
    """Return what names a precision below float32's; files from before there was one lack it."""
    precision = row.get("precision", "highest")
    return "" if precision == "highest" else f" ({precision})"


def markdown(files: list[pathlib.Path]) -> str:
    """Return the tables of several files, each with its machine."""
    read = [json.loads(path.read_text()) for path in files]
    lines = ["| " + " | ".join(_HEADS) + " |", "|" + "|".join(["---"] * len(_HEADS)) + "|"]
    for content in read:
        lines += ["| " + " | ".join(cells(row)) + " |" for row in content["rows"]]
    for path, content in zip(files, read, strict=True):
        about = content["machine"]
        lines.append(
            f"\n{path.name}: {about['cpu']}, {about['cores']} cores, load {about['load']:.1f}, "
            f"JAX {about['jax']}, Python {about['python']}, {about['time']}, "
            f"G = {content['gemm_flops'] / 1e9:.0f} GFLOP/s."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown([pathlib.Path(name) for name in sys.argv[1:]]))

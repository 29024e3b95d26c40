"""experiments/whole_kernel.py at a small size: the same code that a GPU runs on 50,000 images."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parent.parent.parent / "experiments/whole_kernel.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("whole_kernel", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("factor", ["mixed", "float64"])
def test_kernel_entries_and_complexity(script: Any, tmp_path: Path, factor: str) -> None:
    config = script.Config(
        n=520, dataset="digits", task="even_odd", model="mlp16x1", factor=factor, sample=8,
        gemm_size=64, repeats=1, out=tmp_path, store=tmp_path / "tiles",
    )  # fmt: skip
    content = script.main(config)
    assert content["relative_error"] < 1e-5
    assert content["lower"] <= content["upper"] <= content["lower"] * (1 + 1e-5)
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["entries_compared"] == 64
    assert stored["provenance"]["versions"]["jax"]
    text = (tmp_path / "table.md").read_text()
    assert "n = 520" in text
    assert f"factorisation, {factor}" in text
    again = script.main(config)  # K is read from its tiles
    np.testing.assert_allclose(again["lower"], content["lower"], rtol=1e-12)

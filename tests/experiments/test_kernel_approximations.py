"""experiments/kernel_approximations.py at the size of a smoke run."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments/kernel_approximations.py"


@pytest.mark.slow
def test_smoke(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("kernel_approximations", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)  # dataclasses look their module up
    spec.loader.exec_module(script)
    SMOKE = script.SMOKE
    rows = script.run(tmp_path, SMOKE)
    for name in ("sketch", "nystrom", "sum_of_logits"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()
        with (tmp_path / f"{name}.csv").open() as file:
            assert len(list(csv.DictReader(file))) == len(rows[name])
    # Every size, key and point of training: none is left out.
    points = len(SMOKE.models) * 2
    assert len(rows["sketch"]) == points * SMOKE.keys * len(SMOKE.dimensions)
    assert len(rows["nystrom"]) == points * SMOKE.keys * len(SMOKE.landmarks) * 2
    assert len(rows["sum_of_logits"]) == len(SMOKE.sum_models) * len(SMOKE.sum_epochs)
    for row in rows["nystrom"]:
        assert 0 < row["error"] < 1
        assert 0 < row["trace_error"] < 1
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["config"]["seed"] == 0
    assert "commit" in record["provenance"]["git"]
    table = (tmp_path / "table.md").read_text()
    assert all(name in table for name in SMOKE.sum_models)

"""The experiments behind the tables of docs/bounds.md, at a small size."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parent.parent.parent


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bound_tightness(tmp_path):
    module = load(ROOT / "experiments/bound_tightness.py")
    rows = module.main(module.Options(sizes=(60,), draws=(2,), out=tmp_path))
    two, three, function = rows
    for row in (two, three):
        for name in ("margin", "PAC-Bayes"):
            assert row["risk"] <= row[name]
        assert row["held-out half's risk"] <= row["held-out half"]
        assert row["risk"] >= module.FLIP
    assert two["teacher-student's risk"] <= two["teacher-student"]
    assert function["expected loss"] <= function["all constants"]
    assert "| 60 |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "tightness.png").read_bytes().startswith(b"\x89PNG")


def test_the_kernel_is_that_of_a_wide_network():
    module = load(ROOT / "experiments/bound_tightness.py")
    rng = np.random.default_rng(0)
    x = module.GRID[::4001]
    w = rng.normal(size=(400_000, 2))
    active = (x @ w.T > 0).astype(float)
    np.testing.assert_allclose(
        module.kernel(x, x), (active @ active.T) / len(w) * (x @ x.T), atol=0.005
    )


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no extended precision here")
def test_interval_coverage(tmp_path):
    module = load(ROOT / "experiments/interval_coverage.py")
    module.SHAPES = ("geometric", "ones plus diagonal", "Hadamard")
    for route, precision in (("primal", "float32"), ("dual", "float64"), ("mixed", "float64")):
        row = module.run(route, precision, 1e6, module.Options(draws=1, out=tmp_path))
        assert row["intervals"] + row["refused"] == 18
        assert row["held"] == row["intervals"] > 0
    assert module.table([row]).count("|\n") == 3


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no extended precision here")
@pytest.mark.parametrize("factored", [False, True])
def test_exact_value_of_a_known_problem(factored):
    module = load(ROOT / "experiments/interval_coverage.py")
    values = np.array([1.0, 2.0**-20, 2.0**-33])
    jacobian = np.diag(np.sqrt(values)) if factored else None
    exact = module.exact_value(np.diag(values), jacobian, np.ones(3), 2.0**-34)
    kernel = np.diag(np.sqrt(values)) ** 2 if factored else np.diag(values)
    assert exact == pytest.approx((1 / (np.diag(kernel) + 2.0**-34)).sum(), rel=1e-14)


def test_certified_cifar100_table_is_that_of_its_result():
    folder = ROOT / "experiments/results/certified_cifar100"
    module = load(ROOT / "experiments/certified_cifar100.py")
    content = json.loads((folder / "result.json").read_text())
    shown = module.table(content)
    assert shown == (folder / "table.md").read_text()
    assert all(row["lower"] <= row["upper"] for row in content["intervals"])
    assert f"| {content['intervals'][0]['iterations']} |" in shown


def test_the_docs_hold_the_results_tables():
    for page, name in (
        ("bounds.md", "bound_tightness"),
        ("bounds.md", "interval_coverage"),
        ("bounds.md", "certified_cifar100"),
        ("bounds.md", "certificates"),
        ("advise.md", "advise"),
    ):
        text = (ROOT / "docs" / page).read_text()
        table = (ROOT / "experiments/results" / name / "table.md").read_text().rstrip()
        (shown,) = re.findall(rf"<!-- {name}: begin[^>]*-->\n(.*?)\n<!-- {name}: end", text, re.S)
        assert shown == table


@pytest.mark.slow
def test_certificates(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    module = load(ROOT / "experiments/certificates.py")
    options = module.Options(
        problems=("digits",), sizes=(60,), draws=2, epochs=1, teacher_epochs=1,
        out=tmp_path / "results", work=tmp_path / "work",
    )  # fmt: skip
    module.main(options)
    rows = pl.read_csv(tmp_path / "results/digits.csv").to_dicts()
    assert {row["kernel"] for row in rows} == {"initialisation", "trained"}
    for row in rows:
        assert 0 <= row["prequential error"] < row["certificate"] <= 1
        assert 0 <= row["test error"] <= 1
    assert "digits" in (tmp_path / "results/table.md").read_text()
    assert (tmp_path / "results/certificates.png").read_bytes().startswith(b"\x89PNG")


def test_a_problem_of_one_size_has_its_aims_and_no_panel(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    tables = load(ROOT / "experiments/certificate_tables.py")
    row = dict.fromkeys(tables.COLUMNS, 0.3) | {"sample": "a", "kernel": "trained", "arm": "labels"}
    whole = {"sample": "whole sample", "certificate": 0.41, "certificate, end": 0.39}
    one = [{**row, **whole, "problem": "halves32", "n": 25_000}]
    two = [{**row, "problem": "digits", "n": n, "certificate": 0.05} for n in (250, 500)]
    rows = pl.DataFrame(one + two)
    aims = tables.aims(rows, "halves32")
    assert len(aims) == 2
    assert "reached by the end alone" in aims[0]
    assert "missed" in aims[1]
    assert "below the held-out half" in tables.aims(rows, "digits")[-1]
    assert "halves32 0.410 at n = 25,000 (1.37, 0.40 missed)" in tables.finding(rows)
    assert [axes.get_title() for axes in tables.figure(rows).axes] == ["digits, labels"]


def test_regret_is_what_a_choice_loses_of_the_mean_over_seeds(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    tables = load(ROOT / "experiments/regret_tables.py")
    columns = {name for name, _ in tables.SCORES.values()} | {
        name for pair in (*tables.THEORY.values(), *tables.PLAIN_COLUMNS.values()) for name in pair
    }
    # Accuracies by seed; what every score ranks first is the second, 10 points below the best.
    truth = {"labels": (0.6, 0.6), "resnet8, final, τ = 4": (0.7, 0.7), "mlp": (0.8, 0.8)}
    rows = [
        {
            "task": "t", "student": "s", "seed": seed, "candidate": name,
            "teacher": None if name == "labels" else name.split(",")[0],
            "final": name != "labels", "temperature": None if name == "labels" else 4.0,
            "weight": float(name != "labels"),
            "teacher accuracy": None if name == "labels" else 0.9,
            **{
                column: (name.startswith("resnet8")) * (1.0 if "accuracy" in column else -1.0)
                for column in columns
            },
            "test accuracy, end": accuracies[seed],
        }
        for seed in (0, 1)
        for name, accuracies in truth.items()
    ]  # fmt: skip
    found = tables.regrets(pl.DataFrame(rows, infer_schema_length=None))
    regret = dict(found.select("rule", "regret").iter_rows())
    assert regret.pop("labels alone") == pytest.approx(20)
    assert set(map(round, regret.values())) == {10}
    said = tables.verdict(tables.compared(found))
    assert "does not beat" in said
    assert "+0.00 (+0.00 to +0.00, undecided)" in said

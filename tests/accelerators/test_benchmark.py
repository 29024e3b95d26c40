"""`python -m benchmarks.accelerator`: its arguments, its result file, and a run in miniature."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

import kdtheory
from kdtheory.errors import RunError

ROOT = pathlib.Path(kdtheory.__file__).parents[1]


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.accelerator", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--minutes", "0"], "above 0"),
        (["--minuets", "3"], "--minuets"),
        (["--data", "/no/such/folder"], "no folder cifar100"),
        (["--epochs", "none"], "whole number"),
        (["--smoke", "--data", "/tmp"], "leave --data out"),
    ],
)
def test_bad_arguments_get_one_line(arguments: list[str], said: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def opened(folder: pathlib.Path, minutes: float = 1.0, **config: Any) -> Any:
    from benchmarks.accelerator.result import Clock, Result

    provenance = {"devices": ["cpu: cpu"]}
    return Result(folder, config, provenance, Clock(minutes), lambda line: None)


def test_what_is_measured_is_not_measured_again(tmp_path: pathlib.Path) -> None:
    opened(tmp_path, n=1).measure("gram", "one", lambda: {"seconds": 2.0})
    again = opened(tmp_path, n=1).measure("gram", "one", lambda: pytest.fail("measured again"))
    assert again["seconds"] == 2.0


def test_a_result_of_other_settings_is_refused_and_says_which(tmp_path: pathlib.Path) -> None:
    opened(tmp_path, n=1).write()
    with pytest.raises(RunError, match="n 1 there, 2 here"):
        opened(tmp_path, n=2)


def test_a_damaged_result_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunError, match="--fresh starts over"):
        opened(tmp_path)


def test_nothing_begins_when_the_minutes_are_over(tmp_path: pathlib.Path) -> None:
    from benchmarks.accelerator.result import OutOfTime

    result = opened(tmp_path, minutes=-1.0)
    with pytest.raises(OutOfTime):
        result.measure("gram", "one", lambda: pytest.fail("begun"))


def test_a_kernel_that_is_wrong_ends_it(tmp_path: pathlib.Path) -> None:
    import numpy as np

    from benchmarks.accelerator.kernels import Network, self_test
    from benchmarks.accelerator.settings import SMOKE

    class Wrong(Network):
        """Nothing of it is computed: the rows are in the file."""

    wrong = dict.fromkeys(
        ("error_highest", "error_tensorfloat32", "error_bfloat16", "error_product"), 0.0
    )
    result = opened(tmp_path)
    result.content["steps"]["self-test"] = {
        "mlp8x2, 2 outputs": {"name": "mlp8x2, 2 outputs", **wrong, "error_highest": float("nan")}
    }
    with pytest.raises(RunError, match="highest is off by nan"):
        self_test(SMOKE, result, [Wrong("mlp8x2", 1, np.zeros((8, 8, 8, 3), np.float32))])


def test_epochs_are_planned_by_the_time_that_is_left() -> None:
    from benchmarks.accelerator.trainings import planned_epochs

    assert planned_epochs(6.0, 2.0, 1000.0, 240) == 50
    assert planned_epochs(6.0, 2.0, 1.0, 240) == 1
    assert planned_epochs(6.0, 2.0, 1e6, 240) == 240


@pytest.mark.slow
def test_all_of_it_in_miniature_and_again(tmp_path: pathlib.Path) -> None:
    from benchmarks.accelerator.settings import STEPS

    out = tmp_path / "out"
    first = command("--smoke", "--out", str(out))
    assert first.returncode == 0, first.stderr
    content = json.loads((out / "result.json").read_text())
    assert tuple(content["steps"]) == STEPS
    again = command("--smoke", "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert json.loads((out / "result.json").read_text())["steps"] == content["steps"]
    shown = subprocess.run(
        [sys.executable, "-m", "benchmarks.accelerator.table", str(out / "result.json")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert "figures mean nothing" in shown.stdout
    assert shown.stdout in first.stdout + again.stdout


@pytest.mark.slow
def test_a_call_that_ran_out_of_minutes_goes_on(tmp_path: pathlib.Path) -> None:
    out = str(tmp_path / "out")
    ended = command("--smoke", "--out", out, "--minutes", "0.02")
    assert ended.returncode == 0, ended.stderr
    assert "the minutes are over" in ended.stderr
    whole = command("--smoke", "--out", out)
    assert whole.returncode == 0, whole.stderr
    assert "mlp8x2 to mlp8x1" in whole.stdout

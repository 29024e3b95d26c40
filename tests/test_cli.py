"""One tiny run of every subcommand, and one clear line with exit code 2 for whatever is wrong."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from kdtheory.cli import COMMANDS, main, parse
from kdtheory.commands.run import Run

TINY = [
    "--dataset", "synthetic", "--teacher", "mlp16x1", "--student", "mlp8x1", "--train-size", "32",
    "--validation-size", "8", "--test-size", "16", "--epochs", "2", "--teacher-checkpoints", "2",
    "--batch-size", "16", "--seeds", "1", "--points", "2", "--ntk-size", "8", "--ridge", "0.01",
]  # fmt: skip


def fails(capsys, *words):
    """Run a command that must fail; return its one line."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 2
    output = capsys.readouterr()
    lines = output.err.strip().splitlines()
    assert len(lines) == 1, output.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_run_table_and_config(tmp_path, capsys):
    out = tmp_path / "run"
    main(["run", *TINY, "--arms", "labels", "online", "--temperatures", "4", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "online" in printed
    assert str(out / "report.html") in printed
    rows = (out / "rows.jsonl").read_text()

    # The config that the run wrote, given back: everything is reused, the rows are the same.
    main(["run", "--config", str(out / "config.json")])
    assert (out / "rows.jsonl").read_text() == rows
    # A flag overrides it.
    more = ["--arms", "labels", "--kernel", "none"]
    other = tmp_path / "other"
    main(["run", "--config", str(out / "config.json"), *more, "--out", str(other)])
    assert json.loads((other / "config.json").read_text())["arms"] == ["labels"]
    assert json.loads((other / "config.json").read_text())["epochs"] == 2

    capsys.readouterr()
    main(["table", str(out), "--out", str(tmp_path / "table")])
    assert "online" in capsys.readouterr().out
    assert (tmp_path / "table" / "report.html").exists()


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    out = tmp_path / "demo"
    main(["demo", "--smoke", "--seeds", "1", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "even_odd" in printed
    assert "report.html" in printed
    for name in (
        "table.md", "table.csv", "table.tex", "table.html", "rows.jsonl", "config.json",
        "provenance.json", "complexity.png", "accuracy.png", "report.html",
    ):  # fmt: skip
        assert (out / name).stat().st_size > 0, name
    tasks = {json.loads(line)["task"] for line in (out / "rows.jsonl").read_text().splitlines()}
    assert tasks == {"ten", "even_odd"}


def test_gram_and_complexity(tmp_path, capsys):
    kernel, targets = tmp_path / "K.npy", tmp_path / "Y.npy"
    common = ["--dataset", "digits", "--task", "even_odd", "--model", "mlp8x1", "--ntk-size", "12"]
    main(["gram", *common, "--dtype", "float64", "--out", str(kernel), "--targets", str(targets)])
    K, Y = np.load(kernel), np.load(targets)
    assert K.shape == (12, 12)
    assert json.loads(kernel.with_suffix(".json").read_text())["model"] == "mlp8x1"

    capsys.readouterr()
    expected = Y.T.astype(np.float64) @ np.linalg.solve(K + 0.5 * np.eye(12), Y.astype(np.float64))
    for ridge in (["--ridge-absolute", "0.5"], ["--ridge", str(0.5 / np.mean(np.diag(K)))]):
        main(["complexity", "--gram", str(kernel), "--targets", str(targets), *ridge, "--json"])
        values = json.loads(capsys.readouterr().out)
        np.testing.assert_allclose(values["complexity"], expected[0, 0], rtol=1e-8)
    main(["complexity", "--gram", str(kernel), "--targets", str(targets), "--ridge", "0.5"])
    assert "condition" in capsys.readouterr().out

    reference = tmp_path / "reference.npy"
    main(["gram", *common, "--dtype", "float64", "--method", "neural_tangents", "--out",
          str(reference)])  # fmt: skip
    np.testing.assert_allclose(np.load(reference), K, rtol=1e-10)


def test_gram_in_another_precision_is_another_kernel(tmp_path, capsys):
    words = ["gram", "--model", "mlp8x1", "--ntk-size", "6", "--store", str(tmp_path / "tiles"),
             "--out", str(tmp_path / "K.npy")]  # fmt: skip
    main([*words, "--precision", "tensorfloat32"])
    assert json.loads((tmp_path / "K.json").read_text())["precision"] == "tensorfloat32"
    assert "tensorfloat32 there, bfloat16 asked" in fails(capsys, *words, "--precision", "bfloat16")


def test_validate(tmp_path, capsys):
    main(["validate", "norm_identity", "--quick", "--out", str(tmp_path / "claims")])
    assert "holds" in capsys.readouterr().out
    assert list((tmp_path / "claims").rglob("*.png"))
    assert "norm_identity" in fails(capsys, "validate", "norm")


def test_a_failed_claim_exits_with_one(capsys, monkeypatch):
    import dataclasses

    from kdtheory import claims

    claim = next(claim for claim in claims.CLAIMS if claim.name == "norm_identity")

    def refuted(*arguments, **settings):
        return claim.check(*arguments, **settings)._replace(holds=False)

    monkeypatch.setattr(claims, "CLAIMS", (dataclasses.replace(claim, check=refuted),))
    with pytest.raises(SystemExit) as end:
        main(["validate", "--quick"])
    assert end.value.code == 1
    assert "FAILS" in capsys.readouterr().out


def test_data_list(tmp_path, capsys):
    main(["data", "list", "--data-dir", str(tmp_path)])
    assert "kdtheory data prepare" in capsys.readouterr().out


def test_data_prepare_of_an_unknown_set(tmp_path, capsys):
    line = fails(capsys, "data", "prepare", "cifar1000", "--data-dir", tmp_path)
    assert "cifar100" in line


@pytest.mark.parametrize("name", [name.split() for name in COMMANDS])
def test_help_teaches(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([*name, "--help"])
    assert end.value.code == 0
    assert "usage: kdtheory" in capsys.readouterr().out


def test_an_option_by_its_last_word_is_for_teacher_and_students(capsys):
    words = ["--student-optimizer.learning-rate", "0.2", "--learning-rate", "0.1", "--seeds", "2"]
    options = parse("run", Run, words)
    assert options.run.teaching.teacher_optimizer.learning_rate == 0.1
    assert options.run.training.student_optimizer.learning_rate == 0.2
    assert options.run.distillation.seeds == 2
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "--learning-rate" in capsys.readouterr().out


def test_the_help_of_run_is_in_groups_basic_first_with_three_examples(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    head, *groups = re.split(r"(?m)^\W*((?:\w+ )?options)\W*$", capsys.readouterr().out)
    assert groups[:8:2] == [
        "options", "distillation options", "data options", "training options",
    ]  # fmt: skip
    assert head.count("kdtheory run --") == 3


def test_usage_lists_the_commands(capsys):
    main([])
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum"], "unknown command 'rum'; known: demo, run"),
        (["tabel"], "unknown command 'tabel'; did you mean 'table'? known: demo, run"),
        (["data", "get"], "unknown command 'data get'"),
        (["run", "--epochs", "ten"], "--epochs"),
        (["run", "--epoch", "3"], "unknown option --epoch; did you mean --epochs?"),
        (["run", "--lerning-rate", "1"], "did you mean --student-optimizer.learning-rate or --t"),
        (["run", "--magic"], "unknown option --magic (see kdtheory run --help)"),
        (["run", "--dataset", "digts"], "unknown data set 'digts'; did you mean 'digits'?"),
        (["run", "--student", "lennet5x1"], "did you mean 'lenet5x1'?"),
        (["gram", "--modl", "mlp", "--out", "K.npy"], "did you mean --model?"),
        (["study", "temprature"], "did you mean 'temperature'?"),
        (["run", "--arms", "mutual"], "'mutual'"),
        (["run", "--epochs", "0"], "epochs must be at least 1"),
        (["run", "--temperatures", "0"], "temperature tau must be above 0"),
        (["run", "--temperatures", "-2"], "temperature tau must be above 0"),
        (["run", "--dataset", "cifar1000"], "cifar100"),
        (["run", "--dataset", "digits", "--task", "odds"], "first_half"),
        (["run", "--dataset", "digits", "--train-size", "2000"], "1297"),
        (["run", "--dataset", "digits", "--teacher", "resnet21"], "6n + 2"),
        (["run", "--dataset", "digits", "--student", "lenet"], "lenet5x1"),
        (["run", "--config", "missing.json"], "missing.json"),
        (["table"], "at least one run folder"),
        (["table", "nowhere"], "nowhere"),
        (["gram", "--method", "magic", "--ntk-size", "8", "--out", "K.npy"], "neural_tangents"),
        (["gram", "--outputs", "some", "--out", "K.npy"], "full"),
        (["complexity", "--gram", "K.npy", "--targets", "Y.npy"], "K.npy"),
        (["demo", "--seeds", "0"], "seeds must be at least 1"),
        (["run", "--certify", "-3"], "error: certify must be at least 0"),
        (["run", "--epochs", "x"], "error: --epochs: invalid literal"),
        (
            ["run", "--image-size", "a", "3"],
            "error: --image-size takes None or INT INT, got a 3 (see",
        ),
        (["run", "--image-size", "0"], "image_size must be at least 1 by 1, got (0, 0)"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def kernels():
    rng = np.random.default_rng(0)
    square = rng.normal(size=(6, 9))
    good = square @ square.T
    bad = good.copy()
    bad[0, 1] = np.nan
    lopsided = good.copy()
    lopsided[0, 1] += 1
    return {
        "wrong shape": (good[:4], np.ones(6), "square"),
        "NaN": (bad, np.ones(6), "NaN|finite"),
        "asymmetric": (lopsided, np.ones(6), "symmetric"),
        "indefinite": (good - 5 * np.eye(6) * good.max(), np.ones(6), "indefinite|negative"),
        "singular": (np.ones((6, 6)), np.ones(6), "singular"),
        "targets of another length": (good, np.ones(5), "5"),
    }


@pytest.mark.parametrize("case", list(kernels()))
def test_kernels_without_a_value(case, tmp_path, capsys):
    gram, targets, message = kernels()[case]
    np.save(tmp_path / "K.npy", gram)
    np.save(tmp_path / "Y.npy", targets)
    line = fails(
        capsys, "complexity", "--gram", tmp_path / "K.npy", "--targets", tmp_path / "Y.npy"
    )
    assert re.search(message, line), line


def test_truncated_and_foreign_files(tmp_path, capsys):
    np.save(tmp_path / "Y.npy", np.ones(6))
    np.save(tmp_path / "K.npy", np.eye(6))
    whole = (tmp_path / "K.npy").read_bytes()
    (tmp_path / "K.npy").write_bytes(whole[: len(whole) // 2])
    arguments = ("complexity", "--gram", tmp_path / "K.npy", "--targets", tmp_path / "Y.npy")
    assert "K.npy" in fails(capsys, *arguments)
    (tmp_path / "K.npy").write_text("not numbers")
    assert "K.npy" in fails(capsys, *arguments)


@pytest.mark.parametrize("platform", ["cuda", pytest.param("abacus", marks=pytest.mark.slow)])
def test_a_device_that_is_not_there_is_one_line(tmp_path, platform):
    words = ["gram", "--model", "mlp8x1", "--ntk-size", "8", "--out", str(tmp_path / "K.npy")]
    ended = subprocess.run(
        [sys.executable, "-m", "kdtheory", *words], capture_output=True, text=True,
        env={**os.environ, "JAX_PLATFORMS": platform},
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: JAX has no device of JAX_PLATFORMS=")
    assert "Traceback" not in ended.stderr


def test_import_is_light():
    """Neither the package nor the command line's front door loads TensorFlow or plotting."""
    code = (
        "import sys, kdtheory, kdtheory.cli\n"
        "heavy = {'tensorflow', 'matplotlib', 'polars', 'sklearn', 'great_tables'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""`kdtheory complexity` on files, and on a model and data, dense and matrix-free."""

import json
import shutil

import jax
import numpy as np
import pytest
from flax import serialization, traverse_util
from matplotlib.figure import Figure

from kdtheory import models
from kdtheory.cli import main
from kdtheory.complexity import eigendecompose, factorize
from kdtheory.datasets import load
from kdtheory.measure import measured_kernel

NETWORK = [
    "complexity", "--dataset", "synthetic", "--model", "mlp8x1", "--ntk-size", "12", "--json",
]  # fmt: skip


def run(capsys, *words):
    main([str(word) for word in words])
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.count("\n") == 1
    return error


@pytest.fixture
def saved(tmp_path):
    """K, Y and their files."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 30))
    kernel, targets = features @ features.T, rng.normal(size=(6, 2))
    np.save(tmp_path / "K.npy", kernel)
    np.save(tmp_path / "Y.npy", targets)
    return kernel, targets, tmp_path


def test_files_give_the_exact_value_and_the_margins_of_the_predictor(saved, capsys):
    kernel, targets, folder = saved
    values = run(
        capsys, "complexity", "--gram", folder / "K.npy", "--targets", folder / "Y.npy",
        "--ridge-absolute", 40, "--json",
    )  # fmt: skip
    exact = factorize(kernel, ridge=40.0).complexity(targets)
    assert values["complexity"] == pytest.approx(exact.complexity)
    assert values["adjusted"] == pytest.approx(exact.adjusted)
    fitted = (kernel @ np.linalg.solve(kernel + 40 * np.eye(12), targets.ravel())).reshape(6, 2)
    decided = targets.argmax(axis=1)
    margins = fitted[np.arange(6), decided] - fitted[np.arange(6), 1 - decided]
    assert values["smallest_margin"] == pytest.approx(margins.min())
    assert values["mean_margin"] == pytest.approx(margins.mean())
    assert values["errors"] == pytest.approx(np.mean(margins <= 0))


@pytest.mark.parametrize("targets", ["labels", "random"])
def test_the_interval_holds_the_value(capsys, targets):
    ridge = ["--ridge", "0.01", "--targets", targets]
    dense = run(capsys, *NETWORK, *ridge)
    free = run(
        capsys, *NETWORK, *ridge, "--matrix-free", "--relative-gap", 1e-6,
    )  # fmt: skip
    assert free["lower"] <= dense["complexity"] <= free["upper"]
    assert free["relative_gap"] <= 1e-6
    assert free["stopped"] == "gap"
    assert free["adjusted_lower"] <= dense["adjusted"] <= free["adjusted_upper"]
    assert free["smallest_margin"] == pytest.approx(dense["smallest_margin"], abs=2e-3)
    assert free["mean_margin"] == pytest.approx(dense["mean_margin"], abs=2e-3)
    assert free["condition"] >= dense["condition"] * 0.1


def test_what_does_not_fit_is_bounded(capsys, monkeypatch):
    monkeypatch.setattr("kdtheory.measure.spec.available", lambda: 1000)
    values = run(capsys, *NETWORK, "--relative-gap", 0.5)
    assert values["route"] in ("primal", "dual")
    assert 0 < values["lower"] <= values["upper"]


def test_random_labels_are_drawn_by_the_seed(capsys):
    labels = run(capsys, *NETWORK, "--ridge-absolute", 1)
    drawn = [run(capsys, *NETWORK, "--ridge-absolute", 1, "--targets", "random") for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0]["complexity"] != labels["complexity"]
    assert drawn[0]["trace"] == labels["trace"]


def test_targets_from_a_file_are_a_teachers(capsys, tmp_path):
    labels = run(capsys, *NETWORK)
    n, d = labels["n"], labels["num_outputs"]
    np.save(tmp_path / "Y.npy", np.random.default_rng(0).normal(size=(3, n, d)))
    values = run(capsys, *NETWORK, "--targets", tmp_path / "Y.npy")
    assert np.shape(values["complexity"]) == (3,)
    np.save(tmp_path / "Y.npy", np.ones((n, d + 1)))
    error = refused(capsys, *NETWORK, "--targets", tmp_path / "Y.npy")
    assert f"has shape ({n}, {d + 1}); allowed: ({n}, {d})" in error


@pytest.mark.parametrize("free", [[], ["--matrix-free", "--relative-gap", "0.1"]])
def test_the_spectrum_is_drawn(capsys, tmp_path, free):
    path = tmp_path / "figure.png"
    run(capsys, *NETWORK, *free, "--plot", path)
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_the_spectrum_drawn_is_the_kernels(saved, capsys, tmp_path, monkeypatch):
    kernel, targets, folder = saved
    drawn = []
    monkeypatch.setattr(
        "kdtheory.measure.spectrum_figure.spectrum_figure",
        lambda lines, ridge: (drawn.append((lines, ridge)), Figure())[1],
    )
    run(
        capsys, "complexity", "--gram", folder / "K.npy", "--targets", folder / "Y.npy",
        "--ridge-absolute", 0.5, "--plot", tmp_path / "figure.svg", "--json",
    )  # fmt: skip
    lines, ridge = drawn[0]
    spectrum = eigendecompose(kernel)
    assert (ridge, lines.exact) == (0.5, True)
    np.testing.assert_allclose(lines.eigenvalues, spectrum.eigenvalues)
    np.testing.assert_allclose(lines.energy[0], spectrum.energy(targets))


def test_a_checkpoint_is_another_kernel(capsys, tmp_path):
    main([
        "run", "--dataset", "synthetic", "--teacher", "mlp8x1", "--student", "mlp8x1",
        "--train-size", "24", "--batch-size", "8", "--epochs", "1", "--arms", "labels",
        "--seeds", "1", "--ntk-size", "4", "--out", str(tmp_path / "run"),
    ])  # fmt: skip
    capsys.readouterr()
    stored = sorted((tmp_path / "run").rglob("step-*"))
    assert stored
    initial = run(capsys, *NETWORK, "--ridge-absolute", 1)
    first = run(capsys, *NETWORK, "--ridge-absolute", 1, "--checkpoint", stored[-1])
    assert first["complexity"] != initial["complexity"]
    error = refused(capsys, *NETWORK, "--checkpoint", stored[-1], "--model", "mlp16x1")
    assert "is of another --model" in error
    assert "none does not exist" in refused(capsys, *NETWORK, "--checkpoint", tmp_path / "none")
    (tmp_path / "step-1").mkdir()
    error = refused(capsys, *NETWORK, "--checkpoint", tmp_path / "step-1")
    assert "is no orbax checkpoint of arrays" in error
    # Of the same form and step, and another network's.
    seed = tmp_path / "run" / "seeds" / "0"
    own = seed / "teacher" / stored[-1].name
    shutil.rmtree(own)
    shutil.copytree(seed / "labels" / own.name, own)
    error = refused(capsys, *NETWORK, "--checkpoint", own)
    assert "it is of network labels, not teacher" in error


def test_kernels_and_targets_in_other_programs_files(saved, capsys):
    kernel, targets, folder = saved
    np.savez(folder / "both.npz", K=kernel, Y=targets)
    np.savetxt(folder / "Y.csv", targets, delimiter=",", fmt="%.17g")
    ridge = ("--ridge-absolute", 40, "--json")
    expected = run(
        capsys, "complexity", "--gram", folder / "K.npy", "--targets", folder / "Y.npy", *ridge
    )
    both = ("complexity", "--gram", folder / "both.npz", "--gram-key", "K")
    assert run(capsys, *both, "--targets", folder / "Y.csv", *ridge) == expected
    named = ("--targets", folder / "both.npz", "--targets-key", "Y")
    assert run(capsys, *both, *named, *ridge) == expected
    error = refused(capsys, *both, "--targets", folder / "both.npz")
    assert "holds several arrays: K, Y; say which is meant (--targets-key)" in error


@pytest.fixture
def own(tmp_path):
    """A folder of one's own checkpoints in several forms, and a teacher's logits for 12 images."""
    data = load("synthetic", train_size=12, validation_size=0)
    model = models.create("mlp8x1", data.num_outputs)
    folder = tmp_path / "mine"
    folder.mkdir()
    for step, form in ((0, "epoch-0.npz"), (5, "checkpoint_5"), (10, "10.msgpack")):
        variables = models.init(model, jax.random.key(step), data.image_shape)
        if form.endswith(".npz"):
            flat = traverse_util.flatten_dict(variables["params"], sep="/")
            np.savez(folder / form, **flat)
        else:
            state = {"params": variables["params"], "step": step, "opt_state": {"0": {}}}
            (folder / form).write_bytes(serialization.to_bytes(state))
    (folder / "log-7.txt").write_text("no checkpoint")
    logits = np.eye(data.num_outputs, dtype=np.float32)[data.train.labels]
    steps = np.array([3, 10])
    np.savez(tmp_path / "teacher.npz", train=np.stack([logits, 8 * logits]), steps=steps)
    return folder, tmp_path / "teacher.npz"


def test_along_ones_own_checkpoints(own, capsys, tmp_path):
    folder, teacher = own
    along = (*NETWORK, "--checkpoints", folder, "--teacher-logits", teacher, "--temperatures", 2)
    rows = run(capsys, *along, "--out", tmp_path / "out", "--plot", tmp_path / "along.pdf")
    found = {(row["step"], row["targets"]): row["complexity"] for row in rows}
    names = ["random labels", "labels", "offline, τ = 2", "online, τ = 2"]
    assert list(found) == [(step, name) for step in (0, 5, 10) for name in names]
    for step, file in ((0, "epoch-0.npz"), (5, "checkpoint_5"), (10, "10.msgpack")):
        alone = run(capsys, *NETWORK, "--checkpoint", folder / file)
        assert alone["complexity"] == pytest.approx(found[step, "labels"])
    # Algorithm 1: its first checkpoint teaches until step 3, the last from then on.
    assert found[0, "online, τ = 2"] < found[0, "offline, τ = 2"]
    assert found[5, "online, τ = 2"] == found[5, "offline, τ = 2"]
    assert (tmp_path / "along.pdf").read_bytes()[:4] == b"%PDF"
    assert (tmp_path / "out" / "complexity.png").exists()


def test_a_teachers_targets_on_one_kernel(own, capsys):
    _, teacher = own
    found = run(capsys, *NETWORK, "--teacher-logits", teacher)
    names = ["random labels", "labels", "offline, τ = 1", "offline, τ = 4"]
    assert found["targets"] == names
    assert found["complexity"][2] > found["complexity"][3]
    centred = run(capsys, *NETWORK, "--teacher-logits", teacher, "--centre-targets")
    assert all(np.less(centred["target_rms"], found["target_rms"]))


def test_an_interrupted_call_goes_on(own, capsys, tmp_path, monkeypatch):
    folder, _ = own
    words = [*NETWORK, "--checkpoints", folder, "--out", tmp_path / "out"]
    made = []

    def stopped_at_the_second(*arguments, **settings):
        made.append(arguments)
        if len(made) == 2:
            raise KeyboardInterrupt
        return measured_kernel(*arguments, **settings)

    monkeypatch.setattr("kdtheory.recording.factories.measured_kernel", stopped_at_the_second)
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    run(capsys, *words)
    assert len(made) == 4, "the first checkpoint was measured twice"


def test_checkpoints_that_are_none(own, capsys, tmp_path):
    folder, _ = own
    (tmp_path / "empty").mkdir()
    assert "no checkpoint in" in refused(capsys, *NETWORK, "--checkpoints", tmp_path / "empty")
    other = ("--model", "mlp16x1")
    error = refused(capsys, *NETWORK, *other, "--checkpoints", folder)
    assert "epoch-0.npz is of another network: 1 of the model's 4 arrays found" in error
    with np.load(folder / "epoch-0.npz") as whole:
        np.savez(folder / "epoch-0.npz", **whole, **{"Dense_2/bias": np.ones(3)})
    error = refused(capsys, *NETWORK, "--checkpoints", folder)
    assert "epoch-0.npz is of another network" in error
    assert "left over: Dense_2/bias (3,)" in error
    (folder / "5").mkdir()
    assert "two checkpoints of step 5" in refused(capsys, *NETWORK, "--checkpoints", folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gram", "K.npy"], "--gram needs --targets"),
        (["--gram", "K.npy", "--targets", "Y.npy", "--ntk-size", "3"], "--ntk-size is for a model"),
        (["--num-outputs", "2"], "--num-outputs is for --gram"),
        (["--gram-key", "K"], "--gram-key is for --gram"),
        (["--checkpoint", "a", "--checkpoints", "b"], "not both"),
        (["--checkpoints", "none"], "--checkpoints must name a folder, got none"),
        (["--out", "folder"], "--out is for --checkpoints"),
        (["--temperatures", "0"], "--temperatures must be above 0"),
        (["--ridge", "1", "--ridge-absolute", "1"], "ridge_absolute, not both"),
        (["--ridge", "-1"], "ridge must be at least 0 and finite, got -1.0"),
        (
            ["--targets", "teacher"],
            ".safetensors), got 'teacher'",
        ),
        (["--outputs", "sum", "--dataset", "synthetic"], "give a file, or --outputs full"),
        (["--plot", "figure.txt"], "--plot must end in .pdf, .png or .svg"),
        (["--ntk-size", "1000000"], "--ntk-size must be 1 to"),
        (["--model", "lenet"], "unknown model 'lenet'"),
        (
            ["--matrix-free", "--ridge", "0", "--ntk-size", "4"],
            "from products, which needs ridge > 0",
        ),
    ],
)
def test_bad_flags_are_one_line(capsys, words, message):
    assert message in refused(capsys, "complexity", *words)

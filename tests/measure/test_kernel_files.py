import contextlib
import io
import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kdtheory.cli import main
from kdtheory.commands.gram import Gram, save_gram
from kdtheory.commands.kernel_progress import tile_bar
from kdtheory.datasets.data_config import DataConfig
from kdtheory.errors import InputError, KernelError
from kdtheory.measure.kernel_file import load_array, values_of_files
from kdtheory.measure.spec import KernelSpec

SETTINGS = {
    "data": DataConfig(dataset="synthetic"), "model": "mlp8x1", "ntk_size": 6, "batch_size": 2,
    "dtype": "float64",
}  # fmt: skip


def complexity_of_files(gram, targets, *, ridge, num_outputs=None):
    """The values that the command prints, with lambda = ridge."""
    spec = KernelSpec(ridge_absolute=ridge)
    return values_of_files(gram, targets, spec, num_outputs=num_outputs).values


@pytest.fixture
def no_kernel(monkeypatch):
    """Fail where a kernel is computed before the input was checked."""

    def computed(*arguments, **settings):
        raise AssertionError("the kernel was computed")

    monkeypatch.setattr("kdtheory.ntk.gram", computed)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a full kernel K.npy and its targets Y.npy, (n, d)."""
    folder = tmp_path_factory.mktemp("made")
    save_gram(Gram(out=folder / "K.npy", targets=folder / "Y.npy", **SETTINGS))
    return folder


def write(folder, gram, targets, **stored):
    """Save a kernel, targets and, where given, what the .json beside the kernel says."""
    np.save(folder / "K.npy", gram)
    np.save(folder / "Y.npy", targets)
    if stored:
        (folder / "K.json").write_text(json.dumps(stored))
    return folder / "K.npy", folder / "Y.npy"


# Files


def test_an_archive_is_not_taken_for_an_array(tmp_path):
    (tmp_path / "K.npy").write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(InputError, match="archive"):
        load_array(tmp_path / "K.npy")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_refused(tmp_path_factory, data):
    """Whatever a byte of the header becomes: an array of numbers, or InputError."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(4.0))
    content = bytearray(buffer.getvalue())
    content[data.draw(st.integers(0, 70))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(InputError):
        assert load_array(path).dtype.kind in "fiub"


def test_complex_numbers_are_refused(tmp_path):
    np.save(tmp_path / "K.npy", np.eye(2) * 1j)
    with pytest.raises(InputError, match="real numbers, its dtype is complex128"):
        load_array(tmp_path / "K.npy")


# kdtheory complexity


def test_the_settings_hold_the_outputs(made):
    stored = json.loads((made / "K.json").read_text())
    n, d = np.load(made / "Y.npy").shape
    assert d > 1
    assert (stored["outputs"], stored["num_outputs"]) == ("full", d)
    assert stored["shape"] == [n * d, n * d] == list(np.load(made / "K.npy").shape)


@pytest.mark.parametrize("layout", ["(n, d)", "flat", "stack", "flat stack"])
def test_targets_of_any_layout_have_one_adjusted_value(made, tmp_path, layout):
    targets = np.load(made / "Y.npy")
    n, d = targets.shape
    shape = {
        "(n, d)": (n, d), "flat": (n * d,), "stack": (1, n, d), "flat stack": (1, n * d),
    }[layout]  # fmt: skip
    np.save(tmp_path / "Y.npy", targets.reshape(shape))
    values = complexity_of_files(made / "K.npy", tmp_path / "Y.npy", ridge=0.5)
    gram = np.load(made / "K.npy")
    flat = targets.reshape(-1).astype(float)
    expected = flat @ np.linalg.solve(gram + 0.5 * np.eye(n * d), flat)
    adjusted = math.sqrt(expected * np.trace(gram)) / n
    assert np.ravel(values["complexity"])[0] == pytest.approx(expected)
    assert np.ravel(values["adjusted"])[0] == pytest.approx(adjusted)
    assert (values["num_outputs"], values["n"]) == (d, n)


def test_the_flag_tells_where_no_file_does(tmp_path):
    paths = write(tmp_path, np.eye(6), np.ones(6))
    alone = complexity_of_files(*paths, ridge=0.0)
    told = complexity_of_files(*paths, ridge=0.0, num_outputs=3)
    assert (alone["num_outputs"], alone["n"]) == (1, 6)
    assert (told["num_outputs"], told["n"]) == (3, 2)
    assert told["adjusted"] == pytest.approx(3 * alone["adjusted"])
    with pytest.raises(InputError, match="num_outputs must divide the kernel's 6 rows, got 4"):
        complexity_of_files(*paths, ridge=0.0, num_outputs=4)
    paths = write(tmp_path, np.eye(6), np.ones((3, 2)))
    values = complexity_of_files(*paths, ridge=0.0)
    assert (values["num_outputs"], values["n"]) == (2, 3)


def test_another_files_json_is_not_the_kernels(tmp_path):
    paths = write(tmp_path, np.eye(6), np.ones(6), title="something else")
    assert complexity_of_files(*paths, ridge=0.0)["num_outputs"] == 1


def test_contradictions_with_the_json(tmp_path):
    stored = {"outputs": "full", "num_outputs": 2, "shape": [6, 6]}
    paths = write(tmp_path, np.eye(6), np.ones(6), **stored)
    with pytest.raises(InputError, match=r"--num-outputs 3 contradicts .*K\.json, which says 2"):
        complexity_of_files(*paths, ridge=0.0, num_outputs=3)
    paths = write(tmp_path, np.eye(4), np.ones(4), **stored)
    with pytest.raises(InputError, match=r"kernel of shape \[6, 6\].* has \[4, 4\]"):
        complexity_of_files(*paths, ridge=0.0)
    (tmp_path / "K.json").write_text("{")
    with pytest.raises(InputError, match=r"K\.json, beside the kernel, is damaged"):
        complexity_of_files(*paths, ridge=0.0)


@pytest.mark.parametrize("outputs", ["trace", "sum", None])
def test_a_kernel_of_one_row_an_example_names_its_targets(tmp_path, outputs):
    stored = {} if outputs is None else {"outputs": outputs, "num_outputs": 3}
    paths = write(tmp_path, np.eye(6), np.ones((6, 3)), **stored)
    with pytest.raises(InputError, match=r"\(6,\) or a stack \(k, 6\).*--outputs full") as error:
        complexity_of_files(*paths, ridge=0.0)
    assert "\n" not in str(error.value)
    paths = write(tmp_path, np.eye(6), np.ones((3, 6)), **stored)
    values = complexity_of_files(*paths, ridge=0.0)
    assert (values["complexity"], values["n"]) == ([6.0] * 3, 6)


def test_a_trace_kernel_does_not_read_its_rows_as_outputs(tmp_path):
    stored = {"outputs": "trace", "num_outputs": 3}
    paths = write(tmp_path, np.eye(6), np.ones(6), **stored)
    assert complexity_of_files(*paths, ridge=0.0)["num_outputs"] == 1
    with pytest.raises(InputError, match="--num-outputs 3 contradicts"):
        complexity_of_files(*paths, ridge=0.0, num_outputs=3)
    paths = write(tmp_path, np.eye(6), np.ones((2, 3)), **stored)
    with pytest.raises(InputError, match="was made with --outputs trace"):
        complexity_of_files(*paths, ridge=0.0)


def test_a_diagonal_kernel_is_not_one_matrix(tmp_path):
    stored = {"outputs": "diagonal", "num_outputs": 3}
    paths = write(tmp_path, np.zeros((3, 6, 6)), np.ones((6, 3)), **stored)
    with pytest.raises(KernelError, match=r"holds 3 matrices .* not one matrix; save a single one"):
        complexity_of_files(*paths, ridge=0.0)


def test_the_command_states_outputs_and_examples(tmp_path, capsys):
    gram, targets = write(tmp_path, np.eye(6), np.ones(6))
    words = ["complexity", "--gram", str(gram), "--targets", str(targets), "--num-outputs", "2"]
    main(words)
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert (printed["num_outputs"], printed["n"]) == ("2", "3")
    main([*words, "--json"])
    values = json.loads(capsys.readouterr().out)
    assert (values["num_outputs"], values["n"]) == (2, 3)


# kdtheory gram


@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ntk_size": 10**6}, r"^--ntk-size must be 1 to \d+ .* got 1000000$"),
        ({"ntk_size": 0}, "^--ntk-size must be at least 1, got 0"),
        ({"out": "folder"}, "--out must name a file, .*folder is a folder"),
        ({"out": "file/K.npy"}, "--out: cannot write .*file/K.npy"),
        ({"out": "/proc/K.npy"}, "--out: cannot write /proc/K.npy"),
        ({"out": "taken.npy"}, r"--out must name a file, .*taken\.json is a folder"),
        ({"out": "K.json"}, r"--out must name the \.npy file"),
        ({"targets": "file/Y.npy"}, "--targets: cannot write .*file/Y.npy"),
        ({"targets": "folder"}, "--targets must name a file"),
        ({"targets": "folder/../K.npy"}, r"is the file of the kernel \(--out\)"),
        ({"targets": "K.json"}, "is the file of the kernel's settings"),
    ],
)
def test_bad_input_is_said_before_the_kernel_is_computed(tmp_path, change, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken.json").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    used = {**SETTINGS, "out": "K.npy", **change}
    used.update({name: tmp_path / used[name] for name in ("out", "targets") if name in used})
    with pytest.raises(InputError, match=message) as error:
        save_gram(Gram(**used))
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_images_of_several_sizes_and_no_test_split(tmp_path):
    """As in a run: resized, and the examples that are held out for testing left alone."""
    for name in ("ant", "cat"):
        folder = tmp_path / "photos" / "train" / name
        folder.mkdir(parents=True)
        for i in range(5):
            pixels = np.full((4 + i, 6, 3), 40 * i + len(list(folder.parent.iterdir())), np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    words = ["gram", "--dataset", f"folder:{tmp_path / 'photos'}", "--model", "mlp8x1"]
    words += ["--image-size", "4", "6", "--test-fraction", "0.4"]
    main([*words, "--ntk-size", "6", "--out", str(tmp_path / "K.npy")])
    assert load_array(tmp_path / "K.npy").shape == (6, 6)
    stored = json.loads((tmp_path / "K.json").read_text())
    assert (stored["image_size"], stored["test_fraction"]) == ([4, 6], 0.4)
    with pytest.raises(SystemExit):  # four of the ten are for testing
        main([*words, "--ntk-size", "7", "--out", str(tmp_path / "L.npy")])
    assert not (tmp_path / "L.npy").exists()


@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize(("outputs", "factor"), [("full", 100), ("diagonal", 10), ("trace", 1)])
def test_a_kernel_above_the_memory_is_refused(tmp_path, monkeypatch, outputs, factor):
    used = {**SETTINGS, "data": DataConfig(), "outputs": outputs}
    needed = 2 * 8 * 6**2 * factor
    monkeypatch.setattr("kdtheory.memory.available", lambda: needed - 1)
    with pytest.raises(InputError, match=r"are free; take a smaller --ntk-size") as error:
        save_gram(Gram(out=tmp_path / "K.npy", **used))
    assert "\n" not in str(error.value)
    monkeypatch.setattr("kdtheory.memory.available", lambda: needed)
    with pytest.raises(AssertionError, match="the kernel was computed"):
        save_gram(Gram(out=tmp_path / "K.npy", **used))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    seen = []
    with tile_bar() as on_tile:
        save_gram(
            Gram(out=tmp_path / "K.npy", **SETTINGS),
            on_tile=lambda done, total: (seen.append((done, total)), on_tile(done, total)),
        )
    assert seen == [(done, 6) for done in range(1, 7)]
    shown = sys.stderr.getvalue()
    assert "6/6" in shown
    assert "elapsed" in shown
    assert "remaining" in shown


def test_no_progress_in_a_pipe(tmp_path, capsys):
    main(["gram", "--dataset", "synthetic", "--model", "mlp8x1", "--ntk-size", "4", "--out",
          str(tmp_path / "K.npy")])  # fmt: skip
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1


@pytest.mark.usefixtures("no_kernel")
def test_gram_explains_without_computing_or_writing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["gram", "--explain", "--dataset", "synthetic", "--model", "lenet5x1"]
    main([*words, "--ntk-size", "6", "--outputs", "trace", "--memory-budget", "1GiB"])
    told = capsys.readouterr().out
    assert "conv_general_dilated in LeNet5/Conv_0" in told
    assert "shifted slices" in told
    assert "n = 6, d = " in told
    assert "the matrix takes 144B" in told  # 6 x 6 float32
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--explain", "--method", "neural_tangents"], "--explain is for --method auto or layerw"),
        (["--explain", "--ntk-size", "10000000"], "--ntk-size"),
        ([], "--out is missing: the file to write, such as K.npy"),
    ],
)
def test_gram_without_a_file_or_an_explanation_is_one_line(capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        main(["gram", "--dataset", "synthetic", "--model", "mlp8x1", *words])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told

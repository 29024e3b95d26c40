"""--import: a file of the user's own, on every command and in every job that a command starts."""

import dataclasses
import json
import pickle
import subprocess
import sys
import textwrap

import pytest

from kdtheory.cli import main, parse
from kdtheory.commands.run import Run
from kdtheory.errors import InputError
from kdtheory.methods import registry as methods
from kdtheory.models import registry as models
from kdtheory.runs import own_code
from kdtheory.runs.jobs import RunCase

OWN = textwrap.dedent("""
    import dataclasses

    import flax.linen as nn
    import numpy as np

    from beside import SLOPE  # a module that lies in the file's own folder
    from kdtheory import claims, models, studies
    from kdtheory.claims.claim import decided
    from kdtheory.datasets import (
        Source, SourceSplit, Task, register_source, register_task,
    )
    from kdtheory.methods import Method, register_method

    class OwnLinear(nn.Module):
        num_outputs: int

        @nn.compact
        def __call__(self, x, train=False):
            return nn.Dense(self.num_outputs)(x.reshape(x.shape[0], -1))

    @models.register(r"own_linear", examples=("own_linear",), source="mine")
    def build(num_outputs):
        return OwnLinear(num_outputs)

    @register_source("own_data")
    def own_data():
        def split(count):
            labels = np.arange(count, dtype=np.int32) % 3
            images = (80 * labels[:, None, None, None] + np.zeros((1, 4, 4, 1))).astype(np.uint8)
            return SourceSplit.from_arrays("made up", images, labels)

        return Source(name="own_data", class_names=("a", "b", "c"), train=split(48),
                      test=split(12), validation=None, provenance={"source": "made up"})

    @register_task("own_task")
    def own_task(class_names):
        return Task(np.array([0, 1, 1], np.int32), ("first", "others"))

    register_method("own_method", Method(
        title="the first checkpoint, kept", source="mine", shows="softmax(g)", needs="a teacher",
        route=lambda gained, total: (total, *range(total + 1, total + len(gained))),
    ))
    claims.register_claim(claims.Claim(
        name="own_claim", statement="a slope", source="mine", varied="nothing",
        check=lambda quick, seed: decided(SLOPE, f"slope {SLOPE}", x=[SLOPE]),
        draw=lambda outcome, axes: axes.plot(outcome.series["x"]),
    ))
    studies.register_study(dataclasses.replace(
        studies.STUDIES["accuracy"], name="own_study", question="Mine?"))
""")
SETTINGS = [
    "--dataset", "own_data", "--task", "own_task", "--teacher", "own_linear", "--student",
    "own_linear", "--arms", "labels", "own_method", "--temperatures", "2", "--epochs", "2",
    "--teacher-checkpoints", "2", "--batch-size", "8", "--validation-size", "0", "--seeds", "1",
    "--points", "2", "--kernel", "none",
]  # fmt: skip


@pytest.fixture
def own(tmp_path, forget):
    (tmp_path / "beside.py").write_text("SLOPE = 2.0\n")
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def printed(capsys, *words):
    main([str(word) for word in words])
    return capsys.readouterr().out


def fails(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_what_a_file_registers_is_known_to_every_command(own, capsys, tmp_path):
    assert "own: --import FILE.py" in fails(capsys, "models", "own_linear")
    assert "mine" in printed(capsys, "models", "own_linear", "--import", own)
    assert "3: a, b, c" in printed(capsys, "data", "show", "own_data", "--import", own)
    assert "own_method" in printed(capsys, "methods", f"--import={own}")
    assert "slope 2.0" in printed(capsys, "validate", "own_claim", "--import", own)
    assert "own_study" in printed(capsys, "study", "--list", "--import", own)


def test_a_job_imports_its_command_s_file_and_the_run_says_which_it_was(
    own, capsys, tmp_path, forget
):
    out = tmp_path / "run"
    words = ["run", *SETTINGS, "--out", str(out), "--import", str(own)]
    own_code.import_code(str(own))
    sent = pickle.dumps(RunCase(parse("run", Run, words[1:]).run))
    forget()  # as in another process
    with pytest.raises(InputError, match="unknown model 'own_linear'"):
        models.create("own_linear", 3)
    assert pickle.loads(sent)() is None
    (session,) = json.loads((out / "provenance.json").read_text())["sessions"]
    (code,) = session["imports"]
    assert code["import"] == "own.py"
    assert len(code["sha256"]) == 64

    forget()
    own.unlink()
    assert pickle.loads(sent)() == f"--import {own}: No such file or directory"
    own.write_text(OWN + "# another line\n")
    with pytest.warns(UserWarning, match=r"own\.py has changed since this run began \(SHA-256"):
        main(words)
    assert "continued with other imports" in (out / "report.html").read_text()

    # A table of rows whose arm is the file's own wants the file.
    forget()
    capsys.readouterr()
    assert "your own: --import FILE.py" in fails(capsys, "table", out)
    assert "own method" in printed(capsys, "table", out, "--import", own)


def test_a_run_that_goes_on_without_its_file_is_told_of(own, tmp_path, forget):
    code = own_code.import_code(str(own))
    stored = [{}, {"imports": [code.provenance(), "no entry"]}, {"imports": 3}]
    assert own_code.changed_code(stored, own_code.imported()) == []
    assert own_code.changed_code(stored, []) == [
        "this run began with --import own.py, which is not given now"
    ]
    assert own_code.changed_code([{}], [code]) == []


@pytest.mark.slow
def test_the_local_jobs_of_a_sweep_know_it(own, tmp_path):
    # In a process of its own: submitit's jobs do not begin under pytest's capture.
    pytest.importorskip("submitit")
    cases = tmp_path / "sweep.json"
    base = {"dataset": "own_data", "teacher": "own_linear", "student": "own_linear", "seeds": 1,
            "arms": ["own_method"], "epochs": 1, "batch_size": 8, "kernel": "none"}  # fmt: skip
    cases.write_text(json.dumps({"base": base, "grid": {"temperatures": [[1.0], [2.0]]}}))
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "kdtheory", "sweep", str(cases), "--out", str(out), "--launcher",
         "local", "--workers", "2", "--import", str(own)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "own method" in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = (\n", "own.py, line 2: SyntaxError: '(' was never closed"),
        ("\n\nx = 1 / 0\n", "own.py, line 3: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "own.py, line 2: SystemExit: 3"),
        ("import no_such_module\n", "own.py, line 1: ModuleNotFoundError: No module named 'no_"),
        (
            "from kdtheory.datasets import register_source\n\n"
            "@register_source('digits')\ndef mine():\n    pass\n",
            "own.py, line 3: a data set named 'digits' exists already",
        ),
        (
            "from kdtheory.methods import METHODS, register_method\n"
            "register_method('My method', METHODS['dkd'])\n",
            "own.py, line 2: an arm is named by lower-case letters, digits and _",
        ),
        ("x = '\0'\n", "own.py, line "),
    ],
)
def test_an_error_in_the_file_is_one_line_with_its_place(text, message, tmp_path, capsys, forget):
    path = tmp_path / "own.py"
    path.write_text(text)
    line = fails(capsys, "models", "--import", path)
    assert line.startswith(f"error: --import {tmp_path}/{message}")


def test_what_cannot_be_imported_is_one_line(tmp_path, capsys, forget, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no_module: there is no such module" in fails(capsys, "models", "--import", "no_module")
    assert "is no Python file" in fails(capsys, "models", "--import", "sys")
    (tmp_path / "folder.py").mkdir()
    assert "directory" in fails(capsys, "models", "--import", "folder.py")
    assert "--import" in fails(capsys, "models", "--import")


def test_a_module_of_the_working_directory(tmp_path, capsys, forget, monkeypatch, own):
    monkeypatch.chdir(tmp_path)
    assert "mine" in printed(capsys, "models", "own_linear", "--import", "own")
    (code,) = own_code.imported()
    assert (code.name, code.path) == ("own", own)


def test_an_error_when_the_file_s_code_is_called_is_one_line_too(tmp_path, capsys, forget):
    path = tmp_path / "own.py"
    wrong = "raise KeyError('weight')"
    path.write_text(OWN.replace("return nn.Dense", wrong + "\n        return nn.Dense"))
    (tmp_path / "beside.py").write_text("SLOPE = 2.0\n")
    number = path.read_text().splitlines().index(f"        {wrong}") + 1
    line = fails(capsys, "models", "own_linear", "--import", path)
    assert line == f"error: own.py, line {number}: KeyError: 'weight'"


def test_methods_of_one_s_own_are_checked(forget):
    method = methods.METHODS["rco"]
    with pytest.raises(InputError, match="an arm named 'dkd' exists already"):
        methods.register_method("dkd", method)
    with pytest.raises(InputError, match="needs a loss, a route or a training"):
        methods.register_method("none", dataclasses.replace(method, route=None))
    with pytest.raises(InputError, match="a loss or a training stands at a temperature of its own"):
        methods.register_method("warm", dataclasses.replace(method, temperature=2.0))

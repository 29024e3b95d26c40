"""Every study from the command line, shrunk to seconds: its files, and nothing made twice."""

import json
import re

import pytest

from kdtheory.cli import main
from kdtheory.studies import STUDIES
from kdtheory.training import trainer

#: They take 10 to 25 s of one core each: one tells whether the machinery works, the slow suite
#: runs the rest.
FAST = "accuracy"


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """The studies' teachers are shared, as in the default folder."""
    return tmp_path_factory.mktemp("teachers")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == FAST else pytest.mark.slow) for n in STUDIES]
)
def test_a_study_from_the_command_line(name, teachers, tmp_path, monkeypatch, capsys):
    command = [
        "study", name, "--smoke", "--seeds", "1", "--out", str(tmp_path), "--teachers",
        str(teachers),
    ]  # fmt: skip
    main(command)
    printed = capsys.readouterr().out
    assert f"{tmp_path}/report.html" in printed
    assert re.search("hypothes[ei]s", printed)
    files = {path.name for path in tmp_path.iterdir() if path.is_file() and path.stat().st_size}
    wanted = {"table.md", "table.csv", "table.tex", "table.html", "summary.md", "report.html",
              "config.json", "provenance.json"}  # fmt: skip
    assert wanted <= files
    figures = [name for name in files if name.endswith(".png")]
    assert figures
    assert {figure.replace(".png", ".svg") for figure in figures} <= files
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["study"], config["size"]) == (name, "smoke")
    assert set(config["cases"]) == set(STUDIES[name].cases("smoke"))
    # A reader must not take the numbers for results.
    assert "mean nothing" in (tmp_path / "summary.md").read_text()

    results = [path for path in tmp_path.iterdir() if path.suffix in (".md", ".csv", ".tex")]
    before = {path: path.read_bytes() for path in results}
    monkeypatch.setattr(trainer, "run", None)  # nothing may be trained
    main(command)
    assert {path: path.read_bytes() for path in results} == before


def test_the_list_names_every_study_and_its_sizes(capsys):
    main(["study", "--list"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in STUDIES)
    assert printed.count("smoke: ") == len(STUDIES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acuracy"], "accuracy"),  # what there is
        ([], "name a study"),
        (["accuracy", "--smoke", "--full"], "exclude"),
        (["accuracy", "--smoke", "--seeds", "0"], "at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["study", *words])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(tmp_path.iterdir())


def test_names_are_folder_names_and_cases_are_few():
    for name, study in STUDIES.items():
        assert study.name == name
        assert name.replace("_", "").isalnum()
        assert set(study.costs) == {"smoke", "small", "full"}
        assert len(study.cases("smoke")) <= 4
        for size in ("smoke", "small", "full"):
            assert not any("/" in case or " " in case for case in study.cases(size))
        assert study.runs_of is None or study.runs_of in STUDIES

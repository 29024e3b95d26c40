"""docs/update.py: what it copies, what it writes into the pages, what it refuses."""

import importlib.util
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from kdtheory.errors import InputError
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Table
from kdtheory.statistics.findings import Finding
from kdtheory.studies import STUDIES
from kdtheory.studies.results import write_results

ROOT = Path(__file__).parents[1]
NAME = "noisy_teacher"


@pytest.fixture(scope="module")
def publisher():
    path = ROOT / "docs" / "update.py"
    spec = importlib.util.spec_from_file_location("update", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path):
    page = tmp_path / "docs" / "studies" / f"{NAME}.md"
    page.parent.mkdir(parents=True)
    page.write_text("# A page\n\n## What was seen\n<!-- results -->\nof last time\n")
    marks = "<!-- findings: begin -->\n<!-- findings: end -->\n"
    for readme in (tmp_path / "README.md", page.parent / "README.md"):
        readme.write_text(marks)
    return tmp_path


@pytest.fixture
def finished(tmp_path):
    """A folder as a study leaves it, of a given size."""

    def write(size="small", study=NAME, tables=("table", "changes")):
        analysis = Results(
            [Table(name, f"What {name} shows.", {"teacher": [f"{name}!"]}) for name in tables],
            [CaptionedFigure("terms", "The bars [and marks].", Figure())],
            [Finding("noise costs", "seen", "+1"), Finding("all well", "not seen", "-1")],
        )  # fmt: skip
        out = tmp_path / "runs" / size
        config = {
            "study": study,
            "size": size,
            "cases": {"clean": {"seeds": 3}, "bad": {"seeds": 5}},
        }
        write_results(STUDIES[NAME], analysis, out, size=size, config=config, provenance={"by": 1})
        return out

    return write


def test_small_results_are_copied_and_large_ones_are_not(publisher, repository, finished):
    run = finished()
    (run / "report.html").write_text("x" * 200_001)
    (run / "runs").mkdir()
    publisher.publish(NAME, run, repository)
    results = repository / "experiments" / "results" / NAME
    assert {path.name for path in results.iterdir()} == {
        "table.md", "table.csv", "changes.md", "changes.csv", "terms.png", "terms.svg",
        "summary.md", "findings.json", "config.json", "provenance.json",
    }  # fmt: skip
    assert (results / "table.csv").read_bytes() == (run / "table.csv").read_bytes()


def test_a_table_that_is_no_longer_made_goes(publisher, repository, finished):
    publisher.publish(NAME, finished(), repository)
    run = finished()
    for path in run.glob("changes.*"):
        path.unlink()
    publisher.publish(NAME, run, repository)
    assert not list((repository / "experiments" / "results" / NAME).glob("changes.*"))


def test_the_page_holds_verdicts_main_table_and_figure(publisher, repository, finished):
    publisher.publish(NAME, finished(), repository)
    text = (repository / "docs" / "studies" / f"{NAME}.md").read_text()
    assert text.startswith(
        "# A page\n\n## What was seen\n<!-- results -->\nMade by `kdtheory study"
    )
    assert "of last time" not in text
    assert "3 to 5 seeds" in text
    assert "Against the theory, the data contradict: all well." in text
    assert "- **seen**: noise costs (+1)" in text
    assert "table!" in text
    assert "What table shows." in text
    assert "changes!" not in text
    assert f"](../../experiments/results/{NAME}/terms.png)\n\nThe bars [and marks].\n" in text
    assert "**Expected.**" not in text
    # Published again, it is the same.
    publisher.publish(NAME, finished(), repository)
    assert (repository / "docs" / "studies" / f"{NAME}.md").read_text() == text


def test_what_is_refused(publisher, repository, finished, tmp_path):
    page = repository / "docs" / "studies" / f"{NAME}.md"
    before = page.read_text()
    with pytest.raises(InputError, match="smoke run"):
        publisher.publish(NAME, finished("smoke"), repository)
    with pytest.raises(InputError, match="not 'noisy_teacher'"):
        publisher.publish(NAME, finished(study="accuracy"), repository)
    with pytest.raises(InputError, match="no finished study"):
        publisher.publish(NAME, tmp_path, repository)
    with pytest.raises(InputError, match="unknown study"):
        publisher.publish("nothing", finished(), repository)
    assert page.read_text() == before
    page.write_text("no line for results")
    with pytest.raises(InputError, match="results -->"):
        publisher.publish(NAME, finished(), repository)


def test_every_study_has_its_page_and_its_line_in_the_index(publisher):
    lines = (ROOT / "docs" / "studies" / "README.md").read_text()
    assert publisher.index() in lines, "python docs/update.py tables brings the index up to date"
    for name in STUDIES:
        assert publisher.MARK in (ROOT / "docs" / "studies" / f"{name}.md").read_text(), name


def test_the_readmes_table_is_made_from_stored_findings(publisher, repository, finished):
    publisher.publish(NAME, finished(), repository)
    publisher.findings(repository)
    lines = (repository / "docs" / "studies" / "README.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {NAME} |"))
    assert line.endswith(f"| of 2: 1 seen, 1 not seen | [page]({NAME}.md) |")
    assert any(line.startswith("| accuracy |") and "| not run |" in line for line in lines)


def test_an_experiment_writes_its_line_of_the_readme(publisher, repository):
    own = repository / "experiments" / "results" / "certificates" / "finding.md"
    publisher.findings(repository)
    assert "| certificates |" not in (repository / "README.md").read_text()
    own.parent.mkdir(parents=True)
    own.write_text("| certificates | below 0.1 | 0.05 | [page](docs/bounds.md) |\n")
    publisher.findings(repository)
    text = (repository / "README.md").read_text()
    assert text.endswith(f"{own.read_text()}<!-- findings: end -->\n")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "of 1: 1 seen; means +3.0 points"),
        ({"corrected": "undecided"}, "after Holm's correction 1 of these undecided"),
        ({"open": "nothing is learnt"}, "*open*: 1 (nothing is learnt); the plain verdicts are 1"),
        ({"by_construction": True}, "not run"),
    ],
)
def test_what_is_seen_is_said_by_rule(publisher, changes, words):
    stored = {
        "hypothesis": "a", "verdict": "seen", "by_construction": False, "open": "",
        "corrected": "seen", "effect": 0.03, "scale": 100, "unit": " points", **changes,
    }  # fmt: skip
    assert words in publisher.seen([stored])


def test_results_from_before_the_gate_are_open(publisher, tmp_path):
    (tmp_path / "summary.md").write_text(
        "- **seen**: a is above b (+1 ± 0.5)\n- **seen (by construction)**: c (+1)\n"
    )
    first, second = publisher.stored_findings(tmp_path)
    assert (first["verdict"], first["open"]) == ("seen", publisher.UNCHECKED)
    assert second["by_construction"]


def test_the_tables_of_findings_are_up_to_date(publisher, tmp_path):
    names = ("README.md", "docs/studies/README.md")
    (tmp_path / "docs" / "studies").mkdir(parents=True)
    for name in names:
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    publisher.findings(tmp_path)
    for name in names:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), (
            "python docs/update.py findings"
        )


def test_only_what_stands_between_the_marks_is_replaced(publisher, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- t: begin, made -->\nold\nold\n<!-- t: end -->\nafter\n")
    publisher.between_marks(page, "t", "new\n")
    assert page.read_text() == "before\n<!-- t: begin, made -->\nnew\n<!-- t: end -->\nafter\n"
    with pytest.raises(InputError, match="one pair of marks for u, has 0"):
        publisher.between_marks(page, "u", "new")


def test_an_unknown_document_is_refused(publisher):
    with pytest.raises(InputError, match="demo \\[FOLDER\\], study NAME"):
        publisher.main("everything")


def test_the_readme_has_the_lines_that_it_is_about_and_the_studies_page_all(publisher):
    table = "| study | expected | seen | evidence |"
    readme, page = (
        (ROOT / name)
        .read_text()
        .split(table)[1]
        .split("<!-- findings: end -->")[0]
        .strip()
        .splitlines()
        for name in ("README.md", "docs/studies/README.md")
    )
    expected = [one for study in STUDIES.values() for one in study.expectations]
    assert sum(one.in_readme for one in expected) + len(publisher.OF_README) == len(readme) - 1
    assert len(expected) + len(publisher.OF_README) == len(page) - 1

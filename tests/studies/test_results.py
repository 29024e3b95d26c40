"""What a study writes: every file, verdicts in words, and nothing that is not its own."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from kdtheory.errors import InputError
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Table
from kdtheory.runs.config import from_json
from kdtheory.runs.identity import known_before
from kdtheory.statistics.findings import RULE, Finding, verdict_line
from kdtheory.statistics.setting_health import GATE
from kdtheory.studies import STUDIES, find_study
from kdtheory.studies.reproduction import _notes, reproduce
from kdtheory.studies.results import SMOKE_NOTE, summary, write_results

STUDY = STUDIES["accuracy"]
PUBLISHED = Path(__file__).parents[2] / "experiments" / "results"
FINDINGS = [
    Finding("a < b", "seen", "+1 ± 0.5"),
    Finding("c", "not seen", "-1 ± 0.5"),
    Finding("d", "undecided", "one seed"),
]


@pytest.fixture
def analysis():
    return Results(
        [Table("table", "Caption.", {"arm": ["labels"]})],
        [CaptionedFigure("bars", "Bars.", Figure())],
        FINDINGS,
    )


def write(analysis, out):
    return write_results(STUDY, analysis, out, size="small", config={"x": 1}, provenance={"y": 2})


def test_every_file(analysis, tmp_path):
    written = write(analysis, tmp_path)
    assert {path.name for path in written} == {
        "table.md", "table.csv", "table.tex", "table.html", "bars.png", "bars.svg", "summary.md",
        "findings.json", "config.json", "provenance.json", "report.html",
    }  # fmt: skip
    assert set(written) == set(tmp_path.iterdir())
    assert json.loads((tmp_path / "config.json").read_text()) == {"x": 1}
    assert json.loads((tmp_path / "provenance.json").read_text()) == {"y": 2}


def test_the_report_stands_alone_and_is_escaped(analysis, tmp_path):
    write(analysis, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "a &lt; b" in page
    assert "a < b" not in page
    assert "data:image/" in page
    assert 'src="bars' not in page
    assert STUDY.question in page


def test_the_summary_says_what_was_asked_expected_and_found(analysis):
    text = summary(STUDY, analysis, "small")
    assert text.startswith(f"# accuracy: {STUDY.question}\n")
    assert STUDY.expected in text
    assert "- **not seen**: c (-1 ± 0.5)" in text
    assert RULE in text
    assert "| labels |" in text
    assert "](bars.png)" in text
    assert SMOKE_NOTE not in text
    assert SMOKE_NOTE in summary(STUDY, analysis, "smoke")


def test_the_health_of_the_setting_opens_summary_and_report(analysis, tmp_path):
    health = Table("health", "How far it came.", {"setting": ["digits"], "gate": ["passed"]})
    write(analysis._replace(health=health), tmp_path)
    text = (tmp_path / "summary.md").read_text()
    assert text.index("| digits | passed |") < text.index(GATE) < text.index("Of 3 hypotheses")
    page = (tmp_path / "report.html").read_text()
    assert page.index("The setting's health") < page.index("<h2>Table")
    assert (tmp_path / "health.csv").read_text().startswith("setting,gate")


def test_findings_are_stored_as_data(analysis, tmp_path):
    shut = Finding("e", "seen", "+1", open="nothing is learnt", settings=("digits",))
    write(analysis._replace(findings=[*FINDINGS, shut]), tmp_path)
    stored = json.loads((tmp_path / "findings.json").read_text())["findings"]
    assert [one["shown"] for one in stored] == ["seen", "not seen", "undecided", "open: setting"]
    assert stored[3]["settings"] == ["digits"]
    assert stored[3]["open"] == "nothing is learnt"


def test_what_goes_against_the_theory_is_named():
    assert verdict_line(FINDINGS) == (
        "Of 3 hypotheses: 1 seen, 1 not seen, 1 undecided. "
        "Against the theory, the data contradict: c."
    )
    assert "Against" not in verdict_line(FINDINGS[:1])


def test_the_same_analysis_gives_the_same_files(analysis, tmp_path):
    first = {path.name: path.read_bytes() for path in write(analysis, tmp_path / "one")}
    again = {path.name: path.read_bytes() for path in write(analysis, tmp_path / "two")}
    assert first == again


@pytest.mark.parametrize("name", [n for n in STUDIES if (PUBLISHED / n).is_dir()])
def test_a_study_still_has_the_settings_of_its_published_results(name):
    stored = json.loads((PUBLISHED / name / "config.json").read_text())
    cases = STUDIES[name].cases(stored["size"])
    for case, settings in stored["cases"].items():
        published = from_json(known_before(settings)).identity()
        assert cases[case].identity() == published, case


def test_notes_that_hold_of_several_runs_are_told_once():
    def tried(arm):
        row = {"kind": "tuning", "arm": arm, "temperature": None, "seed": 0}
        return [
            {**row, "learning_rate": rate, "validation_accuracy": rate, "chosen": rate == 0.2}
            for rate in (0.1, 0.2, 0.3)
        ]

    rows = {"one": tried("labels"), "two": tried("labels"), "three": tried("dml")}
    notes = _notes(rows, [*rows["one"], *rows["two"]])
    budget = "of 0.1, 0.2, 0.3, by last-epoch validation accuracy at seed 0"
    assert [note for note in notes if budget in note] == [
        f"one, two: learning rate by arm, {budget} (a training an arm and a rate)",
        f"three: learning rate by arm, {budget} (a training an arm and a rate): dml 0.2",
    ]
    # Where every run has a note, none is named.
    assert _notes({"one": rows["one"]}, rows["one"])[0].startswith("learning rate by arm")


@pytest.mark.parametrize("link", ["runs", "runs/binary"])
def test_a_link_in_the_place_of_a_studys_runs_is_not_followed(tmp_path, link):
    path, elsewhere = tmp_path / "out" / link, tmp_path / "elsewhere"
    path.parent.mkdir(parents=True)
    elsewhere.mkdir()
    path.symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a symbolic link, which is not followed"):
        reproduce(find_study("accuracy"), tmp_path / "out", size="smoke", seeds=1, quiet=True)
    assert list(elsewhere.iterdir()) == []

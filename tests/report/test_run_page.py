import re
from html.parser import HTMLParser

import pytest

from kdtheory.errors import InputError, RunError
from kdtheory.report.answer import answer_lines
from kdtheory.report.run_report import write_run
from kdtheory.statistics.hypotheses import findings

VOID = {"meta", "img", "br", "link", "hr", "col", "source"}


class Page(HTMLParser):
    """Collects the tags and checks that they are nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


@pytest.fixture
def page_of(tmp_path, monkeypatch):
    # Figures beside the page are files of their own, and take seconds.
    monkeypatch.setattr("kdtheory.report.run_report.write_figures", lambda *_: [])

    def write(rows, **change):
        settings = {"config": {}, "provenance": {}, "title": "A run", **change}
        write_run(rows, tmp_path, **settings)
        return (tmp_path / "report.html").read_text()

    return write


def test_the_page_holds_everything_and_refers_to_nothing(make_rows, page_of):
    rows = make_rows()
    text = page_of(rows, config={"epochs": 30}, provenance={"jax": "0.0"}, notes=["Noise: 10 %."])
    page = Page(text)
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 2
    narrow = [attrs for tag, attrs in page.tags if tag == "source"]
    assert len(narrow) == 1
    assert all(each["srcset"].startswith("data:image/svg+xml;base64,") for each in narrow)
    assert all(attrs["src"].startswith("data:image/svg+xml;base64,") for attrs in images)
    assert all(attrs["alt"] for attrs in images)
    assert not [tag for tag, attrs in page.tags if tag in ("script", "link", "iframe")]
    assert not re.search(r"@import|url\(", text)
    shown = "".join(page.text)
    for expected in ('"epochs": 30', '"jax": "0.0"', "Noise: 10 %.", "online, τ = 4", "Margin"):
        assert expected in shown
    for finding in findings(rows):
        assert finding.hypothesis in shown
        assert finding.evidence in shown


def test_names_and_notes_cannot_inject_markup(make_rows, page_of):
    evil = "<script>alert(1)</script>"
    rows = make_rows(seeds=(0,), points=1, complexity=False, teacher=evil)
    text = page_of(rows, title=evil, notes=[evil], config={evil: evil}, provenance={"x": evil})
    assert "<script" not in text
    Page(text)


def test_the_page_begins_with_three_lines_and_the_picture_then_the_table(make_rows, page_of):
    text = page_of(make_rows(noise=0.0))
    parts = (
        "<h1>",
        "<p>How well: ",
        "How complex, ",
        "Of ",
        "<figure",
        "<table",
        "seen</td>",
        "<dt>",
    )
    places = [text.index(part, text.index("<body>")) for part in parts]
    assert places == sorted(places)
    # What the rows are made with: 10 + (92.1 - 10) (1 - e^-4), and so on.
    assert "the student on online, τ = 4 is the most accurate, with 90.60 ± 0.00 %" in text
    assert "(on labels 85.69 ± 0.00 %; the teacher 94.42 ± 0.00 %)" in text
    assert "on the student trained on labels: online, τ = 4 is the least complex" in text
    assert "labels the most (1.8" in text
    assert "random labels, the control, have 2.97" in text


def test_several_runs_are_answered_together(make_rows):
    easy = make_rows(noise=0.0, points=2)
    hard = make_rows(noise=0.0, points=2, task="even_odd", arms=(("labels", None),))
    lines = answer_lines([*easy, *hard], [])
    assert "on online, τ = 4 in digits, ten: resnet8 → lenet5x1, has 90.60" in lines[0]
    assert "In 1 of 2 runs the most accurate student is not the one on labels." in lines[0]
    assert "of 2 runs, the least complex supervision is online, τ = 4 in 2" in lines[1]
    assert len(answer_lines([row for row in easy if row["kind"] == "teacher"], [])) == 1


def test_figures_are_written_in_the_forms_and_width_that_are_asked_for(tmp_path, make_rows):
    rows = make_rows(seeds=(0,), points=2)
    settings = {"config": {}, "provenance": {}, "title": "A run"}
    write_run(rows, tmp_path, **settings, figure_forms=("pdf",), figure_width=3.5)
    assert {path.name for path in tmp_path.glob("*.pdf")} == {"complexity.pdf", "accuracy.pdf"}
    assert not list(tmp_path.glob("*.svg"))
    assert b"/MediaBox [ 0 0 252 " in (tmp_path / "accuracy.pdf").read_bytes()
    with pytest.raises(InputError, match="width must be"):
        write_run(rows, tmp_path / "other", **settings, figure_width=0.1)
    assert not (tmp_path / "other").exists()


def test_what_contradicts_the_theory_stands_at_the_top(make_rows, page_of):
    rows = make_rows(points=2)
    for row in rows:
        if row["kind"] == "complexity":
            row["adjusted_complexity"] = 10 - row["adjusted_complexity"]
    text = page_of(rows)
    assert "Against the theory" in text.split("<h2>")[0]
    assert "random labels are more complex than labels" in text.split("<h2>")[0]


def test_a_missing_figure_is_said(make_rows, page_of):
    text = page_of(make_rows(points=1, complexity=False))
    assert "No figure: no complexity was measured" in text


def test_all_files_are_written_whole(tmp_path, make_rows):
    rows = make_rows(seeds=(0, 1), points=2)
    settings = {"config": {"path": tmp_path}, "provenance": {}, "title": "A run", "notes": ()}
    paths = write_run(rows, tmp_path, **settings)
    names = {"table.md", "table.csv", "table.tex", "table.html", "report.html"}
    names |= {f"{name}.{form}" for name in ("complexity", "accuracy") for form in ("png", "svg")}
    assert {path.name for path in paths} == names == {path.name for path in tmp_path.iterdir()}
    assert all(path.stat().st_size > 200 for path in paths)
    # Without complexities the figure of the earlier rows must not stay.
    write_run(make_rows(seeds=(0,), points=1, complexity=False), tmp_path, **settings)
    gone = {"complexity.png", "complexity.svg"}
    assert {path.name for path in tmp_path.iterdir()} == names - gone


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, make_rows):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*table\.md"):
        write_run(
            make_rows(seeds=(0,), points=1, complexity=False),
            tmp_path / "file",
            config={},
            provenance={},
            title="A run",
        )


def test_a_run_that_has_only_a_teacher_so_far_is_reported(tmp_path, make_rows):
    rows = [row for row in make_rows(points=2) if row["kind"] == "teacher"]
    paths = write_run(rows, tmp_path, config={}, provenance={}, title="A run")
    assert {path.suffix for path in paths} == {".md", ".csv", ".tex", ".html"}
    page = (tmp_path / "report.html").read_text()
    assert "no finished student has a test accuracy" in page
    assert "The rows hold no measurements that could test a hypothesis." in page

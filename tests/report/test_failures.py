"""A network that its training did not train is marked wherever its values stand."""

import io

import polars
import pytest
from rich.console import Console

from kdtheory.report import print_results, run_results, summarize, write_run
from kdtheory.report.figures import accuracy_figure, complexity_figure
from kdtheory.rows import checked_row

WHY = "at chance: train 10.0 %, test 10.2 % of 10 classes"


@pytest.fixture
def with_failure(make_rows):
    """Rows in which the online student of seed 1, tau = 1, is at chance."""
    rows = make_rows()
    for row in rows:
        online = row["kind"] == "student" and (row["arm"], row["temperature"]) == ("online", 1.0)
        if online and row["seed"] == 1 and row["final"]:
            row |= {"test_accuracy": 0.102, "train_accuracy": 0.1, "failure": WHY}
    return [checked_row(row) for row in rows]


def test_it_is_in_the_mean_and_counted(with_failure):
    line = summarize(with_failure).filter(arm="online", temperature=1.0).to_dicts()[0]
    assert (line["seeds"], line["failed"]) == (3, 1)
    accuracies = [
        row["test_accuracy"]
        for row in with_failure
        if row["kind"] == "student" and row["final"] and row["arm"] == "online"
        if row["temperature"] == 1.0
    ]
    assert line["test_accuracy_mean"] == pytest.approx(sum(accuracies) / 3)
    assert summarize(with_failure)["failed"].sum() == 1


def test_terminal_table_and_page_mark_it(with_failure, tmp_path):
    note = f"† online, τ = 1, seed 1: {WHY}; it is in the mean"
    printed = io.StringIO()
    print_results(run_results(with_failure), Console(file=printed, width=300))
    assert "online, τ = 1 †" in printed.getvalue()
    assert note in printed.getvalue()
    write_run(with_failure, tmp_path, config={}, provenance={}, title="A run")
    markdown = (tmp_path / "table.md").read_text()
    assert "| online, τ = 1 † |" in markdown
    assert note in markdown
    assert "†: among its seeds is a network that ended at chance" in markdown
    page = (tmp_path / "report.html").read_text()
    assert note in page
    (caution,) = [part for part in page.split("<p") if part.startswith(' class="caution"')]
    assert "1 of 21 networks ended at chance or with a loss that never fell (†)" in caution
    assert page.index('class="caution"') < page.index('class="verdict"')
    assert r"online, $\tau$ = 1 $\dagger$" in (tmp_path / "table.tex").read_text()
    assert polars.read_csv(tmp_path / "table.csv")["failed"].sum() == 1


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_the_figures_mark_it(with_failure):
    accuracy, complexity = accuracy_figure(with_failure), complexity_figure(with_failure)
    assert "online, τ = 1 †" in texts(accuracy)
    assert "† has a seed at chance, or whose loss never fell" in texts(accuracy)
    assert "online, τ = 1 †" in texts(complexity)
    assert any("† own student has a seed at chance" in text for text in texts(complexity))
    accuracy.draw_without_rendering()  # a glyph that the font lacks is a warning


def test_nothing_is_marked_where_all_were_trained(make_rows, tmp_path):
    rows = make_rows()
    assert not any("†" in text for text in texts(accuracy_figure(rows)))
    for path in write_run(rows, tmp_path, config={}, provenance={}, title="A run"):
        if path.suffix in (".md", ".html"):
            assert "†" not in path.read_text()

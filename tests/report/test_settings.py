"""Rows of different settings are never averaged, paired or compared with each other."""

import json
from io import StringIO

import polars
import pytest
from rich.console import Console

from kdtheory.report.figures import accuracy_figure, complexity_figure
from kdtheory.report.page import report_page
from kdtheory.report.result_files import write_table
from kdtheory.report.run_report import run_results
from kdtheory.report.run_table import run_table, summarize, summary_csv
from kdtheory.report.terminal import print_results
from kdtheory.statistics.groups import group_rows
from kdtheory.statistics.hypotheses import findings
from kdtheory.statistics.stored_rows import read_rows

PLAIN = "digits, ten: resnet8 → lenet5x1"
FIRST, SECOND, THIRD = "3f2a90bc", "04d1e6f7", "99aa00bb"


def titled(settings):
    return f"{PLAIN} (settings {settings})"


@pytest.fixture(name="disjoint")
def disjoint_fixture(make_rows):
    """Labels trained under one configuration, offline and online under another."""
    return [
        *make_rows(points=2, arms=(("labels", None),), settings=FIRST),
        *make_rows(points=2, arms=(("offline", 4.0), ("online", 4.0)), settings=SECOND),
    ]


def test_disjoint_arms_of_other_settings_are_two_groups(disjoint):
    table = run_table(disjoint)
    arms = {title: [line[0] for line in lines] for title, lines in table.by_section().items()}
    assert arms == {
        titled(FIRST): ["teacher (resnet8)", "labels"],
        titled(SECOND): ["teacher (resnet8)", "offline, τ = 4", "online, τ = 4"],
    }
    frame = summarize(disjoint)
    assert frame.columns[:6] == ["dataset", "task", "teacher", "student", "settings", "arm"]
    assert dict(frame.filter(polars.col("arm") != "teacher").select("arm", "settings").rows()) == {
        "labels": FIRST,
        "offline": SECOND,
        "online": SECOND,
    }


def test_no_verdict_compares_rows_of_other_settings(disjoint):
    comparison = "offline, τ = 4 is more accurate than labels"
    merged = [{**row, "settings": FIRST} for row in disjoint]
    # Under one hash the same rows are compared, so it is the settings that keep them apart.
    assert comparison in {finding.hypothesis for finding in findings(merged)}
    assert "over the arms" in {finding.topic for finding in findings(merged)}
    found = findings(disjoint)
    assert comparison not in {finding.hypothesis for finding in found}
    assert "over the arms" not in {finding.topic for finding in found}
    for settings in (FIRST, SECOND):
        alone = findings([row for row in disjoint if row["settings"] == settings])
        mine = [finding for finding in found if finding.group.settings == settings]
        assert [f._replace(group=None) for f in mine] == [f._replace(group=None) for f in alone]


def test_seeds_of_other_settings_are_not_averaged(make_rows):
    rows = [
        *make_rows(points=2, seeds=(0, 1), settings=FIRST),
        *make_rows(points=2, seeds=(2,), settings=SECOND),
    ]
    frame = summarize(rows)
    assert set(frame.filter(settings=FIRST)["seeds"]) == {2}
    assert set(frame.filter(settings=SECOND)["seeds"]) == {1}
    for settings in (FIRST, SECOND):
        alone = summarize([row for row in rows if row["settings"] == settings])
        assert frame.filter(settings=settings).equals(alone)


def test_the_title_names_settings_only_where_groups_share_it(make_rows):
    small = {"seeds": (0,), "points": 1, "complexity": False}
    rows = [
        *make_rows(**small, settings=FIRST),
        *make_rows(**small, settings=SECOND),
        *make_rows(**small, settings=THIRD, task="even_odd"),
    ]
    apart = [row for row in rows if row["settings"] != SECOND]
    assert [g.title for g in group_rows(rows)] == [
        titled(FIRST),
        titled(SECOND),
        "digits, even_odd: resnet8 → lenet5x1",
    ]
    assert [g.title for g in group_rows(apart)] == [PLAIN, "digits, even_odd: resnet8 → lenet5x1"]
    # The hash is explained where it is shown, and only there.
    assert "(settings …) is a short hash" in run_table(rows).caption
    assert "settings" not in run_table(apart).caption


def test_a_sweep_over_settings_is_tabulated_together(tmp_path, make_rows):
    sweep = (FIRST, SECOND, THIRD)
    for number, settings in enumerate(sweep):
        rows = make_rows(points=2, seeds=(0, 1), settings=settings)
        for row in rows:
            if row["kind"] == "student":
                row["test_accuracy"] /= number + 1
        folder = tmp_path / settings
        folder.mkdir()
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # A copy of one run changes nothing.
    rows = read_rows(*(tmp_path / settings for settings in (*sweep, FIRST))).rows
    markdown, csv, latex, page = write_table(
        run_table(rows), tmp_path / "out", found=findings(rows), data=summary_csv(rows)
    )
    frame = polars.read_csv(csv, schema_overrides={"settings": polars.String})
    assert frame["settings"].unique(maintain_order=True).to_list() == list(sweep)
    assert len(frame) == 3 * 7
    assert set(frame["seeds"]) == {2}
    online = frame.filter(arm="online", temperature=4.0)["test_accuracy_mean"]
    assert online[1] == pytest.approx(online[0] / 2)
    assert online[2] == pytest.approx(online[0] / 3)
    for settings in sweep:
        lines = markdown.read_text().splitlines()
        assert sum(line.startswith(f"| {titled(settings)} |") for line in lines) == 7
        assert lines.count(f"### {titled(settings)}") == 1
        escaped = titled(settings).replace("→", r"$\to$")
        assert latex.read_text().count(rf"\textit{{{escaped}}}") == 1
        assert titled(settings) in page.read_text()


def test_the_terminal_and_the_report_name_each_settings(disjoint):
    console = Console(file=StringIO(), width=60)
    print_results(run_results(disjoint), console)
    printed = console.file.getvalue()
    results = run_results(disjoint)
    report = report_page(results, title="Two runs", opening=[], config={}, provenance={})
    assert max(map(len, printed.splitlines())) <= 60
    assert "…" not in printed
    for settings in (FIRST, SECOND):
        assert f"(settings {settings})" in printed
        assert titled(settings) in report


def test_each_settings_has_its_own_panels(disjoint):
    for figure in (complexity_figure(disjoint), accuracy_figure(disjoint)):
        titles = [part.get_suptitle() for part in figure.subfigs]
        assert titles == [titled(FIRST), titled(SECOND)]

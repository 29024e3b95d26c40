import re

import numpy as np
import pytest

from kdtheory.arms import Supervision
from kdtheory.errors import InputError
from kdtheory.report.figures import accuracy_figure, complexity_figure, render
from kdtheory.report.styles import line_style


def panels(figure):
    return [list(part.axes) for part in figure.subfigs]


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_the_left_panel_shows_every_supervision_on_the_student_of_labels(make_rows):
    rows = make_rows()
    ((left, _),) = panels(complexity_figure(rows))
    assert list(lines(left)) == [
        "random labels",
        "labels",
        "offline, τ = 1",
        "offline, τ = 4",
        "online, τ = 1",
        "online, τ = 4",
    ]
    drawn = lines(left)["online, τ = 4"]
    last = [
        row["adjusted_complexity"]
        for row in rows
        if row["kind"] == "complexity" and row["final"] and row["arm"] == "labels"
        if (row["supervision"], row["supervision_temperature"]) == ("online", 4.0)
    ]
    assert len(last) == 3
    assert drawn.get_xdata()[-1] == 30.0
    np.testing.assert_allclose(drawn.get_ydata()[-1], np.mean(last))
    assert "trained on labels" in left.get_title()


def test_the_right_panel_shows_each_arm_on_its_own_student(make_rows):
    ((_, right),) = panels(complexity_figure(make_rows()))
    assert "random labels" not in lines(right)
    assert "self, τ = 1" in lines(right)
    assert len(lines(right)) == 6


def test_bands_are_drawn_with_several_seeds_only(make_rows):
    ((left, _),) = panels(complexity_figure(make_rows()))
    assert len(left.collections) == 6
    ((left, _),) = panels(complexity_figure(make_rows(seeds=(0,))))
    assert len(left.collections) == 0


def test_each_run_group_has_its_own_panels(make_rows):
    rows = [*make_rows(points=2), *make_rows(task="even_odd", points=2)]
    assert [len(axes) for axes in panels(complexity_figure(rows))] == [2, 2]
    assert [len(axes) for axes in panels(accuracy_figure(rows))] == [2, 2]


def test_the_axis_is_logarithmic_only_where_curves_are_far_apart(make_rows):
    rows = make_rows(points=2, noise=0.0)
    ((left, _),) = panels(complexity_figure(rows))
    assert left.get_yscale() == "linear"
    for row in rows:
        if row["kind"] == "complexity" and row["supervision"] == "random_labels":
            row["adjusted_complexity"] *= 100
    figure = complexity_figure(rows)
    ((left, right),) = panels(figure)
    assert left.get_yscale() == right.get_yscale() == "log"
    figure.canvas.draw()
    ticks = [tick.get_text() for tick in left.get_yticklabels(which="both") if tick.get_text()]
    assert {"1", "10"} <= set(ticks)
    assert all(str(float(tick)).removesuffix(".0") == tick for tick in ticks)  # no "10^1"


def test_epochs_are_whole_and_accuracies_end_at_a_hundred_per_cent(make_rows):
    rows = make_rows(points=3)
    for row in rows:
        row["epoch"] /= 15  # 0, 1 and 2
        if row["kind"] == "student" and row["final"]:
            row["test_accuracy"] = 0.3 if row["seed"] == 0 else 1.0
    for axes in panels(complexity_figure(rows))[0]:
        assert all(tick == round(tick) for tick in axes.get_xticks())
    left, right = panels(accuracy_figure(rows))[0]
    for axes, coordinate in ((left, 0), (right, 1)):
        bars = [segment for lines in axes.collections if hasattr(lines, "get_segments")
                for segment in lines.get_segments()]  # fmt: skip
        ends = [point[coordinate] for segment in bars for point in segment]
        assert max(ends) == pytest.approx(100.0)
        assert min(ends) > 30


def test_the_accuracy_panel_has_the_arms_and_the_teacher(make_rows):
    rows = make_rows()
    ((left, right),) = panels(accuracy_figure(rows))
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names[0] == "labels"
    assert names[-1] == "teacher, resnet8"
    assert len(names) == 7
    teacher = [r["test_accuracy"] for r in rows if r["kind"] == "teacher" and r["final"]]
    reference = [line for line in left.get_lines() if line.get_linestyle() == "--"]
    assert any(np.allclose(line.get_xdata(), 100 * np.mean(teacher)) for line in reference)
    assert len(right.containers) == 6


@pytest.mark.parametrize(
    "change",
    [{"seeds": (0,)}, {"points": 1}, {"arms": (("labels", None),)}, {"complexity": False}],
)
def test_poor_rows_still_give_a_figure(make_rows, change):
    rows = make_rows(**{"points": 2, **change})
    assert render(accuracy_figure(rows), "png").startswith(b"\x89PNG")
    if change != {"complexity": False}:
        assert b"</svg>" in render(complexity_figure(rows), "svg")


def test_nothing_to_draw_is_an_error_that_says_so(make_rows):
    rows = make_rows(points=2, complexity=False)
    with pytest.raises(InputError, match="no complexity was measured"):
        complexity_figure(rows)
    with pytest.raises(InputError, match="no finished student"):
        accuracy_figure([row for row in rows if row["kind"] == "teacher"])
    with pytest.raises(InputError, match="known: pdf, png, svg"):
        render(accuracy_figure(rows), "jpeg")


def test_the_same_rows_give_the_same_file(make_rows):
    rows = make_rows(points=2, complexity=False)
    for form in ("svg", "pdf"):
        assert render(accuracy_figure(rows), form) == render(accuracy_figure(rows), form)


def test_a_pdf_has_the_columns_width_and_its_fonts_inside(make_rows):
    pdf = render(accuracy_figure(make_rows(points=2), width=3.25), "pdf")
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
    assert float(box) == pytest.approx(3.25 * 72)
    assert b"/FontFile2" in pdf


@pytest.mark.parametrize("draw", [complexity_figure, accuracy_figure])
def test_in_a_column_panels_lie_below_each_other_and_text_is_of_its_size(make_rows, draw):
    figure = draw(make_rows(points=2), width=3.25)
    figure.draw_without_rendering()
    ((above, below),) = panels(figure)
    assert above.get_position().y0 > below.get_position().y1
    ticks = [text.get_fontsize() for text in above.get_xticklabels() + above.get_yticklabels()]
    assert ticks == pytest.approx([8.0] * len(ticks))
    assert above.title.get_fontsize() == pytest.approx(8.0)
    for axes in (above, below):  # nothing is cut off at the sides
        box = axes.get_tightbbox().transformed(figure.transFigure.inverted())
        assert box.x0 >= 0
        assert box.x1 <= 1


@pytest.mark.parametrize("draw", [complexity_figure, accuracy_figure])
def test_in_a_page_of_one_column_two_runs_fit_side_by_side(make_rows, draw):
    runs = [make_rows(points=2), [{**r, "task": "other"} for r in make_rows(points=2)]]
    figure = draw([*runs[0], *runs[1]], width=5.5)
    figure.draw_without_rendering()
    assert figure.get_figheight() < 8.0  # of a letter's page, its caption below
    both = panels(figure)
    assert len(both) == 2
    for left, right in both:
        assert left.get_position().y0 == right.get_position().y0
        for axes in (left, right):  # nothing is cut off, nothing is over the other
            box = axes.get_tightbbox().transformed(figure.transFigure.inverted())
            assert 0 <= box.x0 < box.x1 <= 1
        assert left.xaxis.label.get_window_extent().x1 < right.xaxis.label.get_window_extent().x0


def test_in_a_pages_width_panels_stay_side_by_side(make_rows):
    figure = complexity_figure(make_rows(points=2), width=6.75)
    figure.draw_without_rendering()
    ((left, right),) = panels(figure)
    assert left.get_position().y0 == right.get_position().y0
    with pytest.raises(InputError, match=r"2\.5 to 20 inches, got 1"):
        accuracy_figure(make_rows(points=2), width=1.0)


def test_supervisions_are_told_apart_without_colour():
    among = [
        Supervision("random_labels", None),
        Supervision("labels", None),
        *(Supervision(name, t) for name in ("offline", "online", "self") for t in (1.0, 2.0, 4.0)),
    ]
    looks = [line_style(supervision, among) for supervision in among]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == len(among)
    assert len({(look["fillstyle"], look["marker"]) for look in looks}) == len(among)

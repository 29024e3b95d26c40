"""Figures at the width of a paper's column: how panels lie, and how large text and marks are."""

from typing import TYPE_CHECKING, NamedTuple

from kdtheory.errors import InputError

if TYPE_CHECKING:
    import matplotlib.figure

#: Of a figure on a page of its own, in inches; its text is matplotlib's, of ten points.
PAGE_WIDTH = 11.0

#: Below this many inches two panels do not stand side by side.
_STACKED = 4.5
#: Below this many inches a legend beside two panels would take too much of their width.
_LEGEND_BELOW = 6.0

#: Of text and marks in a paper's column, whose text is of ten points: titles of eight.
_SCALE = 0.8


class FigureWidth(NamedTuple):
    """How wide a figure is, and so how it is laid out."""

    inches: float = PAGE_WIDTH
    stacked: bool = False
    """Whether panels lie one below the other."""
    legend_below: bool = False
    """Whether the legend lies under the panels, not beside them; long labels take two lines."""
    scale: float = 1.0
    """Of text and marks."""

    @classmethod
    def of(cls, inches: float | None) -> "FigureWidth":
        """Return the layout for a width in inches; None for a page of its own.

        Raises:
          InputError: a width in which nothing can be read, or of no page.

        >>> [FigureWidth.of(inches).stacked for inches in (3.25, 5.5, 6.75, None)]
        [True, False, False, False]
        """
        if inches is None:
            return cls()
        if not 2.5 <= inches <= 20:
            raise InputError(f"a figure's width must be 2.5 to 20 inches, got {inches:g}")
        scale = 1.0 if inches >= 9 else _SCALE
        return cls(inches, inches < _STACKED, inches < _LEGEND_BELOW, scale)

    def sized(self, figure: "matplotlib.figure.Figure") -> "matplotlib.figure.Figure":
        """Return a drawn figure with its text and marks in this width's size."""
        from matplotlib.lines import Line2D
        from matplotlib.text import Text

        if self.scale == 1.0:
            return figure
        for axes in figure.axes:  # first: it makes the ticks' texts
            axes.tick_params(labelsize=10.0)
        for text in figure.findobj(Text):
            text.set_fontsize(float(text.get_fontsize()) * self.scale)
        for axes in figure.axes:
            axes.tick_params(labelsize=10.0 * self.scale)
        for line in figure.findobj(Line2D):
            line.set_markersize(line.get_markersize() * self.scale)
        return figure

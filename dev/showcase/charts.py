"""Three charts with invented figures, drawn with matplotlib; the answers contain the same numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#3c4149",
    "axes.labelsize": 11,
    "xtick.color": "#3c4149",
    "ytick.color": "#3c4149",
    "text.color": "#22262c",
    "grid.color": "#dfe2e6",
}


@dataclass(frozen=True)
class Chart:
    """The content of a chart; `series` maps a name to one value per category."""

    kind: str
    title: str
    subtitle: str
    x_label: str
    y_label: str
    categories: tuple[str, ...]
    series: dict[str, tuple[float, ...]]
    source: str
    unit: str  # written after each value
    colours: tuple[str, ...]
    paper: str
    plot: Callable[[Axes, "Chart"], None]


def text_of(chart: Chart) -> str:
    """Title, axes, then one line per series with all its values, then the source."""
    lines = [f"Title: {chart.title}", f"Subtitle: {chart.subtitle}", f"Chart type: {chart.kind}"]
    lines += [f"X axis: {chart.x_label}", f"Y axis: {chart.y_label}"]
    for name, values in chart.series.items():
        pairs = zip(chart.categories, values)
        lines.append(f"{name}: " + ", ".join(f"{category} {_label(chart, value)}" for category, value in pairs))
    return "\n".join([*lines, f"Source: {chart.source}"])


def draw_chart(chart: Chart) -> Image.Image:
    """The chart, 900 x 600, RGB."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignores the user's matplotlibrc
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(9, 6), dpi=100, facecolor=chart.paper)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((0.11, 0.15, 0.84, 0.63), facecolor=chart.paper)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_axisbelow(True)
        axes.set_xlabel(chart.x_label, labelpad=8)
        axes.set_ylabel(chart.y_label, labelpad=8)
        chart.plot(axes, chart)
        figure.text(0.035, 0.925, chart.title, fontsize=19, fontweight="bold")
        figure.text(0.035, 0.872, chart.subtitle, fontsize=12, color="#5b616a")
        figure.text(0.035, 0.025, f"Source: {chart.source}", fontsize=9, color="#7a808a")
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _label(chart: Chart, value: float) -> str:
    return f"{value:g}{chart.unit}"


def _plot_lines(axes: Axes, chart: Chart) -> None:
    """Draw two series as lines, with values above the first and below the second, and names at their ends."""
    for number, ((name, values), colour) in enumerate(zip(chart.series.items(), chart.colours)):
        axes.plot(
            chart.categories, values, color=colour, linewidth=2.6, marker="o", markersize=7, markeredgecolor="white"
        )
        below = number > 0
        for x, value in enumerate(values):
            shift = (0, -17) if below else (0, 9)
            axes.annotate(
                _label(chart, value),
                (x, value),
                xytext=shift,
                textcoords="offset points",
                ha="center",
                color=colour,
                fontsize=11,
                fontweight="bold",
            )
        axes.annotate(
            name,
            (len(values) - 1, values[-1]),
            xytext=(12, -4),
            textcoords="offset points",
            color=colour,
            fontsize=13,
            fontweight="bold",
        )
    upper, lower = chart.series.values()
    axes.fill_between(range(len(upper)), upper, lower, color=chart.colours[0], alpha=0.10)
    axes.grid(axis="y")
    axes.set_ylim(0, 32)
    axes.margins(x=0.09)


def _plot_bars(axes: Axes, chart: Chart) -> None:
    """Draw one series as horizontal bars, with the first category on top."""
    (values,) = chart.series.values()
    bars = axes.barh(chart.categories, values, color=chart.colours, height=0.68)
    axes.bar_label(bars, [_label(chart, value) for value in values], padding=6, fontweight="bold", fontsize=12)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlim(0, max(values) * 1.12)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=12)
    axes.set_position((0.19, 0.17, 0.76, 0.63))


def _plot_stack(axes: Axes, chart: Chart) -> None:
    """Draw stacked columns of the series from bottom to top, with each value in its part."""
    floor = [0.0] * len(chart.categories)
    for (name, values), colour in zip(chart.series.items(), chart.colours):
        bars = axes.bar(
            chart.categories,
            values,
            bottom=floor,
            color=colour,
            width=0.58,
            label=name,
            edgecolor=chart.paper,
            linewidth=1.5,
        )
        axes.bar_label(
            bars,
            [_label(chart, value) for value in values],
            label_type="center",
            color="white",
            fontweight="bold",
            fontsize=12,
        )
        floor = [below + value for below, value in zip(floor, values)]
    axes.set_ylim(0, 100)
    axes.tick_params(axis="x", labelsize=12)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=12, reverse=True)
    axes.set_position((0.11, 0.15, 0.70, 0.65))


CHARTS = (
    Chart(
        kind="line chart",
        title="Visitors to Saltby Lighthouse",
        subtitle="The lamp room opened in April 2024",
        x_label="Month",
        y_label="Visitors (thousands)",
        categories=("Jan", "Mar", "May", "Jul", "Sep", "Nov"),
        series={"2024": (5, 8, 17, 28, 20, 10), "2023": (4, 6, 11, 19, 13, 6)},
        source="Saltby Harbour Office",
        unit="",
        colours=("#d1495b", "#2e6f95"),
        paper="#ffffff",
        plot=_plot_lines,
    ),
    Chart(
        kind="horizontal bar chart",
        title="Trees planted in Westmere",
        subtitle="By district, spring 2025",
        x_label="Number of trees",
        y_label="District",
        categories=("Old Quay", "Millfield", "Castle Hill", "Riverside", "Northgate", "Docks"),
        series={"Trees": (412, 365, 298, 240, 187, 96)},
        source="Westmere Parks Survey",
        unit="",
        colours=("#1b4332", "#2d6a4f", "#40916c", "#52b788", "#74c69d", "#95d5b2"),
        paper="#fbf8ef",
        plot=_plot_bars,
    ),
    Chart(
        kind="stacked bar chart",
        title="Where Port Elwyn gets its power",
        subtitle="Share of electricity by source",
        x_label="Year",
        y_label="Share (%)",
        categories=("2010", "2015", "2020", "2025"),
        series={"Gas": (71, 58, 39, 18), "Wind": (22, 29, 38, 51), "Solar": (7, 13, 23, 31)},
        source="Elwyn Grid Report",
        unit="%",
        colours=("#5f6b7a", "#2a7de1", "#f2a541"),
        paper="#f4f6fb",
        plot=_plot_stack,
    ),
)

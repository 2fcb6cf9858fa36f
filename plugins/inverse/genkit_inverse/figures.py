"""Figures of comparisons on problems whose posterior is known."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0b6e99", "#d1812b", "#8a4f7d", "#4f8a3c", "#a63d40", "#5b6770", "#c2a83e", "#2d9d92")


def compare(scores: Mapping[str, np.ndarray], label: str) -> Figure:
    """Scores (instances,) of each method, a line an instance, a bar their median; on a logarithmic axis.

    What is more than a hundred times the median of all is drawn at the upper edge as a triangle.
    """
    figure = Figure(figsize=(1.6 + 1.25 * len(scores), 4.2), layout="constrained")
    axes = figure.subplots()
    table = np.stack(list(scores.values()))
    most = 100 * np.nanmedian(table)
    shown = np.minimum(table, most)
    axes.plot(shown, color="#9aa5ad", lw=0.6, alpha=0.6)
    for i, (row, true) in enumerate(zip(shown, table, strict=True)):
        for these, marker in ((true <= most, "o"), (true > most, "^")):
            axes.scatter(np.full(these.sum(), i), row[these], s=16, marker=marker, color=COLOURS[i % len(COLOURS)])
        axes.plot([i - 0.25, i + 0.25], [np.median(row)] * 2, color="black", lw=2, zorder=3)
    axes.set(yscale="log", ylabel=label, xticks=range(len(scores)))
    axes.set_xticklabels([name.replace("_", "\n") for name in scores])
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def scatter(samples: Mapping[str, np.ndarray]) -> Figure:
    """The first two coordinates of samples (n, d), one panel a method, all on the axes of the first."""
    first = next(iter(samples.values()))[:, :2]
    low, high = first.min(0), first.max(0)
    room = 0.3 * (high - low).max() + 2
    columns = min(len(samples), 5)
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(2.5 * columns, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (name, x) in zip(panels, samples.items(), strict=False):
        axes.scatter(*first.T, s=4, color="#c8ced2", lw=0)
        if name != next(iter(samples)):
            axes.scatter(*x[:, :2].T, s=4, color=COLOURS[0], lw=0)
        inside = ((x[:, :2] > low - room) & (x[:, :2] < high + room)).all(1).mean()
        axes.set(xlim=(low[0] - room, high[0] + room), ylim=(low[1] - room, high[1] + room))
        axes.set_title(name if inside == 1 else f"{name}\n({1 - inside:.0%} outside)", fontsize=9)
    for axes in panels[len(samples) :]:
        axes.set_visible(False)
    return figure


def traces(sizes: Mapping[str, np.ndarray], particles: int) -> Figure:
    """Effective sample sizes (T,) of each method by step."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    for i, (name, row) in enumerate(sizes.items()):
        axes.plot(row, color=COLOURS[i % len(COLOURS)], label=name, marker=".")
    axes.set(xlabel="step, from noise to data", ylabel=f"of {particles} particles", ylim=(0, particles * 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def bits(
    truth: np.ndarray, y: np.ndarray, seen: np.ndarray, samples: Mapping[str, np.ndarray], most: int = 4
) -> Figure:
    """The first `most` binary images (n, h, w), side by side; of each method samples (n, m, h, w), in a row."""
    titles = ("truth", "measured", "sample", "sample", "sample", "mean")
    n = min(len(truth), most)
    figure = Figure(figsize=(0.62 * len(titles) * n + 1.3, 0.72 * len(samples) + 0.4), layout="constrained")
    parts = figure.subfigures(1, n, wspace=0.04, squeeze=False)[0]
    for k, part in enumerate(parts):
        panels = part.subplots(len(samples), len(titles), squeeze=False)
        for row, (name, x) in zip(panels, samples.items(), strict=True):
            drawn = [x[k, j % x.shape[1]] for j in range(3)]
            measured = np.where(seen[k], y[k], 0.5)
            for axes, image in zip(row, [truth[k], measured, *drawn, x[k].mean(0)], strict=True):
                axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            if k == 0:
                row[0].set_ylabel(name.replace("_", "\n", 1), fontsize=8, rotation=0, ha="right", va="center")
        for axes, title in zip(panels[0], titles, strict=True):
            axes.set_title(title, fontsize=7)
    return figure

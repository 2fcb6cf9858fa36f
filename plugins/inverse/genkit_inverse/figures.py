"""Figures of comparisons on problems whose posterior is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, ScalarFormatter
from scipy import stats

COLOURS = ("#0b6e99", "#d1812b", "#8a4f7d", "#4f8a3c", "#a63d40", "#5b6770", "#c2a83e", "#2d9d92")
LOST = 100.0  # nats: an error that says no more than that the estimate is useless


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
    """The first two coordinates of samples (n, d), one panel a method, all on the axes of the first.

    A single coordinate (d = 1) is drawn against the place of the sample among all, from 0 to 1.
    """
    shown = {name: x[:, :2] if x.shape[1] > 1 else np.c_[x, np.linspace(0, 1, len(x))] for name, x in samples.items()}
    first = next(iter(shown.values()))
    low, high = first.min(0), first.max(0)
    room = 0.3 * (high - low).max() + 2
    columns = min(len(samples), 5)
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(2.5 * columns, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (name, x) in zip(panels, shown.items(), strict=False):
        axes.scatter(*first.T, s=4, color="#c8ced2", lw=0)
        if name != next(iter(samples)):
            axes.scatter(*x.T, s=4, color=COLOURS[0], lw=0)
        inside = ((x > low - room) & (x < high + room)).all(1).mean()
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


def picture(axes: Axes, image: np.ndarray, bounds: tuple[float, float] | None, map: str = "gray") -> None:
    """An image (h, w, c), one or three channels, without axes; scaled to its own values where there are no bounds."""
    low, high = bounds or (float(image.min()), float(image.max()))
    shown = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    axes.imshow(shown[..., 0] if image.shape[-1] == 1 else shown, cmap=map, vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def grid(groups: Mapping[str, np.ndarray], bounds: tuple[float, float] | None, columns: int = 16) -> Figure:
    """Images (n, h, w, c) of each group in rows of 16, with its name above."""
    rows = [-(-len(images) // columns) for images in groups.values()]
    figure = Figure(figsize=(0.55 * columns, 0.58 * sum(rows) + 0.35 * len(groups)), layout="constrained")
    parts = figure.subfigures(len(groups), 1, height_ratios=rows, squeeze=False)[:, 0]
    for part, high, (name, images) in zip(parts, rows, groups.items(), strict=True):
        part.suptitle(name, fontsize=9)
        panels = part.subplots(high, columns, squeeze=False).ravel()
        for axes, image in zip(panels, images, strict=False):
            picture(axes, image, bounds)
        for axes in panels[len(images) :]:
            axes.set_visible(False)
    return figure


def restorations(
    truth: np.ndarray,
    measurement: np.ndarray,
    samples: Mapping[str, np.ndarray],
    bounds: tuple[float, float] | None,
) -> Figure:
    """Images (k, h, w, c), and of each method samples (k, m, h, w, c): a row a method, one image beside the other."""
    titles = ("truth", "measured", "sample", "sample", "sample", "mean", "std")
    top = max(float(np.nanquantile(x.std(1), 0.999)) for x in samples.values())
    bounds = bounds or (float(truth.min()), float(truth.max()))
    figure = Figure(figsize=(0.78 * len(titles) * len(truth) + 1.3, 0.8 * len(samples) + 0.5), layout="constrained")
    widths = [1 + 1.3 / (0.78 * len(titles)), *[1] * (len(truth) - 1)]  # the names stand on the left
    parts = figure.subfigures(1, len(truth), wspace=0.04, squeeze=False, width_ratios=widths)[0]
    for k, part in enumerate(parts):
        panels = part.subplots(len(samples), len(titles), squeeze=False)
        for row, (name, x) in zip(panels, samples.items(), strict=True):
            drawn = [x[k, j % x.shape[1]] for j in range(3)]
            for axes, image in zip(row, [truth[k], measurement[k], *drawn, x[k].mean(0)], strict=False):
                picture(axes, image, bounds)
            picture(row[-1], x[k].std(0).mean(-1, keepdims=True), (0.0, top), "magma")
            if k == 0:
                row[0].set_ylabel(name.replace("_", "\n", 1), fontsize=8, rotation=0, ha="right", va="center")
        for axes, title in zip(panels[0], titles, strict=True):
            axes.set_title(title, fontsize=8)
    return figure


def histograms(ranks: Mapping[str, Mapping[str, np.ndarray]], members: int) -> Figure:
    """Ranks 0 to `members`, (n,), by operator (rows) and method (columns), with the band of 95 % of a flat one."""
    columns = list(next(iter(ranks.values())))
    figure = Figure(figsize=(1.65 * len(columns) + 0.6, 1.5 * len(ranks) + 0.4), layout="constrained")
    panels = figure.subplots(len(ranks), len(columns), squeeze=False, sharex=True)
    for row, (operator, of) in zip(panels, ranks.items(), strict=True):
        for axes, (name, rank) in zip(row, of.items(), strict=True):
            n = int(np.isfinite(rank).sum())
            counts = np.bincount(rank[np.isfinite(rank)].astype(int), minlength=members + 1)
            low, high = stats.binom.ppf([0.025, 0.975], n, 1 / (members + 1))
            axes.axhspan(low, high, color="#c8ced2", lw=0)
            axes.bar(np.arange(members + 1), counts, width=0.85, color=COLOURS[columns.index(name) % len(COLOURS)])
            axes.set(ylim=(0, max(counts.max(initial=0), high) * 1.08 + 1))
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=7)
        row[0].set_ylabel(operator.replace("_", "\n", 1), fontsize=8)
    for axes, name in zip(panels[0], columns, strict=True):
        axes.set_title(name.replace("_", "\n", 1), fontsize=8)
    figure.supxlabel("rank of the truth", fontsize=8)
    return figure


def lines(
    levels: np.ndarray,
    panels: Mapping[str, Mapping[str, np.ndarray]],
    along: str = "quantile",
    label: str = "residual over chi",
) -> Figure:
    """Ratios (len(levels),) of each method by level, a panel an operator, on a logarithmic axis about 1."""
    figure = Figure(figsize=(3.2 * len(panels) + 1.6, 3.2), layout="constrained")
    drawn = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (operator, of) in zip(drawn, panels.items(), strict=True):
        axes.axhline(1, color="black", lw=0.8)
        for i, (name, row) in enumerate(of.items()):
            marker = "o" if len(levels) == 1 else None  # a line of one point is not seen
            axes.plot(levels, row, color=COLOURS[i % len(COLOURS)], label=name, lw=1.4, marker=marker)
        axes.set(yscale="log", xlabel=along)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title(operator, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    drawn[0].set_ylabel(label)
    figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def violins(estimates: Mapping[str, np.ndarray], exact: float | None, lines: Mapping[str, float | None]) -> Figure:
    """Laws of estimates (runs,) named <twist>/<particles>, a panel a number of particles, on one axis.

    A line at the exact value; dashed ones in the colour of a twist at what its approximation says. Estimates that are
    not finite are left out.
    """
    names = list(dict.fromkeys(key.split("/")[0] for key in estimates))
    counts = list(dict.fromkeys(key.split("/")[1] for key in estimates))
    figure = Figure(figsize=(1.2 + (0.7 + 0.75 * len(names)) * len(counts), 3.8), layout="constrained")
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    for axes, n in zip(panels, counts, strict=True):
        for i, name in enumerate(names):
            colour, values = COLOURS[i % len(COLOURS)], estimates[f"{name}/{n}"]
            values = values[np.isfinite(values)]
            if len(values) > 1 and np.ptp(values) > 0:
                body = axes.violinplot(values, [i], widths=0.8, showextrema=False)["bodies"][0]  # type: ignore[index]
                body.set(facecolor=colour, alpha=0.35, edgecolor="none")
            x = i + 0.12 * np.random.default_rng(0).uniform(-1, 1, len(values))
            axes.scatter(x, values, s=5, color=colour, lw=0, alpha=0.7)
            if lines.get(name) is not None:
                axes.axhline(lines[name], color=colour, ls="--", lw=1)
        if exact is not None:
            axes.axhline(exact, color="black", lw=1, zorder=0)
        axes.set(xticks=range(len(names)), xlabel=f"{n} particles", xlim=(-0.6, len(names) - 0.4))
        axes.set_xticklabels(names)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("log Z")
    return figure


def sizes(traces: Mapping[str, np.ndarray]) -> Figure:
    """Effective sample sizes (variables,) named <twist>/<particles>, a panel a number, as fractions of it."""
    names = list(dict.fromkeys(key.split("/")[0] for key in traces))
    counts = list(dict.fromkeys(key.split("/")[1] for key in traces))
    figure = Figure(figsize=(3.2 * len(counts) + 1.4, 3.0), layout="constrained")
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    for axes, n in zip(panels, counts, strict=True):
        for i, name in enumerate(names):
            axes.plot(traces[f"{name}/{n}"] / int(n), color=COLOURS[i % len(COLOURS)], lw=1, label=name)
        axes.set(ylim=(0, 1.03), xlabel="variable, in their order")
        axes.set_title(f"{n} particles", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("ESS over particles")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def errors(panels: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Root mean square errors by evaluations; a panel a target, of each method pairs (evaluations, errors (runs,)).

    One above `LOST` is drawn there as a triangle.
    """
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns + 1.8, 3.0 * rows), layout="constrained")
    drawn = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, of) in zip(drawn, panels.items(), strict=False):
        for i, (method, points) in enumerate(of.items()):
            evals, rms = np.array([(e, np.sqrt(np.mean(z**2))) for e, z in points]).T
            colour, lost = COLOURS[i % len(COLOURS)], rms > LOST
            axes.plot(evals, np.minimum(rms, LOST), color=colour, lw=1.2)
            axes.plot(evals[~lost], rms[~lost], color=colour, marker="o", ms=4, ls="none")
            axes.plot(evals[lost], np.full(lost.sum(), LOST), color=colour, marker="^", ms=6, ls="none")
            axes.plot([], [], color=colour, marker="o", ms=4, lw=1.2, label=method)
        axes.set(xscale="log", yscale="log", xlabel="evaluations of the target")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter("{x:g}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.set_title(name, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in drawn[len(panels) :]:
        axes.set_visible(False)
    drawn[0].set_ylabel("error of log Z")
    figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    return figure

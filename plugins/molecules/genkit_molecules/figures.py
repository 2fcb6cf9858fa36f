"""Pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

COLORS = {"ardm": "#5d6b7a", "ardg": "#b5542b", "bsdg": "#0b6e99", "fadg": "#2b8a3e", "smc": "#1d2733"}


def by_particles(results: Mapping[str, float | None], particles: Sequence[int]) -> Figure:
    """Validity and total variation by the number of particles; exact values as lines."""
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    for axes, kind, label in zip(
        figure.subplots(1, 2), ("validity", "tv"), ("validity", "total variation"), strict=True
    ):
        for name, style, text in (
            ("ardm/1", "--", "ARDM"),
            ("ardg/1", "-.", "ARDG"),
            ("smc/inf", ":", "limit p W / Z"),
        ):
            axes.axhline(results[f"{kind}/{name}"], ls=style, color=COLORS[name[:-2].split("/")[0]], label=text, lw=1.6)
        for name in ("bsdg", "fadg"):
            y = np.array([results[f"{kind}/{name}/{n}"] for n in particles], float)
            axes.plot(particles, y, "o-", ms=5, color=COLORS[name], label=name.upper())
            if kind == "tv":
                floor = np.array([results[f"floor/{name}/{n}"] for n in particles], float)
                axes.plot(
                    particles, floor, ".-", lw=0.8, color=COLORS[name], alpha=0.45, label=f"noise, {name.upper()}"
                )
        axes.set(xscale="log", xlabel="particles a sample", ylabel=label)
        axes.set_xticks(particles, [str(n) for n in particles])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    axes.set_ylim(bottom=0)
    figure.axes[1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def traces(values: Mapping[str, np.ndarray], label: str) -> Figure:
    """Effective sample sizes by step, as a fraction of the particles; one particle has none."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    many = {name: y for name, y in values.items() if int(name.rpartition("/")[2]) > 1}
    shades = {name: 0 for name in ("bsdg", "fadg", "fadg_exact")}
    for name, y in many.items():
        method, _, n = name.partition("/")
        shades[method] += 1
        color = COLORS[method.removesuffix("_exact")]
        style = ":" if method.endswith("_exact") else "-"
        axes.plot(
            np.asarray(y) / int(n), style, color=color, alpha=1 / shades[method] ** 0.6, label=name, marker="o", ms=3
        )
    axes.set(xlabel=label, ylabel="ESS / particles", ylim=(0, 1.05))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def grid(smiles: Sequence[str | None], columns: int = 8, size: int = 150) -> Figure:
    """Molecules in rows, with their SMILES below; an empty cell where there is none."""
    from PIL import Image
    from rdkit import Chem
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    rows = -(-len(smiles) // columns)
    figure = Figure(figsize=(1.35 * columns, 1.5 * rows), layout="constrained")
    for axes, text in zip(np.ravel(figure.subplots(rows, columns, squeeze=False)), smiles, strict=False):
        axes.axis("off")
        mol = Chem.MolFromSmiles(text) if text else None
        if mol is None or text is None:
            axes.text(0.5, 0.5, "invalid", ha="center", va="center", color="#9aa5b1", fontsize=8)
            continue
        rdDepictor.Compute2DCoords(mol)
        drawing = rdMolDraw2D.MolDraw2DCairo(2 * size, 2 * size)
        drawing.DrawMolecule(mol)
        drawing.FinishDrawing()
        axes.imshow(Image.open(io.BytesIO(drawing.GetDrawingText())))
        axes.set_title(text if len(text) <= 18 else text[:16] + "…", fontsize=6.5, color="#5d6b7a", y=-0.08)
    return figure


def letters(data: Sequence[str], sample: Sequence[str], alphabet: str) -> Figure:
    """Frequencies of letters in data and sample, overall and at each place."""
    width = max(len(text) for text in (*data, *sample))
    tables = []
    for texts in (data, sample):
        rows = np.array([list(text.ljust(width)) for text in texts])
        tables.append(np.stack([(rows == letter).mean(0) for letter in alphabet]))
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    bars, places = figure.subplots(1, 2, width_ratios=(2, 1))
    at = np.arange(len(alphabet))
    for table, shift, label, color in zip(
        tables, (-0.2, 0.2), ("data", "samples"), ("#5d6b7a", "#2b8a3e"), strict=True
    ):
        bars.bar(at + shift, table.mean(1) / table.mean(1).sum(), 0.4, label=label, color=color)
    bars.set_xticks(at, list(alphabet))
    bars.set(xlabel="letter", ylabel="frequency")
    bars.legend(frameon=False)
    top = max(table.max() for table in tables) * 1.03
    places.plot([0, top], [0, top], color="#9aa5b1", lw=1)
    places.plot(tables[0].ravel(), tables[1].ravel(), ".", ms=3, color="#0b6e99", alpha=0.6)
    places.set(xlabel="frequency at a site, data", ylabel="samples", xlim=(0, top), ylim=(0, top))
    places.set_aspect("equal")
    for axes in (bars, places):
        axes.grid(alpha=0.25)
    return figure


def properties(values: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Histograms of properties by set, as densities on the range of all."""
    names = list(next(iter(values.values())))
    figure = Figure(figsize=(2.9 * len(names), 3.0), layout="constrained")
    for axes, name in zip(np.ravel(figure.subplots(1, len(names), squeeze=False)), names, strict=True):
        some = {label: one[name] for label, one in values.items() if len(one[name])}
        edges = np.histogram_bin_edges(np.concatenate([np.empty(0), *some.values()]), 40)
        for label, v in some.items():
            axes.hist(v, edges, density=True, histtype="step", lw=1.6, label=label)
        axes.set(xlabel=name, yticks=[])
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def densities(values: Mapping[str, np.ndarray], threshold: float, label: str) -> Figure:
    """A property by method: its median, a box of the middle half, a line from 5 to 95 percent."""
    some = {name: v for name, v in values.items() if len(v)}
    figure = Figure(figsize=(8.5, 0.6 + 0.42 * len(some)), layout="constrained")
    axes = figure.subplots()
    for y, (name, v) in enumerate(some.items()):
        color = "#5d6b7a" if name in ("data", "ardm/1") else "#2b8a3e"
        low, left, middle, right, high = np.quantile(v, (0.05, 0.25, 0.5, 0.75, 0.95))
        axes.hlines(y, low, high, color=color, lw=1.2)
        axes.barh(y, right - left, 0.6, left=left, facecolor=color, alpha=0.35, edgecolor=color)
        axes.vlines(middle, y - 0.3, y + 0.3, color=color, lw=2)
    axes.axvline(threshold, color="#b5542b", ls="--", lw=1.4)
    axes.set_yticks(range(len(some)), list(some))
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.25)
    return figure

"""Figures of reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from genkit_representations.prototypes import Collapse, groups

COLOURS = ("#0b6e99", "#d1812b", "#8a4f7d", "#4f8a3c", "#a63d40", "#5b6770", "#c2a83e", "#2d9d92")
GREY = "#9aa5ad"


def panels(count: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, list[Any]]:
    """A figure with `count` panels in rows of at most `columns`, each of a size in inches; the rest is blank."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).ravel())
    for one in axes[count:]:
        one.set_visible(False)
    return figure, axes[:count]


def plain(axes: Any) -> None:
    """No lines above and on the right."""
    axes.spines[["top", "right"]].set_visible(False)


def redundancy(reports: Mapping[str, Collapse]) -> Figure:
    """Share of the prototypes in groups of 1, 2, 3-4, 5-8, ... members, a panel a method."""
    edges = [1, 2, 3, 5, 9, 17, 33, 65, 129, 2**31]
    labels = ["1", "2", "3-4", "5-8", "9-16", "17-32", "33-64", "65-128", "more"]
    figure, axes = panels(len(reports), 4, (3.0, 2.4), sharey=True)
    for one, (name, report) in zip(axes, reports.items(), strict=True):
        share = np.zeros(len(labels))
        for size, count in report.redundancy.items():
            share[np.searchsorted(edges, size, "right") - 1] += size * count / report.prototypes
        one.bar(range(len(labels)), share, color=[COLOURS[0]] + [COLOURS[1]] * (len(labels) - 1), width=0.8)
        one.set_title(f"{name}: {report.unique} of {report.prototypes}", fontsize=9)
        one.set_xticks(range(len(labels)), labels, rotation=60, fontsize=7)
        one.set_ylim(0, 1.02)
        plain(one)
    for one in axes[:: min(4, len(axes))]:
        one.set_ylabel("share of prototypes", fontsize=8)
    figure.supxlabel("members of a prototype's group", fontsize=9)
    return figure


def similarity(prototypes: Mapping[str, np.ndarray], eps: float, most: int = 512) -> Figure:
    """Matrices of cosine similarity, prototypes in the order of their groups; at most `most` of them."""
    figure, axes = panels(len(prototypes), 4, (2.7, 2.8))
    for one, (name, w) in zip(axes, prototypes.items(), strict=True):
        u = w[:: max(1, len(w) // most)]
        u = u / np.linalg.norm(u, axis=1, keepdims=True)
        group = groups(u, eps)
        order = np.lexsort((group, -np.bincount(group)[group]))
        image = one.imshow(u[order] @ u[order].T, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        one.set_title(name, fontsize=9)
        one.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=axes, shrink=0.7, label="cosine")
    return figure


def sphere(encoded: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Prototypes on the plane of their two leading principal directions, sized by their use."""
    figure, axes = panels(len(encoded), 4, (2.7, 2.8), sharex=True, sharey=True)
    for one, (name, arrays) in zip(axes, encoded.items(), strict=True):
        w = arrays["prototypes"] / np.linalg.norm(arrays["prototypes"], axis=1, keepdims=True)
        direction = np.linalg.svd(w - w.mean(0), full_matrices=False)[2][:2]
        use = arrays["probabilities"].mean(0)
        angle = np.linspace(0, 2 * np.pi, 200)
        one.plot(np.cos(angle), np.sin(angle), color=GREY, lw=0.6)
        one.scatter(*(w @ direction.T).T, s=2 + 1500 * use, color=COLOURS[0], alpha=0.35, lw=0)
        one.set_title(name, fontsize=9)
        one.set(aspect="equal", xticks=[], yticks=[], xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
        one.spines[:].set_visible(False)
    return figure


def usage(probabilities: Mapping[str, np.ndarray]) -> Figure:
    """Mean probability of each prototype, largest first, on a logarithmic axis."""
    figure, (axes,) = panels(1, 1, (7.0, 3.6))
    for i, (name, p) in enumerate(probabilities.items()):
        mean = np.sort(p.mean(0))[::-1]
        colour = COLOURS[(i // 2 if len(probabilities) > 4 else i) % len(COLOURS)]
        axes.plot(np.arange(1, len(mean) + 1), mean, color=colour, ls="--" if name.endswith("_kp") else "-", label=name)
        axes.axhline(1 / len(mean), color="black", lw=0.8, ls=":")
    axes.set(yscale="log", xlabel="prototypes by rank", ylabel="mean probability", ylim=(1e-7, 1))
    axes.legend(frameon=False, fontsize=8, ncols=2)
    plain(axes)
    return figure

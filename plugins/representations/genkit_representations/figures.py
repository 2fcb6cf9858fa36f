"""Figures of reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from genkit_representations.density import auroc, curve
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


def roc(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """ROC curves of scores (known, unknown), the rate of unknown ones that pass on a logarithmic axis."""
    figure, (axes,) = panels(1, 1, (6.4, 4.6))
    for i, (name, (known, unknown)) in enumerate(pairs.items()):
        x, y = curve(known, unknown)
        style = ("-", "--", ":")[i // len(COLOURS)]
        axes.step(np.maximum(x, 0.5 / len(unknown)), y, color=COLOURS[i % len(COLOURS)], ls=style, lw=1.4,
                  label=f"{name} {auroc(known, unknown):.3f}")  # fmt: skip
    axes.set(xscale="log", xlabel="unknown that pass", ylabel="known that pass", xlim=(1e-3, 1), ylim=(0, 1.01))
    axes.axhline(0.95, color=GREY, lw=0.8)
    axes.legend(frameon=False, fontsize=8, title="AUROC", loc="lower right")
    plain(axes)
    return figure


def scores(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Histograms of scores (known, unknown), a panel a method; what is far below is gathered at the left edge."""
    figure, axes = panels(len(pairs), 4, (3.0, 2.2))
    for one, (name, (known, unknown)) in zip(axes, pairs.items(), strict=True):
        middle, spread = np.median(known), np.subtract(*np.quantile(known, [0.75, 0.25])) + 1e-12
        low = max(min(known.min(), unknown.min()), middle - 12 * spread)
        bins = np.linspace(low, max(known.max(), unknown.max()), 40)
        for part, colour, label in ((known, COLOURS[0], "known"), (unknown, COLOURS[1], "unknown")):
            one.hist(np.maximum(part, low), bins, density=True, alpha=0.6, color=colour, label=label)
        one.axvline(np.sort(known)[::-1][max(int(0.95 * len(known)) - 1, 0)], color="black", lw=0.8)
        one.set_title(name, fontsize=9)
        one.set_yticks([])
        one.tick_params(labelsize=7)
        plain(one)
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def against(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Points of (true, found) with the diagonal, a colour a set."""
    figure, (axes,) = panels(1, 1, (5.2, 4.6))
    for i, (name, (true, found)) in enumerate(pairs.items()):
        axes.scatter(true, found, s=4, color=COLOURS[i], alpha=0.5, lw=0, label=name)
    known = next(iter(pairs.values()))[0]
    low, high = min(true.min() for true, _ in pairs.values()), known.max()
    axes.plot([low, high], [low, high], color="black", lw=0.8)
    axes.set(xlabel="true log density", ylabel="learned", xlim=(low, high + 0.5), ylim=(low, high + 0.5))
    axes.legend(frameon=False, fontsize=8, markerscale=2)
    plain(axes)
    return figure


def views(make: Any, images: np.ndarray) -> Figure:
    """Images (n, h, w, c) in the left column, their large and small views beside them."""
    import jax

    large, small = make(jax.random.key(0), images)
    rows = [[image, *(v[i] for v in large), *([] if small is None else [v[i] for v in small])]
            for i, image in enumerate(images)]  # fmt: skip
    figure, axes = panels(len(rows) * len(rows[0]), len(rows[0]), (0.9, 0.9))
    for one, image in zip(axes, [image for row in rows for image in row], strict=True):
        image = np.asarray(image)
        one.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
        one.set(xticks=[], yticks=[])
        one.spines[:].set_visible(False)
    return figure


def curves(found: Mapping[str, Any]) -> Figure:
    """Test error and modes of linear networks over time, a panel a case (`Modes`)."""
    figure, axes = panels(len(found), 4, (3.2, 2.7))
    for one, (name, modes) in zip(axes, found.items(), strict=True):
        extrema = modes.extrema()
        last = 2 * max([e.t for e in extrema] + [1.0])
        t = np.geomspace(0.02, max(last, 10.0), 600)
        z = modes.z(t) / modes.end
        for i, colour in zip(range(z.shape[1]), COLOURS, strict=False):
            one.plot(t, z[:, i], color=colour, lw=1, label=f"mode {i + 1}")
            one.axhline(modes.target[i] / modes.end[i], color=colour, lw=0.7, ls="--")
        error = modes.error(t)
        scale = float(modes.error(0.0))
        one.plot(t, error / scale, color="black", lw=1.8, label="test error")
        for e in extrema:
            one.plot(e.t, e.error / scale, "v" if e.kind == "min" else "^", color=COLOURS[4], ms=6)
        one.set_title(name, fontsize=9)
        one.set(xscale="log", ylim=(-0.03, 1.12))
        one.tick_params(labelsize=7)
        plain(one)
    axes[0].legend(frameon=False, fontsize=7)
    figure.supxlabel("time", fontsize=9)
    figure.supylabel("over the end, over the first error", fontsize=9)
    return figure


def descent(modes: Any, descents: Mapping[str, Any], randoms: Any) -> Figure:
    """Distance of gradient descents (t, z) from the closed form, and errors of those from random starts."""
    figure, (left, right) = panels(2, 2, (4.6, 3.4))
    for i, (name, (t, z)) in enumerate(descents.items()):
        away = np.abs(z - modes.z(t)).max(1)[1:]
        left.plot(t[1:], np.maximum(away, 1e-12), color=COLOURS[i % len(COLOURS)], label=name, lw=1.2)
    left.set(yscale="log", xlabel="time", ylabel="largest distance of a mode", ylim=(1e-8, 3))
    left.legend(frameon=False, fontsize=8)
    for t, z in randoms:
        right.plot(t, modes.error_of(z), color=COLOURS[0], lw=1, alpha=0.7)
    t = np.linspace(0, randoms[0][0][-1], 400)
    right.plot(t, modes.error(t), color="black", lw=1.8, label="along the modes, z(0) = .001")
    right.plot([], [], color=COLOURS[0], label="random starts")
    right.set(xlabel="time", ylabel="test error")
    right.legend(frameon=False, fontsize=8)
    for one in (left, right):
        plain(one)
    return figure


def phases(lam: np.ndarray, s: np.ndarray, found: Mapping[str, np.ndarray]) -> Figure:
    """Numbers of extrema over variances (columns) and singular values (rows), a panel a model."""
    figure, axes = panels(len(found), 3, (3.2, 3.0), sharey=True)
    for one, (name, counts) in zip(axes, found.items(), strict=True):
        image = one.pcolormesh(lam, s, counts, cmap="viridis", vmin=0, vmax=3, shading="nearest")
        one.axvline(1, color="white", lw=0.8, ls="--")
        one.axhline(2, color="white", lw=0.8, ls="--")
        one.set(xscale="log", yscale="log", xlabel="input variance of mode 2")
        one.set_title(name, fontsize=9)
    axes[0].set_ylabel("singular value of mode 2")
    figure.colorbar(image, ax=axes, ticks=range(4), label="extrema of the test error")
    return figure

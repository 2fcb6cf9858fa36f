"""Pictures of latent spaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from genkit.errors import UsageError
from genkit_latents.charts import Chart
from genkit_latents.geometry import between, log_volume
from genkit_latents.geometry.manifolds import Sphere
from genkit_latents.models import VAE, agreement

GRID = 60  # cells of the background
RINGS = 16  # balls that are shown
TURN = np.linspace(0, 2 * np.pi, 49)
DIRECTIONS = np.stack([np.cos(TURN), np.sin(TURN)], 1).astype(np.float32)


def latent_space(model: VAE, codes: Any, labels: np.ndarray | None = None, curves: Any = (), marks: Any = ()) -> Figure:
    """Codes (n, *shape) of a model with two latent dimensions, own curves (m, points, *shape) and points (k, *shape).

    In the background the magnification of the decoder, the darker the larger, and small balls of the chosen metric
    (black) and of the decoder's (red).
    """
    if model.latent.dim != 2:
        raise UsageError(f"the latent space has {model.latent.dim} dimensions; a picture needs 2")
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    _latent(figure.subplots(), model, np.asarray(codes), labels, np.asarray(curves), np.asarray(marks))
    return figure


def latent_panels(models: Mapping[str, VAE], codes: Mapping[str, np.ndarray], labels: np.ndarray | None) -> Figure:
    """One panel a model: codes (n, *shape) by label, geodesics, balls of both metrics, magnification."""
    columns = 2 if len(models) == 4 else min(3, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(4.3 * columns, 4.3 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, (name, model) in zip(panels, models.items(), strict=False):
        _latent(axes, model, codes[name], labels, _geodesics(model, codes[name], labels), np.empty(0))
        axes.set_title(name)
    for axes in panels[len(models) :]:
        axes.remove()
    return figure


def _latent(
    axes: Any, model: VAE, codes: np.ndarray, labels: np.ndarray | None, curves: np.ndarray, marks: np.ndarray
) -> None:
    manifold = model.latent
    mean = manifold.project(jnp.asarray(codes).mean(0)) if isinstance(manifold, Sphere) else manifold.origin
    chart = Chart(manifold, mean)
    on_paper = jax.jit(jax.vmap(chart.to_plane))
    flat = np.asarray(on_paper(codes))
    low, high = _window(chart, flat)

    side = [np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*side), -1).reshape(-1, 2).astype(np.float32)
    border = chart.radius()
    on_map = np.ones(len(grid), bool) if border is None else np.linalg.norm(grid, axis=1) < 0.98 * border
    level = np.full(len(grid), np.nan)
    level[on_map] = np.asarray(_magnification(model, chart, grid[on_map]))
    shown = level[np.isfinite(level)]
    shade = axes.pcolormesh(
        *side, level.reshape(GRID, GRID), cmap="Greys", shading="nearest", alpha=0.55, rasterized=True,
        vmin=np.quantile(shown, 0.02), vmax=np.quantile(shown, 0.98),
    )  # fmt: skip
    colours = {"color": "#5d6b7a"} if labels is None else {"c": labels % 10, "cmap": "tab10"}
    dots = axes.scatter(*flat.T, s=5, lw=0, alpha=0.8, **colours)
    if labels is not None:
        axes.legend(*dots.legend_elements(num=None), fontsize=6, markerscale=0.5, loc="upper right", title="label")
    for curve in curves:
        axes.plot(*np.asarray(on_paper(curve)).T, color="#0b6e99", lw=1.1)
    if len(marks):
        axes.scatter(*np.asarray(on_paper(marks)).T, s=60, marker="x", color="black", zorder=3)
    chosen, own = _rings(model, chart, _spread(flat, codes))
    for ring, other in zip(chosen, own, strict=True):
        axes.plot(*ring.T, color="black", lw=1.0)
        axes.plot(*other.T, color="#c0392b", lw=1.2)
    if border is not None:
        axes.plot(*(border * DIRECTIONS.T), color="#5d6b7a", lw=0.8)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
    axes.figure.colorbar(shade, ax=axes, shrink=0.6, label="log magnification")


def _window(chart: Chart, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A square that holds nearly all codes, and no more than the map."""
    low, high = np.quantile(flat, 0.005, 0), np.quantile(flat, 0.995, 0)
    middle, half = (low + high) / 2, 0.58 * (high - low).max()
    low, high = middle - half, middle + half
    if (border := chart.radius()) is not None:
        low, high = np.maximum(low, -1.02 * border), np.minimum(high, 1.02 * border)
    return low, high


@jax.jit
def _magnification(model: VAE, chart: Chart, w: Any) -> Any:
    """log of the area in data space over the area on paper."""

    def one(w: Any) -> Any:
        j = jax.jacfwd(lambda w: model.eta(chart.from_plane(w)))(w)
        information = model.family.information(model.eta(chart.from_plane(w)))
        return 0.5 * jnp.linalg.slogdet(j.T @ (information[:, None] * j))[1]

    return jax.vmap(one)(w)


def _spread(flat: np.ndarray, codes: np.ndarray) -> Any:
    """Codes that are far from one another on paper."""
    chosen = [int(np.linalg.norm(flat - np.median(flat, 0), axis=1).argmin())]
    inner = np.linalg.norm(flat - np.median(flat, 0), axis=1)
    allowed = np.flatnonzero(inner <= np.quantile(inner, 0.97))
    for _ in range(min(RINGS, len(allowed)) - 1):
        gap = np.linalg.norm(flat[allowed, None] - flat[chosen][None], axis=-1).min(1)
        chosen.append(int(allowed[gap.argmax()]))
    return jnp.asarray(codes[chosen])


def _rings(model: VAE, chart: Chart, centres: Any) -> tuple[np.ndarray, np.ndarray]:
    """Small balls of the chosen metric and of the decoder's, (n, 49, 2) each, with the decoder's scale taken out."""

    @jax.jit
    def rings(model: VAE, chart: Chart, centres: Any) -> Any:
        chosen, a = model.chosen, model.relative_metrics(centres)
        scale, radius = agreement(a).scale, _radius(model, centres)

        def around(z: Any, directions: Any) -> Any:
            return jax.vmap(lambda u: chart.to_plane(chosen.exp(z, chosen.vector(z, radius * u))))(directions)

        def one(z: Any, a: Any) -> Any:
            values, vectors = jnp.linalg.eigh(a / scale)
            inverse_root = (vectors / jnp.sqrt(jnp.maximum(values, 1e-2))) @ vectors.T
            return around(z, jnp.asarray(DIRECTIONS)), around(z, jnp.asarray(DIRECTIONS) @ inverse_root)

        return jax.vmap(one)(centres, a)

    return tuple(np.asarray(ring) for ring in rings(model, chart, centres))  # type: ignore[return-value]


def _radius(model: VAE, centres: Any) -> Any:
    """A third of the least distance between centres, by the median."""
    latent = model.latent
    gaps = jax.vmap(lambda z: jax.vmap(lambda y: latent.dist(z, y))(centres))(centres)
    nearest = jnp.where(gaps > 1e-6, gaps, jnp.inf).min(1)
    return 0.33 * jnp.median(nearest)


def _geodesics(model: VAE, codes: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Curves (n, 33, *shape) from the code in the middle of all to those in the middles of the classes."""
    flat = codes.reshape(len(codes), -1)
    labels = np.arange(len(codes)) * 6 // len(codes) if labels is None else labels

    def middle(own: np.ndarray) -> int:
        return int(own[np.linalg.norm(flat[own] - np.median(flat[own], 0), axis=1).argmin()])

    ends = [middle(np.flatnonzero(labels == c)) for c in np.unique(labels)[:10]]
    start = np.full(len(ends), middle(np.arange(len(codes))))
    return np.asarray(between(model.chosen, jnp.asarray(codes[start]), jnp.asarray(codes[ends])).curve)


def distance_panels(latent: Mapping[str, np.ndarray], true: np.ndarray) -> Figure:
    """Latent against true distances, one panel a model."""
    figure = Figure(figsize=(2.9 * len(latent), 3.1), layout="constrained")
    upper = np.triu_indices(len(true), 1)
    x = true[upper] / true[upper].mean()
    jitter = 0.02 * np.random.default_rng(0).standard_normal(len(x)) if len(np.unique(x)) < 100 else 0
    for axes, (name, d) in zip(np.ravel(figure.subplots(1, len(latent), squeeze=False)), latent.items(), strict=True):
        y = d[upper] / d[upper].mean()
        axes.scatter(x + jitter, y, s=4, lw=0, alpha=0.5, color="#0b6e99", rasterized=True)
        end = max(x.max(), np.quantile(y, 0.999))
        axes.plot([0, end], [0, end], color="black", lw=0.8)
        axes.set(xlim=(0, end), ylim=(0, end), aspect="equal", title=name, xlabel="true distance")
    figure.axes[0].set_ylabel("latent distance")
    return figure


def images(draws: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> Figure:
    """Up to 36 rows as images, one block a model."""
    figure = Figure(figsize=(2.6 * len(draws), 2.9), layout="constrained")
    for axes, (name, x) in zip(np.ravel(figure.subplots(1, len(draws), squeeze=False)), draws.items(), strict=True):
        side = min(6, int(len(x) ** 0.5))
        tiles = x[: side * side].reshape(side, side, *shape[:2], -1)
        tiles = np.pad(tiles, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)], constant_values=0.5)  # a grey frame
        block = tiles.transpose(0, 2, 1, 3, 4).reshape(side * (shape[0] + 2), side * (shape[1] + 2), -1)
        axes.imshow(np.clip(block, 0, 1), cmap="Greys", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], title=name)
    return figure


def globes(log_density: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray], events: np.ndarray) -> Figure:
    """Maps of the globe, two a model: log density (2 r^2,) on the grid of `globe` with events, and draws (n, 3)."""

    def angles(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # longitude and latitude as the data had them
        return np.arctan2(-x[:, 1], -x[:, 0]), np.arccos(np.clip(x[:, 2], -1, 1)) - np.pi / 2

    figure = Figure(figsize=(5.2 * len(drawn), 5.4), layout="constrained")
    panels = figure.subplots(2, len(drawn), squeeze=False, subplot_kw={"projection": "mollweide"})
    for (above, below), name in zip(panels.T, drawn, strict=True):
        r = int((len(log_density[name]) / 2) ** 0.5)
        level = log_density[name].reshape(r, 2 * r)
        edges = np.linspace(-np.pi, np.pi, 2 * r + 1), np.linspace(-np.pi / 2, np.pi / 2, r + 1)
        shown = above.pcolormesh(*edges, level, cmap="Blues", vmin=-6, vmax=np.quantile(level, 0.995), rasterized=True)
        above.scatter(*angles(events), s=2, lw=0, color="#c0392b")
        above.set_title(name)
        below.scatter(*angles(drawn[name]), s=2, lw=0, color="#0b6e99")
        figure.colorbar(shown, ax=above, shrink=0.6, label="log density")
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
    return figure


def curve_panels(metrics: Mapping[str, Any], model: VAE, arrays: Mapping[str, np.ndarray], data: np.ndarray) -> Figure:
    """Magnification of each metric with curves of `arrays`; the last metric's curves decoded among the data (n, 3)."""
    codes, line = arrays["codes"], arrays["curves/straight"]
    figure = Figure(figsize=(4.6 * (len(metrics) + 1), 4.3), layout="constrained")
    panels = np.ravel(figure.subplots(1, len(metrics) + 1))
    low, high = codes.min(0) - 0.15 * np.ptp(codes, 0), codes.max(0) + 0.15 * np.ptp(codes, 0)
    side = [np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)]
    grid = jnp.asarray(np.stack(np.meshgrid(*side), -1).reshape(-1, 2), jnp.float32)
    for axes, (name, metric) in zip(panels, metrics.items(), strict=False):
        both = jnp.concatenate([grid, jnp.asarray(codes[:500], jnp.float32)])
        level = np.asarray(jax.jit(jax.vmap(lambda z, m=metric: log_volume(m, z)))(both)) / np.log(10)
        level, own = level[: GRID**2], np.median(level[GRID**2 :])
        shown = axes.pcolormesh(
            *side, level.reshape(GRID, GRID), cmap="Greys", shading="nearest", rasterized=True,
            vmin=max(level.min(), own - 1), vmax=min(level.max(), own + 2),  # far from codes it may grow without limit
        )  # fmt: skip
        axes.scatter(*codes.T, s=3, lw=0, color="#0b6e99", alpha=0.6)
        for one, other in zip(line[::4], arrays[f"curves/{name}"][::4], strict=True):
            axes.plot(*one.T, color="black", lw=0.8, ls="--")
            axes.plot(*other.T, color="#c0392b", lw=1.3)
        figure.colorbar(shown, ax=axes, shrink=0.7, label="log10 magnification")
        axes.set(title=f"metric {name}", xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
    axes = panels[-1]
    axes.scatter(*data[:, :2].T, s=5, lw=0, color="#0b6e99", alpha=0.5)
    for curves, style in (
        (line, {"color": "black", "lw": 0.8, "ls": "--"}),
        (arrays[f"curves/{name}"], {"color": "#c0392b"}),
    ):
        for curve in curves[::4]:
            axes.plot(*np.asarray(model.decode(jnp.asarray(curve)))[:, :2].T, **style)
    axes.set(title="decoded", aspect="equal", xticks=[], yticks=[])
    return figure


def density_panels(models: Mapping[str, tuple[np.ndarray, np.ndarray]], grid: np.ndarray, data: np.ndarray) -> Figure:
    """Contours of densities of the plane, one panel a model: (log density (r^2,), means (k, 2)) on a grid (r^2, 2)."""
    figure = Figure(figsize=(3.6 * len(models), 2.9), layout="constrained")
    r = round(len(grid) ** 0.5)
    x, y = grid[:, 0].reshape(r, r), grid[:, 1].reshape(r, r)
    for axes, (name, (level, means)) in zip(
        np.ravel(figure.subplots(1, len(models), squeeze=False)), models.items(), strict=True
    ):
        p = np.exp(level).reshape(r, r)
        axes.contourf(x, y, p / np.nanmax(p), levels=np.linspace(0.03, 1, 9), cmap="Blues", extend="max")
        axes.scatter(*data.T, s=3, lw=0, color="#5d6b7a")
        axes.scatter(*means.T, s=40, marker="x", color="#c0392b")
        axes.set(title=name, aspect="equal", xticks=[], yticks=[])
    return figure


def draws_panels(draws: Mapping[str, tuple[np.ndarray, np.ndarray | None]], half: float) -> Figure:
    """Densities of draws of the plane (n, 2) in the square |x|, |y| <= half, with marks (k, 2), one panel a model."""
    figure = Figure(figsize=(2.8 * len(draws), 3.3), layout="constrained")
    box = [[-half, half]] * 2
    for axes, (name, (x, modes)) in zip(figure.subplots(1, len(draws), squeeze=False)[0], draws.items(), strict=True):
        level = np.histogram2d(*x.T, bins=80, range=box)[0]
        axes.imshow(np.log1p(level.T), origin="lower", extent=(-half, half, -half, half), cmap="Blues")
        if modes is not None:
            axes.scatter(*modes.T, s=18, marker="x", color="#c0392b", label="decoded means")
            axes.legend(fontsize=7, loc="upper right")
        axes.set(title=name, xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[])
    return figure


def prior_paths(priors: Mapping[str, Mapping[str, np.ndarray]], codes: Mapping[str, np.ndarray]) -> Figure:
    """Learned priors during their training, one panel a model, with posterior means (n, d); two dimensions of d.

    `means` (T, K, d) are paths, the last with an ellipse of one standard deviation, `stds` (K, d), and the more opaque
    the greater its share of `weights` (K,).
    """
    figure = Figure(figsize=(4.2 * len(priors), 4.2), layout="constrained")
    for axes, (name, prior) in zip(figure.subplots(1, len(priors), squeeze=False)[0], priors.items(), strict=True):
        axes.scatter(*codes[name].T[:2], s=2, color="#b9c4cf", lw=0)
        strength = prior["weights"] / prior["weights"].max()
        for path, std, one in zip(prior["means"].transpose(1, 0, 2), prior["stds"], strength, strict=True):
            axes.plot(*path.T[:2], color="#0b6e99", lw=0.9, alpha=0.2 + 0.8 * one)
            axes.plot(*(path[-1, :2, None] + std[:2, None] * DIRECTIONS.T), color="#c0392b", lw=1.0, alpha=one)
        axes.scatter(*prior["means"][0].T[:2], s=12, color="#0b6e99", label="first")
        axes.scatter(*prior["means"][-1].T[:2], s=16, marker="x", color="#c0392b", label="last")
        axes.legend(fontsize=7, loc="upper right")
        axes.set(title=name, xticks=[], yticks=[])
    return figure

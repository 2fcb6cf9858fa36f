"""Autoencoders side by side: codes and distances, scores, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Best, Run
from genkit.files import read_arrays, write_arrays
from genkit_latents.data import Points
from genkit_latents.geometry import Numeric
from genkit_latents.geometry.geodesics import Energy
from genkit_latents.models import NAMED, VAE, agreement, elbo, importance_bound, is_space
from genkit_latents.stats import distances, distortion, knn_accuracy

COARSE = Energy(8, even=0.5)  # for tables of distances, where 1e-3 is enough
CHUNK = 64  # test rows at a time
Models = Mapping[str, VAE]


def check(study: Any) -> None:
    """Refuse options of a study of autoencoders that mean nothing."""
    for name in ("samples", "neighbours"):
        if getattr(study, name) < 1:
            raise UsageError(f"{name}={getattr(study, name)} is too few; expected at least 1")
    if study.points <= study.neighbours:
        raise UsageError(f"points={study.points}, neighbours={study.neighbours}: expected more points than neighbours")
    described = [name for name in study.models if name not in NAMED]
    for name in described:
        if not is_space(name):
            raise UsageError(f"unknown model {name!r}; known: {', '.join(NAMED)}, and spaces such as p2 or h2,s2")
    if len(described) > 1:
        raise UsageError(f"models: {' and '.join(described)} are both spaces; take one, the others by name")
    drawn = [name for name in study.models if NAMED.get(name, ("", True))[1]]
    if drawn and getattr(study.model, "weight", 1) <= 0:
        raise UsageError(f"weight=0 draws no decoder to the metric of {drawn[0]}; expected more, or models without one")


def plan(recipes: Mapping[str, Any]) -> dict[str, str]:
    """Sizes."""
    first = next(iter(recipes.values()))
    return {"models": ", ".join(recipes), "training": f"{first.steps} steps of {first.batch} rows each"}


def measure(run: Run, models: Models, data: Points, points: int) -> None:
    """Codes of the test rows, distances between `points` of them, and draws of every model, as ``codes.npz``."""
    few, many, found = data.test[:points], data.train[: 2 * points], {}
    for name, model in models.items():
        found[f"codes/{name}"] = np.asarray(model.encode(data.test)[0])
        latent = model.chosen
        if isinstance(latent, Numeric):
            latent = replace(latent, solver=COARSE)
        codes, others = (model.encode(x)[0] for x in (few, many))
        found[f"distances/{name}"] = distances(latent, codes, codes)
        found[f"to_train/{name}"] = distances(latent, codes, others)
        found[f"draws/{name}"] = np.asarray(model.decode(model.codes(run.key("draws"), 64)))
    write_arrays(run.folder / "codes.npz", found)


def scores(run: Run, models: Models, data: Points, samples: int, neighbours: int) -> dict[str, float | None]:
    """Scores of every model on the test rows, those that need labels or distances where there are such."""
    learned = getattr(run.config.model, "learn_curvature", False)
    arrays, results = read_arrays(run.folder / "codes.npz"), {}
    for name, model in models.items():
        bound, fit, tight = _bounds(run, model, data.test, samples)
        results |= {f"elbo/{name}": bound, f"iwae/{name}": tight, f"reconstruction/{name}": fit}
        found = _agreement(model, jnp.asarray(arrays[f"codes/{name}"]))
        results[f"agreement/{name}"] = float(found.difference)
        results[f"condition/{name}"] = float(found.condition)
        results[f"volume/{name}"] = float(found.volume)
        drawn = model.codes(run.key("clamped"), 4096)
        results[f"clamped/{name}"] = float(model.latent.clamped(drawn).mean())
        latent = arrays[f"distances/{name}"]
        if data.distances is not None:
            score = distortion(latent, data.distances[: len(latent), : len(latent)])
            results |= {
                f"distortion/{name}": score.mean, f"worst/{name}": score.worst,
                f"pearson/{name}": score.pearson, f"spearman/{name}": score.spearman,
            }  # fmt: skip
        if data.train_labels is not None and data.test_labels is not None:
            across = arrays[f"to_train/{name}"]
            labels = data.train_labels[: across.shape[1]], data.test_labels[: len(across)]
            results[f"knn/{name}"] = knn_accuracy(across, *labels, k=neighbours)
        if learned:
            results[f"curvature/{name}"] = float(getattr(model.latent, "kappa", np.nan))
    return results


def _bounds(run: Run, model: VAE, x: np.ndarray, samples: int) -> tuple[float, float, float]:
    """Means of the ELBO, of E log p(x | z) and of the importance-weighted bound."""

    @jax.jit
    def some(model: VAE, key: Any, x: Any) -> Any:
        value, fit = elbo(model, key, x, samples)
        return jnp.stack([value, fit, importance_bound(model, key, x, samples)], 1)

    rows = []
    for i in range(0, len(x), CHUNK):
        part = x[max(0, min(i, len(x) - CHUNK)) :][:CHUNK]  # one shape, so one program
        values = np.asarray(some(model, jax.random.fold_in(run.key("bounds"), i), part))
        rows.append(values[-(min(len(x), i + CHUNK) - i) :])
    return tuple(float(v) for v in np.concatenate(rows).mean(0))  # type: ignore[return-value]


@jax.jit
def _agreement(model: VAE, codes: Any) -> Any:
    return agreement(model.relative_metrics(codes))


def show(run: Run, models: Models, data: Points, points: int) -> None:
    """A table of the scores; pictures of the latent spaces, of distances, and of draws."""
    from genkit_latents.figures import distance_panels, images, latent_panels

    arrays = read_arrays(run.folder / "codes.npz")
    columns = {
        "ELBO [nats]": "elbo", "IWAE [nats]": "iwae", "agreement": "agreement", "condition": "condition",
        "var log volume": "volume", "distortion": "distortion", "Spearman": "spearman", "kNN": "knn",
    }  # fmt: skip
    rows = [[name, *(run.results.get(f"{key}/{name}") for key in columns.values())] for name in models]
    caption = f"Test rows of {data.source}; agreement and distortion: lower is better"
    best: Best = dict.fromkeys(("ELBO [nats]", "IWAE [nats]", "Spearman", "kNN"), "high")
    run.table("results", ["model", *columns], rows, caption, {**best, "agreement": "low", "distortion": "low"})
    codes = {name: arrays[f"codes/{name}"] for name in models}
    if all(model.latent.dim == 2 for model in models.values()):
        run.figure(
            "latent",
            latent_panels(models, codes, data.test_labels),
            "Codes of the test rows, by label where there are labels. Lines: geodesics of the chosen metric from the "
            "middle of all codes to those of the classes, or to codes far apart. "
            "Rings: small balls of the chosen metric (black) and of the "
            "metric that the decoder has (red), of one size; where they fall together the decoder keeps distances. "
            "Background: log of the decoder's magnification.",
        )
    if data.distances is not None:
        shown = {name: arrays[f"distances/{name}"] for name in models}
        run.figure(
            "distances",
            distance_panels(shown, data.distances[:points, :points]),
            "Latent against true distances of pairs of test rows, both over their means.",
        )
    if data.image is not None:
        draws = {name: arrays[f"draws/{name}"] for name in models}
        run.figure("draws", images(draws, data.image), "Means of the data at draws of the prior.")

"""What studies that steer to a property share: methods, scores and a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from genkit.experiment import Run
from genkit_molecules.models import Guided, Steered
from genkit_molecules.rewards import certainty


def methods(model: Guided, particles: tuple[int, ...], look_ahead: bool | None) -> list[str]:
    """Names of what is sampled."""
    alone, ordered = model.generator.discrete.name, model.generator.discrete.ordered
    one = ["classifier/1"] if look_ahead or (look_ahead is None and ordered) else []
    many = [f"{kind}/{n}" for n in particles for kind in ("classifier", "discriminator", "both")]
    return list(dict.fromkeys([f"{alone}/1", "cfg/1", *one, *many]))


def scores(recipe: Steered, model: Guided, samples: dict[str, Any]) -> dict[str, float | None]:
    """yes/<method>, yes_valid/<method>, mean/<method>, and yes/data and the threshold.

    yes is the share of samples that are whole (valid and in one piece) and have the property, or the mean probability
    of yes that a reward gives, yes_valid that among the whole ones, mean the mean of property or reward over these,
    where it is finite; yes_se and mean_se are standard errors.
    """
    results: dict[str, float | None] = {}
    for name, texts in samples.items():
        found = recipe.measured(model.layout, model.layout.whole(texts))
        yes, finite = certainty(model.wanted, found, model.threshold), found[np.isfinite(found)]
        results |= {f"yes/{name}": float(yes.sum() / len(texts))}
        results |= {f"yes_valid/{name}": float(yes.mean()) if len(found) else None}
        results |= {f"mean/{name}": float(finite.mean()) if len(finite) else None}
        every = np.concatenate([yes, np.zeros(len(texts) - len(yes))])
        results |= {f"yes_se/{name}": _error(every), f"mean_se/{name}": _error(finite)}
    return results | {"threshold": model.threshold, "yes/data": model.share}


def _error(values: np.ndarray) -> float | None:
    """The standard error of a mean."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def show(recipe: Steered, run: Run, data: Any, samples: dict[str, Any]) -> None:
    """The distribution in data and samples of what is wanted."""
    from genkit_molecules.figures import densities

    model: Guided = run.model
    layout = model.layout
    found = {"data": run.once("property", lambda: recipe.measured(layout, data.texts("train")))}
    found |= {name: recipe.measured(layout, layout.whole(texts)) for name, texts in samples.items()}
    line = (
        "The line is its largest value in the training set"
        if recipe.reward
        else "Right of the line is what was asked for"
    )
    run.figure(
        "property", densities({k: v[np.isfinite(v)] for k, v in found.items()}, model.threshold, model.wanted),
        f"{model.wanted} of the data and of whole samples: quartiles, median, 5 and 95 %. {line}.",
    )  # fmt: skip

"""What studies that steer to a property share: methods, scores and a picture."""

from __future__ import annotations

from typing import Any

from genkit.experiment import Run
from genkit_molecules.models import Guided


def methods(particles: tuple[int, ...], look_ahead: bool) -> list[str]:
    """Names of what is sampled."""
    one = ["classifier/1"] if look_ahead else []
    many = [f"{kind}/{n}" for n in particles for kind in ("classifier", "discriminator", "both")]
    return list(dict.fromkeys(["ardm/1", "cfg/1", *one, *many]))


def scores(model: Guided, samples: dict[str, Any]) -> dict[str, float | None]:
    """yes/<method>, yes_valid/<method>, mean/<method>, and yes/data and the threshold.

    yes is the share of samples that are whole (valid and in one piece) and have the property, yes_valid that among the
    whole ones, mean the property's mean over these.
    """
    results: dict[str, float | None] = {}
    for name, texts in samples.items():
        found = model.layout.measure(model.wanted, model.layout.whole(texts))
        yes = found > model.threshold
        results |= {f"yes/{name}": float(yes.sum() / len(texts))}
        results |= {f"yes_valid/{name}": float(yes.mean()) if len(found) else None}
        results |= {f"mean/{name}": float(found.mean()) if len(found) else None}
    return results | {"threshold": model.threshold, "yes/data": model.share}


def show(run: Run, data: Any, samples: dict[str, Any]) -> None:
    """The property's distribution in data and samples."""
    from genkit_molecules.figures import densities

    model: Guided = run.model
    layout = model.layout
    found = {"data": run.once("property", lambda: layout.measure(model.wanted, data.texts("train")))}
    found |= {name: layout.measure(model.wanted, layout.whole(texts)) for name, texts in samples.items()}
    run.figure(
        "property", densities(found, model.threshold, model.wanted),
        f"{model.wanted} of the data and of whole samples: quartiles, median, 5 and 95 %. Right of the line is what "
        "was asked for.",
    )  # fmt: skip

"""What the two studies of self-distillation share: methods trained over seeds, and what their prototypes look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Estimate, Run
from genkit.files import read_arrays, write_arrays
from genkit_representations import figures
from genkit_representations.experiments.study import Study
from genkit_representations.models import Distilled
from genkit_representations.prototypes import Collapse, Method, collapse

KP = 0.1  # weight of the regulariser where the model has none


def check(study: Any) -> None:
    """Refuse unknown methods, and samples that the views or the network cannot take."""
    known = get_args(Method)
    wrong = [m for m in study.methods if m.removesuffix("_kp") not in known]
    if wrong or not study.methods:
        raise UsageError(f"methods={study.methods}; expected one or more of {', '.join(known)}, each also with _kp")
    if not 0 < study.eps < 2:
        raise UsageError(f"eps={study.eps}; expected 0 < eps < 2")
    for _, _, recipe in variants(study):  # each checks itself
        if hasattr(study.data, "shape"):  # else when the data are loaded
            recipe.check(study.data.shape)


def named(recipe: Any) -> str:
    """The name of a recipe among the methods."""
    return recipe.method + ("_kp" if recipe.kp else "")


def variants(study: Any) -> Iterator[tuple[str, int, Any]]:
    """(method, seed, recipe) of all that is trained; the study's own model is the first seed of its method."""
    for method in dict.fromkeys((*study.methods, named(study.model))):
        bare, kp = method.removesuffix("_kp"), method.endswith("_kp")
        for seed in range(study.seeds):
            yield method, seed, replace(study.model, method=bare, kp=(study.model.kp or KP) if kp else 0.0)


def models(study: Study, run: Run) -> Iterator[tuple[str, int, Distilled]]:
    """The trained models."""
    own = named(study.model)  # type: ignore[attr-defined]
    for method, seed, recipe in run.each("models", list(variants(study))):
        if (method, seed) == (own, 0):
            yield method, seed, run.trained("model", lambda: study.loaded(run))
        else:
            yield method, seed, study.variant(run, f"{method}/{seed}", recipe, study.loaded(run))


def encode(study: Study, run: Run) -> None:
    """Write what each model makes of the data: encoded/<method>-<seed>.npz."""
    data = study.loaded(run)
    for method, seed, model in models(study, run):
        arrays = {
            "train": model.features(data.train),
            "test": model.features(data.test),
            "probabilities": model.probabilities(data.test),
            "prototypes": model.prototypes(),
        }
        write_arrays(_file(run, method, seed), arrays)


def encoded(study: Study, run: Run) -> Iterator[tuple[str, int, dict[str, np.ndarray]]]:
    """What `encode` wrote."""
    for method, seed, _ in variants(study):
        yield method, seed, read_arrays(_file(run, method, seed))


def _file(run: Run, method: str, seed: int) -> Path:
    return run.folder / "encoded" / f"{method}-{seed}.npz"


def report(study: Study, run: Run, columns: dict[str, str], eps: float) -> None:
    """A table of results by method, and figures of the prototypes of each method's first seed."""
    results = run.results
    names = list(dict.fromkeys(method for method, _, _ in variants(study)))
    header, rows = ["method", *columns.values()], []
    for name in names:
        cells: list[Any] = [name]
        for column in columns:
            cells.append(Estimate(results[f"{column}/{name}"], results.get(f"{column}/{name}/sd")))
        rows.append(cells)
    run.table("methods", header, rows, "What was learned, by method; ± is the standard deviation over seeds")
    first = {method: arrays for method, seed, arrays in encoded(study, run) if seed == 0}
    reports: dict[str, Collapse] = {m: collapse(a["prototypes"], a["probabilities"], eps) for m, a in first.items()}
    of = f"those within cosine distance {eps:g} of a leader; a group of one is a prototype that has no copy."
    run.figure("redundancy", figures.redundancy(reports), f"Prototypes by the size of their group, {of}")
    matrices = figures.similarity({m: a["prototypes"] for m, a in first.items()}, eps)
    how = "those of a group side by side, large groups first: copies are the red squares on the diagonal."
    run.figure("similarity", matrices, f"Cosine similarity of the prototypes, {how}")
    what = "Prototypes by their two leading principal directions; their area is the mean probability that they get."
    run.figure("sphere", figures.sphere(first), what)
    what = "Mean probability of the prototypes over the test samples, largest first; even use is the dotted line."
    run.figure("usage", figures.usage({m: a["probabilities"] for m, a in first.items()}), what)

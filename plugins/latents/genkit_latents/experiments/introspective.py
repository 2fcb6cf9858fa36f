"""Introspective autoencoders with learned priors, on densities of the plane and on images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Best, Estimate, Experiment, Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import PRESETS, Model, check_preset
from genkit.terminal import plural
from genkit_latents.data import Points
from genkit_latents.datasets import BOX, MNIST, Digits, Images, Plane, plane
from genkit_latents.models import SYSTEMS, Introspective, IntroVAE, priors_seen
from genkit_latents.networks import Perceptron, Residual
from genkit_latents.stats import PROBES, frechet_whitened, histogram_divergences, probes

DATA = {
    "gaussians8": Plane("gaussians8"), "spiral": Plane("spiral"), "checkerboard": Plane("checkerboard"),
    "rings": Plane("rings"), "digits": Digits(), "mnist": MNIST(),
}  # fmt: skip
FEW = 5000  # draws of each side for the published definitions
SCORES = ("jsd", "kl", "jsd_ref", "kl_ref", "frechet", *PROBES)
OTHERS = ("active", "elbo", "seconds")
UNITS = dict.fromkeys(("jsd", "kl", "jsd_ref", "kl_ref", "elbo"), "nats") | {"seconds": "s"}
FLOOR = "floor"  # a perfect generator's scores: fresh draws of the density, or the test images
SHOWN = 4000  # draws kept for the figure


@dataclass(frozen=True)
class IntrospectiveStudy(Experiment):
    """Train autoencoders and introspective ones, with fixed and learned priors, and compare what they draw.

    Athanasiadis et al. 2025 (arXiv 2408.13805): the benchmark of the plane, and images. Scores stand beside those of a
    perfect generator, below which nothing can be but by chance.
    """

    headline = "jsd/*"

    data: tuple[str, ...] = ("gaussians8",)
    """gaussians8, spiral, checkerboard, rings; digits, mnist, or the path (with a slash) of images as `latents.images`
    reads them."""
    systems: tuple[str, ...] = ("normal_vae", "mog_vae", "normal_sintro", "mog_sintro")
    """Priors (normal, mog_fixed, mog, vamp) with _vae or _sintro; they take the place of `system`."""
    seeds: int = 2
    """Trainings of each."""
    samples: int = 200_000
    """Draws for jsd and kl."""
    model: Model[Points, IntroVAE] = field(default_factory=Introspective)
    """How they are trained; the first is the model of the run."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), full (all densities and priors, 3 seeds of 30 000 steps), paper (the
        published networks and schedule of the plane, 5 seeds; hours), digits (small images, minutes) and images (the
        published networks and schedule of images of 28 x 28; days on a CPU)."""
        if name == "tiny":
            recipe = Introspective(network=Perceptron((16,)), steps=30, warmup=20, mixture=5, components=4, batch=32)
            return cls(systems=("mog_sintro",), seeds=1, samples=2000, model=recipe)
        if name == "full":
            return cls(tuple(BOX), SYSTEMS, seeds=3, model=Introspective(steps=30_000, warmup=2000))
        if name == "paper":
            recipe = Introspective(
                network=Perceptron(), steps=30_000, warmup=2000, components=64, samples=100, batch=512, lr=2e-4,
                drops=(1 / 3, 1 / 2), drop=0.1, kl="reference", weights="reference",
            )  # fmt: skip
            return cls(tuple(BOX), SYSTEMS, seeds=5, model=recipe)
        if name == "digits":
            recipe = Introspective(
                dim=8, components=10, limits=(0.0, 1.0), network=Perceptron((256, 256)), steps=3000, warmup=600,
                mixture=100, batch=128,
            )  # fmt: skip
            systems = tuple(f"{prior}_{kind}" for prior in ("normal", "mog", "vamp") for kind in ("vae", "sintro"))
            return cls(("digits",), systems, model=recipe)
        if name == "images":  # 220 epochs of 60 000 images, 20 of them before the game, 5 of these with the mixture
            recipe = Introspective(
                dim=32, components=100, limits=(0.0, 1.0), network=Residual(), steps=220 * 469, warmup=20 * 469,
                mixture=5 * 469, samples=100, batch=128, lr=2e-4, drops=(), entropy=100.0, kl="reference",
                weights="reference",
            )  # fmt: skip
            return cls(("mnist",), seeds=3, model=recipe)
        check_preset(name, (*PRESETS, "full", "digits", "images"))
        return cls()

    def __post_init__(self) -> None:
        """Check the options."""
        if unknown := [kind for kind in self.data if kind not in DATA and "/" not in kind]:
            raise UsageError(f"unknown data {unknown[0]!r}; known: {', '.join(DATA)}, or a path with a slash")
        if not self.data or not self.systems or min(self.seeds, self.samples) < 1:
            raise UsageError("expected data, systems, at least 1 seed and 1 sample")
        if len(set(map(label, self.data))) < len(self.data):
            raise UsageError(f"data={self.data}: two of one name; rename a folder")
        if self.recipe.restore is None:
            object.__setattr__(self, "model", replace(self.recipe, system=self.systems[0]))
        list(self.cases())  # each is checked when it is made

    @property
    def recipe(self) -> Any:
        """The model's options."""
        return self.model

    def cases(self) -> Iterator[tuple[str, str, int, Any]]:
        """Data, system, seed, and recipe of each training."""
        for kind in self.data:
            for system in self.systems:
                for seed in range(self.seeds):
                    first = (kind, system, seed) == (self.data[0], self.systems[0], 0)
                    plain: dict[str, Any] = {"restore": None, "finetune": 0, "fingerprint": None}
                    yield kind, system, seed, self.recipe if first else replace(self.recipe, system=system, **plain)

    def place(self, run: Run, case: tuple[str, str, int, Any]) -> Run:
        """Where a case is trained."""
        name = "{}-{}-{}".format(label(case[0]), *case[1:3])
        return run.part(f"parts/{name}", salt=f"{name}: ")

    def trained(self, run: Run, case: tuple[str, str, int, Any]) -> IntroVAE:
        """The model of a case."""
        part, recipe = self.place(run, case), case[3]
        name = "" if recipe is self.model else part.folder.name
        return run.obtain(name, recipe, lambda: self.loaded(run, case[0]), part)

    def loaded(self, run: Run, kind: str) -> Points:
        """The data."""
        return run.once(kind, (DATA[kind] if kind in DATA else Images(Path(kind))).load)

    def train(self, run: Run) -> None:
        """Train one after the other, and keep the CPU time of each."""
        file = run.folder / "seconds.npz"
        seconds = read_arrays(file) if file.exists() else {}
        for case in self.cases():
            begin = time.process_time()
            self.trained(run, case)
            seconds.setdefault(said(case), np.array(time.process_time() - begin))
            write_arrays(file, seconds)

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n draws of the first model, (n, D)."""
        return run.model.decode(run.model.prior.sample(key, n))

    def sample(self, run: Run) -> None:
        """Scores of every case, and draws of the first seed."""
        found: dict[str, np.ndarray] = {}
        for i, kind in enumerate(self.data):
            data, name = self.loaded(run, kind), label(kind)
            if kind in BOX:
                truth = [plane(kind, np.random.default_rng([i, j]), max(self.samples, FEW)) for j in range(2)]
                perfect = truth[1]
            else:
                truth, perfect = [data.train], data.test
            self._score(found, f"{name}/{FLOOR}/0", kind, data, truth[0], perfect)
            found[f"draws/{name}/{FLOOR}"] = perfect[:SHOWN]
            for case in self.cases():
                if case[0] != kind:
                    continue
                model, key = self.trained(run, case), run.key(f"draws {said(case)}")
                x = np.asarray(model.decode(model.prior.sample(key, len(perfect))), np.float64)
                self._score(found, said(case), kind, data, truth[0], x)
                found[f"active/{said(case)}"] = np.asarray(model.prior.active())
                found[f"elbo/{said(case)}"] = np.asarray(model.elbo(key, jnp.asarray(data.test[:FEW]), 16).mean())
                if data.train_labels is not None and data.test_labels is not None:
                    codes = [np.asarray(model.posterior(key, jnp.asarray(rows))) for rows in (data.train, data.test)]
                    for probe, value in probes(codes[0], data.train_labels, codes[1], data.test_labels).items():
                        found[f"{probe}/{said(case)}"] = np.asarray(value)
                if case[2] == 0:
                    found[f"draws/{name}/{case[1]}"] = x[:SHOWN]
                    found[f"modes/{name}/{case[1]}"] = np.asarray(model.decode(model.prior.means))
                    seen = priors_seen(self.place(run, case).folder)
                    if seen is not None:
                        found |= {f"prior/{name}/{case[1]}/{part}": value for part, value in seen.items()}
                        found[f"codes/{name}/{case[1]}"] = np.asarray(model.encode(jnp.asarray(data.test[:FEW]))[0])
        write_arrays(run.folder / "scores.npz", found)

    def _score(
        self, found: dict[str, np.ndarray], name: str, kind: str, data: Points, real: np.ndarray, x: np.ndarray
    ) -> None:
        if kind not in BOX:
            found[f"frechet/{name}"] = np.asarray(frechet_whitened(data.train, x))
            return
        many, few = (histogram_divergences(real[:n], x[:n], BOX[kind]) for n in (len(real), FEW))
        for score in ("jsd", "kl", "jsd_ref", "kl_ref"):
            found[f"{score}/{name}"] = np.asarray(getattr(few if score.endswith("ref") else many, score))

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Means over the seeds, by data and system, and `floor`, a perfect generator.

        jsd, kl: of 200 000 draws in 100 x 100 cells, nats; jsd_ref, kl_ref: published definitions, of 5000; frechet: of
        as many draws as test images, in the whitened space of 32 principal components of the training images; svm, knn,
        knn_many: accuracies of probes on draws of posteriors; active: components with a weight of at least K^-2; elbo:
        of test rows, nats; seconds: of CPU; spread: standard deviation of jsd or frechet over the seeds.
        """
        arrays = {**read_arrays(run.folder / "scores.npz"), **{
            f"seconds/{name}": value for name, value in read_arrays(run.folder / "seconds.npz").items()}}  # fmt: skip
        results: dict[str, float | None] = {}
        for kind in map(label, self.data):
            for system in (FLOOR, *self.systems):
                for score in (*SCORES, *OTHERS):
                    values = [arrays[name] for seed in range(self.seeds)
                              if (name := f"{score}/{kind}/{system}/{seed}") in arrays]  # fmt: skip
                    if values:
                        results[f"{score}/{kind}/{system}"] = float(np.mean(values))
                    if score in ("jsd", "frechet") and len(values) > 1:
                        results[f"spread/{kind}/{system}"] = float(np.std(values, ddof=1))
        return results

    def report(self, run: Run) -> None:
        """A table for each data set, what was drawn, and learned priors on their way."""
        from genkit_latents.figures import draws_panels, images, prior_paths

        arrays = read_arrays(run.folder / "scores.npz")
        for kind, data in zip(map(label, self.data), self.data, strict=True):
            keys = [key for key in (*SCORES, *OTHERS) if any(f"{key}/{kind}/{s}" in run.results for s in self.systems)]
            main = keys[0]  # the score whose spread over seeds is known
            rows = []
            for s in (FLOOR, *self.systems):
                value, spread, *others = (run.results.get(f"{key}/{kind}/{s}") for key in (main, "spread", *keys[1:]))
                rows.append([s, Estimate(value, spread), *others])
            headers = [f"{key} [{UNITS[key]}]" if key in UNITS else key for key in keys]
            seeds = plural(self.seeds, "seed")
            caption = f"{kind}: {seeds}, ± is their standard deviation; floor is a perfect generator"
            best: Best = {headers[0]: "low"}
            run.table(kind, ["system", *headers], rows, caption, best, floor=(FLOOR,))
            draws = {s: arrays[f"draws/{kind}/{s}"] for s in (FLOOR, *self.systems)}
            if data in BOX:
                modes = {s: arrays.get(f"modes/{kind}/{s}") for s in draws}
                figure = draws_panels({s: (x, modes[s]) for s, x in draws.items()}, BOX[data])
                what = "Density of draws (seed 0) beside the truth (floor), and the decoded means of the components."
            else:
                figure = images(draws, self.loaded(run, data).image or ())
                what = "Draws (seed 0) beside test images (floor)."
            run.figure(f"draws-{kind}", figure, what)
            seen = {s: {part: arrays[f"prior/{kind}/{s}/{part}"] for part in ("means", "stds", "weights")}
                    for s in self.systems if f"prior/{kind}/{s}/means" in arrays}  # fmt: skip
            if seen:
                codes = {s: arrays[f"codes/{kind}/{s}"] for s in seen}
                run.figure(f"priors-{kind}", prior_paths(seen, codes), "Paths of the learned components in training.")


def label(kind: str) -> str:
    """The name of data in results: of a path its last part."""
    return Path(kind).name.partition(".")[0] if "/" in kind else kind


def said(case: tuple[str, str, int, Any]) -> str:
    """The name of a case in results."""
    return f"{label(case[0])}/{case[1]}/{case[2]}"

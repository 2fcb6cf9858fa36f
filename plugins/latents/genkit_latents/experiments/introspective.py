"""Introspective autoencoders with learned priors on densities of the plane."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Best, Estimate, Experiment, Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Model
from genkit_latents.data import Points
from genkit_latents.datasets import BOX, Plane, plane
from genkit_latents.models import SYSTEMS, Introspective, IntroVAE
from genkit_latents.networks import Perceptron
from genkit_latents.stats import histogram_divergences

FEW = 5000  # draws of each side for the published definitions
SCORES = ("jsd", "kl", "jsd_ref", "kl_ref")
FLOOR = "floor"  # a perfect generator's scores: two sets of draws of the density itself
SHOWN = 4000  # draws kept for the figure


@dataclass(frozen=True)
class IntrospectiveStudy(Experiment):
    """Train autoencoders and introspective ones, with fixed and learned priors, and compare what they draw.

    Athanasiadis et al. 2025 (arXiv 2408.13805), the benchmark of the plane. Scores stand beside those of a perfect
    generator, below which nothing can be but by chance.
    """

    headline = "jsd/*"

    data: tuple[str, ...] = ("gaussians8",)
    """Densities: gaussians8, spiral, checkerboard, rings."""
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
        """Presets tiny (CI), default (minutes), full (all densities and priors, 3 seeds of 30 000 steps) and paper (the
        published networks and schedule, 5 seeds; hours)."""
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
        if name != "default":
            raise UsageError(f"no preset {name!r}; there are tiny, default, full, paper")
        return cls()

    def __post_init__(self) -> None:
        """Check the options."""
        if unknown := set(self.data) - set(BOX):
            raise UsageError(f"unknown density {sorted(unknown)[0]!r}; known: {', '.join(BOX)}")
        if not self.data or not self.systems or min(self.seeds, self.samples) < 1:
            raise UsageError("expected data, systems, at least 1 seed and 1 sample")
        if self.model.restore is None:  # type: ignore
            object.__setattr__(self, "model", replace(self.model, system=self.systems[0]))  # type: ignore
        list(self.cases())  # each is checked when it is made

    def cases(self) -> Iterator[tuple[str, str, int, Any]]:
        """Density, system, seed, and recipe of each training."""
        for kind in self.data:
            for system in self.systems:
                for seed in range(self.seeds):
                    first = (kind, system, seed) == (self.data[0], self.systems[0], 0)
                    plain: dict[str, Any] = {"restore": None, "finetune": 0, "fingerprint": None}
                    yield kind, system, seed, self.model if first else replace(self.model, system=system, **plain)  # type: ignore

    def trained(self, run: Run, case: tuple[str, str, int, Any]) -> IntroVAE:
        """The model of a case."""
        kind, system, seed, recipe = case
        name = f"{kind}-{system}-{seed}"
        part = run.part(f"parts/{name}", salt=f"{name}: ")
        return run.obtain("" if recipe is self.model else name, recipe, lambda: self.loaded(run, kind), part)

    def loaded(self, run: Run, kind: str) -> Points:
        """The data."""
        return run.once(kind, Plane(kind).load)  # type: ignore

    def train(self, run: Run) -> None:
        """Train one after the other, and keep the CPU time of each."""
        file = run.folder / "seconds.npz"
        seconds = read_arrays(file) if file.exists() else {}
        for case in self.cases():
            begin = time.process_time()
            self.trained(run, case)
            seconds.setdefault("/".join(map(str, case[:3])), np.array(time.process_time() - begin))
            write_arrays(file, seconds)

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n draws of the first model, (n, 2)."""
        return run.model.decode(run.model.prior.sample(key, n))

    def sample(self, run: Run) -> None:
        """Scores of every case, and draws of the first seed."""
        found: dict[str, np.ndarray] = {}
        for i, kind in enumerate(self.data):
            truth = [plane(kind, np.random.default_rng([i, j]), max(self.samples, FEW)) for j in range(2)]
            found[f"draws/{kind}/{FLOOR}"] = truth[0][:SHOWN]
            _keep(found, f"{kind}/{FLOOR}/0", truth[0], truth[1], BOX[kind])
            for case in self.cases():
                if case[0] != kind:
                    continue
                model, name = self.trained(run, case), "/".join(map(str, case[:3]))
                key = run.key(f"draws {name}")
                x = np.asarray(model.decode(model.prior.sample(key, len(truth[0]))), np.float64)
                _keep(found, name, truth[0], x, BOX[kind])
                found[f"active/{name}"] = np.asarray(model.prior.active())
                found[f"elbo/{name}"] = np.asarray(model.elbo(key, self.loaded(run, kind).test[:FEW], 16).mean())  # type: ignore
                if case[2] == 0:
                    found[f"draws/{kind}/{case[1]}"] = x[:SHOWN]
                    centres = model.decode(model.prior.means)
                    found[f"modes/{kind}/{case[1]}"] = np.asarray(centres)
        write_arrays(run.folder / "scores.npz", found)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Means over the seeds, by density and system, and `floor`, a perfect generator.

        jsd, kl: of 200 000 draws in 100 x 100 cells, nats; jsd_ref, kl_ref: published definitions, of 5000; active:
        components with a weight of at least K^-2; elbo: of test rows, nats; seconds: of CPU; spread: standard deviation
        of jsd over the seeds.
        """
        arrays = {**read_arrays(run.folder / "scores.npz"), **{
            f"seconds/{name}": value for name, value in read_arrays(run.folder / "seconds.npz").items()}}  # fmt: skip
        results: dict[str, float | None] = {}
        for kind in self.data:
            for system in (FLOOR, *self.systems):
                for score in (*SCORES, "active", "elbo", "seconds"):
                    values = [arrays[name] for seed in range(self.seeds)
                              if (name := f"{score}/{kind}/{system}/{seed}") in arrays]  # fmt: skip
                    if values:
                        results[f"{score}/{kind}/{system}"] = float(np.mean(values))
                    if score == "jsd" and len(values) > 1:
                        results[f"spread/{kind}/{system}"] = float(np.std(values, ddof=1))
        return results

    def report(self, run: Run) -> None:
        """A table for each density, and what was drawn."""
        from genkit_latents.figures import draws_panels

        arrays = read_arrays(run.folder / "scores.npz")
        keys = {"kl": "kl [nats]", "jsd_ref": "jsd_ref [nats]", "kl_ref": "kl_ref [nats]", "active": "active units",
                "elbo": "elbo [nats]", "seconds": "seconds [s]"}  # fmt: skip
        for kind in self.data:
            rows = []
            for s in (FLOOR, *self.systems):
                jsd, spread, *others = (run.results.get(f"{key}/{kind}/{s}") for key in ("jsd", "spread", *keys))
                rows.append([s, Estimate(jsd, spread), *others])
            caption = f"{kind}: {self.seeds} seeds, ± is their standard deviation; floor is a perfect generator"
            best: Best = {"jsd [nats]": "low", "kl [nats]": "low"}
            run.table(kind, ["system", "jsd [nats]", *keys.values()], rows, caption, best, floor=(FLOOR,))
            shown = {s: (arrays[f"draws/{kind}/{s}"], arrays.get(f"modes/{kind}/{s}")) for s in (FLOOR, *self.systems)}
            run.figure(
                f"draws-{kind}",
                draws_panels(shown, BOX[kind]),
                "Density of draws (seed 0) beside the truth (floor), and the decoded means of the components.",
            )


def _keep(found: dict[str, np.ndarray], name: str, real: np.ndarray, generated: np.ndarray, half: float) -> None:
    many, few = (histogram_divergences(real[:n], generated[:n], half) for n in (len(real), FEW))
    for score in SCORES:
        found[f"{score}/{name}"] = np.asarray(getattr(few if score.endswith("ref") else many, score))

"""`inverse.logz`: log Z of densities by many estimators."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run, labels
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Model, Target, check_preset
from genkit.terminal import plural
from genkit_inverse.estimators import ESTIMATORS, FREE, Settings, of_model
from genkit_inverse.experiments.estimates import COLUMNS, KEYS, error_points, estimated, results_of
from genkit_inverse.experiments.study import table
from genkit_inverse.models import LearnedPDDS, PDDSPotential
from genkit_inverse.targets import (
    GMM40,
    LGCP,
    Brownian,
    Funnel,
    Ionosphere,
    ManyWell,
    Mixture2D,
    Phi4,
    Sonar,
    StudentT,
    whitened,
)

METHODS = (*ESTIMATORS, "pdds")
BESIDE = "tempering_as_pdds"  # tempering with as many evaluations as the learned PDDS took
USUAL = (Mixture2D(), Funnel(), GMM40(), Brownian(), Sonar(), Ionosphere())


@dataclass(frozen=True)
class LogZ(Experiment):
    """Estimate log Z of densities without data, by tempering and its kin and by the reverse of a diffusion.

    All begin from the same base in the same coordinates. What is compared is the error against evaluations of the
    target, counted for every run. Adaptive samplers cost what they cost; annealed importance sampling, parallel
    tempering and PDDS get as many evaluations as `tempering` took with as many particles. A learned potential is
    trained for each target, which its evaluations include.
    """

    headline = "log_z/*/error"

    targets: tuple[Target, ...] = USUAL
    """The densities."""
    methods: tuple[str, ...] = METHODS[:-1]
    """What is compared: of tempering, waste_free, persistent, parallel_tempering, ais, pdds_naive, pdds_mc, pdds."""
    model: Model[Target, LearnedPDDS] = field(default_factory=PDDSPotential)
    """The learned potential of the first target: trained here, or the folder of what was trained."""
    particles: tuple[int, ...] = (1000, 8000)
    """Particles of a run; results are those of the last number, the figure has all."""
    seeds: int = 10
    """Runs of each."""
    alpha: float = 0.9
    """Effective sample size at which the next temperature of adaptive samplers is set, as a fraction."""
    leapfrog: int = 5
    """Leapfrog steps of a move by HMC."""
    moves: int = 1
    """Moves of a particle at each temperature."""
    pdds_steps: int = 32
    """Steps of PDDS with a potential that is not learned."""
    draws: int = 32
    """Draws of x_0 of the Monte-Carlo potential."""
    budget: int | None = None
    """Evaluations of methods whose length is free; as many as tempering takes if not given."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes a target on two cores), full (all targets and methods), paper (published
        targets, 30 seeds)."""
        everything = (*USUAL, StudentT(), ManyWell(), LGCP(), Phi4())
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"targets": (Mixture2D(),), "methods": ("tempering", "ais", "pdds"), "particles": (100,),
                     "seeds": 2},
            "default": {},
            "full": {"targets": everything, "methods": METHODS, "particles": (4000, 16_000)},
            "paper": {"targets": (Funnel(), Sonar(), Ionosphere(), Brownian(), LGCP()), "methods": METHODS, "seeds": 30,
                      "particles": (4000, 16_000)},
        }  # fmt: skip
        check_preset(name, presets)
        return cls(model=PDDSPotential.preset(name), **presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        if not self.targets or not self.methods or set(self.methods) - set(METHODS):
            raise UsageError(f"methods={self.methods}; expected targets, and one or more of {', '.join(METHODS)}")
        if not self.particles or min(*self.particles, self.seeds, self.leapfrog, self.moves, self.draws) < 1:
            raise UsageError(
                f"particles={self.particles}, seeds={self.seeds}, leapfrog={self.leapfrog}, moves={self.moves}, "
                f"draws={self.draws}; expected at least 1 of each"
            )
        if not 0 < self.alpha < 1 or self.pdds_steps < 1 or (self.budget is not None and self.budget < 1):
            raise UsageError(
                f"alpha={self.alpha}, pdds_steps={self.pdds_steps}, budget={self.budget}; expected alpha in (0, 1), "
                "at least 1 of the others"
            )
        if free := set(self.methods) & set(FREE):
            if self.budget is None and "tempering" not in self.methods:
                raise UsageError(
                    f"{', '.join(sorted(free))} get the evaluations of tempering; add it, or give a budget"
                )

    @property
    def rows(self) -> tuple[str, ...]:
        """All that is estimated by, in the order of the tables."""
        return (*self.methods, BESIDE) if {"tempering", "pdds"} <= set(self.methods) else self.methods

    def named(self) -> dict[str, Target]:
        """The targets by the names of their results."""
        return dict(zip(labels("targets", self.targets), self.targets, strict=True))

    def prepare(self, run: Run) -> None:
        """Look at every density where it begins, so that a wrong one stops the run here."""
        for name, target in self.named().items():
            for n in self.particles:
                Settings(n, self.alpha, self.leapfrog, self.moves, 1, 1).check(name, target.load().dim)
            whitened(target.load())

    def train(self, run: Run) -> None:
        """Learn a potential for each target, or restore the first."""
        if "pdds" in self.methods:
            for name in self.named():
                self.trained(run, name)

    def trained(self, run: Run, name: str) -> LearnedPDDS:
        """The learned potential of a target."""
        targets = self.named()
        if name == next(iter(targets)):
            return run.trained("model", lambda: targets[name])
        recipe = replace(self.model, restore=None, finetune=0, fingerprint=None)  # type: ignore[type-var]
        part = run.part(f"parts/{name}", salt=f"{name}: ")
        return run.obtain(name, recipe, lambda: targets[name], part)

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """n weighted samples of the first target by the learned potential."""
        return run.model.sample(key, n)

    def sample(self, run: Run) -> None:
        """Run every method on every target; what is killed goes on with those that it has not."""
        methods = sorted(self.rows, key=lambda name: name in FREE)  # tempering says what the others get
        half = run.folder / "estimates.part.npz"
        found = read_arrays(half) if half.exists() else {}
        jobs = [(t, n, m) for t in self.named() for n in self.particles for m in methods]
        for name, n, method in run.each("log Z", jobs):
            if f"{name}/{n}/{method}/log_z" in found:
                continue
            density = self.named()[name].load()
            took = {key: found.get(f"{name}/{n}/{key}/evals", np.zeros(1)).mean() for key in ("tempering", "pdds")}
            budget = self.budget or took["tempering"]
            settings = Settings(n, self.alpha, self.leapfrog, self.moves, self.pdds_steps, self.draws, float(budget))
            if method == BESIDE:
                fair = round(n * took["pdds"] / took["tempering"])
                settings = replace(settings, particles=max(2 * density.dim, fair))
            bare = method.removesuffix("_as_pdds")
            make = of_model(self.trained(run, name)) if bare == "pdds" else ESTIMATORS[bare]
            rows = estimated(run, f"{name}, {method}, {n}", make, density, settings, self.seeds)
            found |= {f"{name}/{n}/{method}/{key}": value for key, value in rows.items()}
            write_arrays(half, found)
        write_arrays(run.folder / "estimates.npz", found)
        half.unlink(missing_ok=True)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """log_z/<target>/<method>/<...> over the seeds, with the last number of particles:

        mean and sd of log Z, error: mean less the truth, in nats; evals: evaluations of the target in a run, of pdds
        those of its training too; seconds of a run, without compilation and training; modes/<target>/<method>: modes
        that hold at least a tenth of their probability; failed/<target>/<method>: runs that did not end or whose log Z
        is not finite, left out of the others; minutes/<target>: of all its runs, compilation included.
        """
        found, last = read_arrays(run.folder / "estimates.npz"), self.particles[-1]
        results: dict[str, float | None] = {}
        for name, target in self.named().items():
            for method in self.rows:
                rows = {key: found[f"{name}/{last}/{method}/{key}"] for key in KEYS}
                results |= results_of(name, method, rows, target.load().log_z)
            walls = [found[f"{name}/{n}/{method}/wall"] for n in self.particles for method in self.rows]
            results[f"minutes/{name}"] = float(sum(walls)) / 60
        return results

    def report(self, run: Run) -> None:
        """A table for each target, and the error against evaluations."""
        from genkit_inverse.figures import LOST, errors

        found, panels = read_arrays(run.folder / "estimates.npz"), {}
        for name, target in self.named().items():
            truth = target.load().log_z
            columns = {title: key.format(name) for title, key in COLUMNS.items()}
            known = "not known" if truth is None else f"{truth:.2f}"
            caption = (
                f"{name}: log Z {known}; {self.particles[-1]} particles, {plural(self.seeds, 'run')}; "
                f"{run.results[f'minutes/{name}']:.1f} minutes in all"
            )
            table(run, name, caption, self.rows, columns, "estimate by")
            if truth is not None:
                points = {
                    method: [{key: found[f"{name}/{n}/{method}/{key}"] for key in KEYS} for n in self.particles]
                    for method in self.rows
                }
                panels[name] = error_points(points, truth)
        if panels:
            caption = (
                "Root mean square error of log Z over the runs, against evaluations of the target; triangles at the "
                f"top are errors of more than {LOST:g} nats."
            )
            run.figure("errors", errors(panels), caption)

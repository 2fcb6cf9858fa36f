"""`inverse.pdds`: potentials of the particle denoising diffusion sampler on one density."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run, labels
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Model, Target, check_preset
from genkit.terminal import plural
from genkit_inverse.estimators import ESTIMATORS, Settings, of_model, with_potential
from genkit_inverse.experiments.estimates import COLUMNS, KEYS, estimated, results_of
from genkit_inverse.experiments.study import table
from genkit_inverse.models import LearnedPDDS, PDDSPotential
from genkit_inverse.targets import Mixture2D, whitened

METHODS = ("pdds_naive", "pdds_mc", "pdds", "tempering", "parallel_tempering")
PILOT = 1000  # particles by which the cost of tempering is found


@dataclass(frozen=True)
class PDDSStudy(Experiment):
    """Learn the potential of a diffusion of a density, and sample it by PDDS (arXiv 2402.06320).

    The naive, the Monte-Carlo and the learned potential steer as many particles over the same steps. Tempering and
    parallel tempering stand beside them with as many evaluations of the target as the learned one took (the latter with
    a few sweeps at least), its training included: what learning buys are later runs.
    """

    headline = "log_z/*/error"

    target: Target = field(default_factory=Mixture2D)
    """The density."""
    model: Model[Target, LearnedPDDS] = field(default_factory=PDDSPotential)
    """The learned potential: trained here, or the folder of what was trained."""
    particles: int = 2000
    """Particles of PDDS."""
    seeds: int = 10
    """Runs of each."""
    draws: int = 32
    """Draws of x_0 of the Monte-Carlo potential."""
    alpha: float = 0.9
    """Effective sample size at which the next temperature of tempering is set, as a fraction."""
    leapfrog: int = 5
    """Leapfrog steps of its moves by HMC."""
    moves: int = 1
    """Its moves of a particle at each temperature."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (the published training, 100 runs)."""
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"particles": 100, "seeds": 2, "draws": 2}, "default": {}, "paper": {"seeds": 100},
        }  # fmt: skip
        check_preset(name, presets)
        return cls(model=PDDSPotential.preset(name), **presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        if min(self.particles, self.seeds, self.draws, self.leapfrog, self.moves) < 1 or not 0 < self.alpha < 1:
            raise UsageError(
                f"particles={self.particles}, seeds={self.seeds}, draws={self.draws}, leapfrog={self.leapfrog}, "
                f"moves={self.moves}, alpha={self.alpha}; expected at least 1 of each, alpha in (0, 1)"
            )

    @property
    def label(self) -> str:
        """The name of the target in the results."""
        return labels("targets", [self.target])[0]

    def prepare(self, run: Run) -> None:
        """Look at the density where it begins."""
        density = self.target.load()
        self._settings(self.particles).check(self.label, density.dim)
        whitened(density)

    def train(self, run: Run) -> None:
        """Learn the potential, or restore it."""
        run.trained("model", lambda: self.target)

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """n weighted samples."""
        return run.model.sample(key, n)

    def _settings(self, particles: int) -> Settings:
        return Settings(particles, self.alpha, self.leapfrog, self.moves, 1, self.draws)

    def sample(self, run: Run) -> None:
        """Run all potentials, then tempering and parallel tempering by as many evaluations."""
        density, model, name = self.target.load(), run.model, self.label
        settings, found = self._settings(self.particles), {}
        estimators = {"pdds_naive": with_potential(model, "naive"), "pdds_mc": with_potential(model, "mc"),
                      "pdds": of_model(model)}  # fmt: skip
        for method, make in estimators.items():
            found[method] = estimated(run, f"{name}, {method}", make, density, settings, self.seeds)
        pilot = self._settings(max(PILOT, 2 * density.dim))
        cost = jax.jit(ESTIMATORS["tempering"](whitened(density), density.dim, pilot))(run.key("pilot")).evals
        particles = max(2 * density.dim, round(pilot.particles * found["pdds"]["evals"].mean() / float(cost)))
        fair = replace(pilot, particles=particles, budget=float(found["pdds"]["evals"].mean()))
        for method in ("tempering", "parallel_tempering"):
            found[method] = estimated(run, f"{name}, {method}", ESTIMATORS[method], density, fair, self.seeds)
        rows = {f"{method}/{key}": value for method, of in found.items() for key, value in of.items()}
        if density.draw is not None:
            keys = jax.random.split(run.key("exact"), 2000)
            rows["exact/x"] = np.asarray(jax.jit(jax.vmap(density.draw))(keys))[:, :2]
        write_arrays(run.folder / "estimates.npz", rows)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """As `inverse.logz`, for pdds_naive, pdds_mc, pdds (learned), tempering and parallel_tempering.

        Evals of pdds are with its training; evals_again/<target>/pdds are those of a run with what is trained.
        """
        found, truth, name = read_arrays(run.folder / "estimates.npz"), self.target.load().log_z, self.label
        results: dict[str, float | None] = {}
        for method in METHODS:
            rows = {key: found[f"{method}/{key}"] for key in KEYS}
            results |= results_of(name, method, rows, truth)
        model = run.model
        return results | {f"evals_again/{name}/pdds": float(found["pdds/evals"].mean()) - model.evals}

    def report(self, run: Run) -> None:
        """The table, and the first two coordinates of samples."""
        from genkit_inverse.figures import scatter

        columns = {title: key.format(self.label) for title, key in COLUMNS.items()}
        table(run, "results", f"{self.label}: log Z, {plural(self.seeds, 'run')}", METHODS, columns, "estimate by")
        found = read_arrays(run.folder / "estimates.npz")
        names = [name for name in ("exact", *METHODS) if f"{name}/x" in found]
        figure = scatter({name: found[f"{name}/x"] for name in names})
        run.figure(
            "samples", figure, "The first two coordinates of samples of one run; in grey those of the first panel."
        )

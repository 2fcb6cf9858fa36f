"""Posterior samplers on Gaussian mixtures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError, UsageError
from genkit.experiment import Experiment, Run, labels
from genkit.files import read_arrays, write_arrays
from genkit.kinds import check_preset
from genkit.metrics import sliced_wasserstein
from genkit.steer import DDSMC, TDS, Draws, MCGDiff, Method, Observation, REDDiff, posterior, weighs
from genkit.terminal import plural
from genkit_inverse import problems
from genkit_inverse.experiments.study import table
from genkit_inverse.problems import PROCESS, Prior

DIRECTIONS = 1000
AT_ONCE = 2**20  # numbers of a state that are worked on at a time


@dataclass(frozen=True)
class DDSMCGMM(Experiment):
    """Compare posterior samplers where the posterior is known.

    The prior is a mixture of 25 Gaussians with its exact denoiser, the measurement a random linear one. DDSMC
    (arXiv 2502.06379), MCGDiff (arXiv 2308.07983) and TDS (arXiv 2306.17775) get the same instances, levels, particles
    and resampling; their samples are compared with exact ones by the sliced Wasserstein distance. Its floor is that
    of a second exact set. Instances differ by far more than methods: only the same ones can be compared.
    """

    headline = "sw/ddsmc*/mean"

    dx: int = 8
    """Numbers of the unknown, even."""
    dy: int = 1
    """Numbers measured."""
    instances: int = 20
    """Random problems."""
    samples: int = 300
    """Samples of each method for an instance, each from a group of particles of its own."""
    particles: int = 256
    """Particles in a group."""
    steps: int = 20
    """Points of the grid of times, the data included."""
    methods: tuple[Method, ...] = field(default_factory=lambda: (DDSMC(), DDSMC(recon="ode"), MCGDiff(), TDS()))
    """What is compared. Methods without `times` of their own get those of the problem; RED-diff, which is no chain, has
    its `steps`."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default, and paper (10 000 samples)."""
        presets = {
            "tiny": {"instances": 2, "samples": 20, "particles": 16, "steps": 8},
            "default": {},
            "paper": {"samples": 10_000},
        }
        check_preset(name, presets)
        return cls(**presets[name])

    def __post_init__(self) -> None:
        """Check the options by making what they describe."""
        for name in ("instances", "samples", "particles"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        problems.instance(0, 0, self.dx, self.dy)
        self.compared()

    def compared(self) -> dict[str, Method]:
        """The methods by the names of their results, on the problem's grid of times."""
        times = problems.times(self.steps)
        return dict(zip(labels("methods", self.methods), (_on(method, times) for method in self.methods), strict=True))

    def plan(self) -> dict[str, str]:
        """Sizes."""
        calls = {name: f"{method.calls(PROCESS)} network calls a particle" for name, method in self.compared().items()}
        return {
            "problems": f"{self.instances} of {self.dy} numbers measured of {self.dx}",
            "particles": f"{self.samples} groups of {self.particles}, {self._chunk()} groups at a time",
            **calls,
        }

    def sample(self, run: Run) -> None:
        """Run every method on every instance; scores of all and the samples of the first are kept."""
        key = run.key("sample")
        scores: dict[str, list[dict[str, float]]] = {name: [] for name in ("floor", *self.compared())}
        shown = {}
        known, distant = jax.jit(Prior.posterior), jax.jit(partial(sliced_wasserstein, directions=DIRECTIONS))
        for number in run.each("instances", range(self.instances)):
            prior, observation = problems.instance(run.seed, number, self.dx, self.dy)
            exact, log_z = known(prior, observation)
            own = jax.random.fold_in(key, number)
            truth, other = (exact.sample(jax.random.fold_in(own, k), self.samples) for k in (0, 1))
            distance = jax.random.fold_in(own, 2)
            scores["floor"].append({"sw": float(distant(distance, other, truth))})
            if number == 0:
                shown["exact"] = truth
            for name in self.compared():
                begun = time.perf_counter()
                try:
                    draws = self._posterior(jax.random.fold_in(own, 3), name, prior, observation)
                except GenkitError as error:
                    run.say(f"{name}, instance {number}: {error}")
                    draws = None
                if draws is None:
                    x = np.full(truth.shape, np.nan)
                else:
                    x = np.where(draws.collapsed[:, None], np.nan, draws.x[:, 0])
                    for trouble in draws.troubles():
                        run.say(f"{name}, instance {number}: {trouble}")
                seconds = time.perf_counter() - begun
                scores[name].append(
                    {
                        "sw": float(distant(distance, x, truth)),
                        "ess": np.nan if draws is None else float(draws.ess.mean()),
                        "eves": np.nan if draws is None else float(draws.eves.mean()),
                        "logz_error": self._logz_error(draws, log_z),
                        "log_prob": float(exact.log_prob(x).mean()),
                        "seconds": seconds,
                    }
                )
                if number == 0:
                    shown[name] = x
                    shown[f"ess/{name}"] = np.full(1, np.nan) if draws is None else draws.ess.mean(0)
        tables = {f"{name}/{k}": [one[k] for one in rows] for name, rows in scores.items() for k in rows[0]}
        write_arrays(run.folder / "scores.npz", tables)
        write_arrays(run.folder / "samples.npz", shown)

    def _chunk(self) -> int:
        return max(1, AT_ONCE // (self.particles * max(self.dx, 32)))

    def _posterior(self, key: Any, name: str, prior: Prior, observation: Observation) -> Draws:
        method = self.compared()[name]
        particles = self.particles if weighs(method, prior) else 1
        chunk = min(self._chunk() * self.particles // particles, self.samples)
        return posterior(key, method, prior, observation, self.samples, particles, chunk=chunk)

    def _logz_error(self, draws: Draws | None, log_z: Any) -> float:
        """NaN of a method that estimates none."""
        if draws is None or np.isnan(draws.log_z).all():
            return float("nan")
        return float(jnp.abs(jax.nn.logsumexp(draws.log_z) - jnp.log(self.samples) - log_z))

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Over the instances: sw/<method>/mean, sd, se (standard error) and median; means of the other scores.

        ess is a mean over the steps, logz_error that of |log Z - log p(y)|, with Z a mean over all groups; log_prob
        the mean log-density of the samples under the posterior, seconds the median of an instance; prior_std the
        standard deviation that DDSMC's chain has for data N(0, I). A method that failed on an instance has no figures.
        """
        results: dict[str, float | None] = {}
        for full, values in read_arrays(run.folder / "scores.npz").items():
            name, score = full.split("/")
            if score == "sw":
                sd = _number(values.std(ddof=1)) if len(values) > 1 else None
                results |= {f"sw/{name}/mean": _number(values.mean()), f"sw/{name}/median": _number(np.median(values))}
                results |= {f"sw/{name}/sd": sd, f"sw/{name}/se": sd and sd / len(values) ** 0.5}
            else:
                results[f"{score}/{name}"] = _number(np.median(values) if score == "seconds" else values.mean())
        for name, method in self.compared().items():
            results[f"calls/{name}"] = float(method.calls(PROCESS))
            if isinstance(method, DDSMC):
                results[f"prior_std/{name}"] = method.prior_std(PROCESS)
        return results

    def report(self, run: Run) -> None:
        """The table of distances; pictures of the distances, of samples, and of the effective sample size."""
        from genkit_inverse.figures import compare, scatter, traces

        names = ["floor", *self.compared()]
        caption = (
            f"Sliced Wasserstein distance to the posterior, {plural(self.instances, 'instance')}, "
            f"{plural(self.samples, 'sample')}; "
            "± is the standard error, sd that of the instances"
        )
        columns = {
            "mean": ("sw/{}/mean", "sw/{}/se"), "sd": "sw/{}/sd", "median": "sw/{}/median", "ESS": "ess/{}",
        }  # fmt: skip
        table(run, "results", caption, names, columns, best={"mean": "low", "median": "low"}, floor=["floor"])
        columns = {
            "calls": "calls/{}", "seconds [s]": "seconds/{}", "ancestors": "eves/{}",
            "log Z err [nats]": "logz_error/{}", "prior std": "prior_std/{}", "log p(x | y) [nats]": "log_prob/{}",
        }  # fmt: skip
        table(run, "cost", "Cost of a particle and of an instance, and what is left", names[1:], columns)
        scores, shown = read_arrays(run.folder / "scores.npz"), read_arrays(run.folder / "samples.npz")
        run.figure(
            "distances",
            compare({name: scores[f"{name}/sw"] for name in names}, "sliced Wasserstein distance"),
            "Distance of each instance to its posterior; the line joins the methods on one instance.",
        )
        run.figure(
            "samples",
            scatter({name: shown[name] for name in ("exact", *self.compared())}),
            "The first two coordinates of the samples of the first instance.",
        )
        sizes = {name: shown[f"ess/{name}"] for name in self.compared()}
        weighed = {name: size for name, size in sizes.items() if size.max() > 1}
        if not weighed:
            return
        run.figure(
            "ess",
            traces(weighed, self.particles),
            "Effective sample size after every step of the first instance, mean over the groups.",
        )


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _on(method: Any, times: tuple[float, ...]) -> Method:
    """The method on these times, if it is a chain that has none of its own."""
    free = not isinstance(method, REDDiff) and getattr(method, "times", None) == ()
    return replace(method, times=times) if free else method

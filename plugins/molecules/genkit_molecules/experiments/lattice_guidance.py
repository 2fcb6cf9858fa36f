"""Discriminator guidance where every law is known: small molecules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

import jax
import numpy as np

from genkit.discrete import sample
from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.files import write_arrays
from genkit.kinds import Model, check_preset
from genkit.steer import BSDG, FADG, guide
from genkit_molecules import exact
from genkit_molecules.chemistry import sites
from genkit_molecules.items import Order, name_of
from genkit_molecules.models import Guided, Learned, conditionals, tabulated
from genkit_molecules.target import ELEMENTS, Target, target

PARTICLES = 25_000  # at a time


@dataclass(frozen=True)
class LatticeGuidance(Experiment):
    """Train a small generator of all molecules of n atoms, its discriminator, and compare guided samplers exactly.

    ARDM is the model alone, ARDG follows the discriminator without weights, BSDG and FADG are its particle samplers
    (arXiv 2310.15817). Laws are sums over all partial states, or averages of weighted particles. Particles correct
    what the discriminator says of partial states: their limit is p(x) W(x) / Z, and errors of the last W stay.
    """

    headline = "tv/*"

    n: int = 3
    """Atoms, 2 to 4."""
    model: Model[Target, Guided] = field(default_factory=Learned)
    """The model, learned, factorised or half, and its discriminator."""
    particles: tuple[int, ...] = (1, 5, 10, 50)
    """Particles in a group."""
    groups: int = 5000
    """Groups of each method, each of which gives one sample."""
    own_order: Literal["particle", "group"] = "particle"
    """Whether each particle has an order of its own or the group has one."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default (3 atoms), and paper (4 atoms, longer training)."""
        if name == "tiny":
            return cls(n=2, model=Learned.preset(name), particles=(4,), groups=500)
        if name == "paper":
            return cls(n=4, model=Learned.preset(name), groups=20_000)
        check_preset(name)
        return cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        if not 2 <= self.n <= 4:
            raise UsageError(f"n={self.n}; expected 2, 3 or 4 atoms")
        if self.groups < 1:
            raise UsageError(f"groups={self.groups} is too few; expected at least 1")
        if not self.particles or min(self.particles) < 1:
            raise UsageError(f"particles={self.particles}; expected numbers of at least 1")

    def plan(self) -> dict[str, str]:
        """Sizes."""
        of = {2: 75, 3: 2925, 4: 428_625}[self.n]
        return {"partial states": f"{5 ** sites(self.n)}, {of} up to relabelling", "groups": str(self.groups)}

    def target(self) -> Target:
        """The data."""
        return target(self.n)

    def train(self, run: Run) -> None:
        """Train the generator, tabulate it, sample it, train the discriminator."""
        run.trained("model", self.target)
        if (atoms := run.model.layout.sizes.tolist()) != [self.n]:
            raise UsageError(f"n={self.n}, but the model {run.config.model.restore} is of {atoms[0]} atoms")

    def tables(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """log p(x_i | x_S) (R, D, 4) of the model and log W (R,) of the discriminator."""
        self.order(run)  # refuses a learned one
        log_p = conditionals(run, run.model, self.target())
        if run.model.discriminator is None:
            return log_p, self.exact_ratio(run, log_p)
        return log_p, run.once("ratio", lambda: tabulated(run.model.discriminator, self.target().orbits.states))

    def order(self, run: Run) -> Order:
        """In which order the model reveals sites."""
        name = name_of(run.model.generator.discrete.orders)
        if name == "learned":
            raise UsageError("exact laws are those of an order that is given; take a model of --order uniform")
        return name

    def exact_ratio(self, run: Run, log_p: np.ndarray) -> np.ndarray:
        """log W* (R,) of data and model."""
        of = self.target().orbits
        model = exact.law(of, log_p, self.order(run))
        return exact.log_ratio(self.target().log_q, exact.log_marginals(of, model))

    def sample(self, run: Run) -> None:
        """Exact laws, and weighted particles of every method; what is kept are frequencies of the molecules."""
        data, (log_p, log_h) = self.target(), self.tables(run)
        of, best, order = data.orbits, self.exact_ratio(run, log_p), self.order(run)
        sampler = run.model.generator.sampler()
        model = exact.law(of, log_p, order)
        exactly = {
            "ardm/1": model,
            "ardg/1": exact.law(of, exact.adapted(of, log_p, log_h), order),
            "smc/inf": exact.reweighed(of, model, log_h),
            "ardg_exact/1": exact.law(of, exact.adapted(of, log_p, best), order),
            "smc_exact/inf": exact.reweighed(of, model, best),
        }
        kept = {f"mass/{name}": (law * of.size)[data.valid] for name, law in exactly.items()}
        runs = [(f"{name}/{n}", method(n, order=self.own_order), log_h)
                for name, method in (("bsdg", BSDG), ("fadg", FADG)) for n in self.particles]  # fmt: skip
        largest = 10 if 10 in self.particles else max(self.particles)
        runs.append((f"fadg_exact/{largest}", FADG(largest, order=self.own_order), best))
        denoiser = exact.table(of, log_p)
        for name, method, ratio in runs:
            draws = guide(
                run.key(name), method, sampler, denoiser, exact.table(of, ratio),
                (self.groups, sites(self.n)), chunk=min(self.groups, max(1, PARTICLES // method.particles)), draws=None,
            )  # fmt: skip
            weights = np.exp(np.asarray(draws.log_w, np.float64))
            weights /= weights.sum(1, keepdims=True) * self.groups
            half = self.groups // 2
            parts = [slice(0, half), slice(half, 2 * half)]
            whole, *halves = (
                data.histogram(x.reshape(-1, x.shape[-1]), w.ravel() / w.sum())
                for x, w in ((np.asarray(draws.x)[p], weights[p]) for p in (slice(None), *parts))
            )
            # halves differ by twice the error of the whole
            kept |= {f"mass/{name}": whole, f"floor/{name}": _tv(*halves) / 2, f"ess/{name}": draws.ess.mean(0)}
            if name == f"fadg/{largest}":
                which = jax.random.categorical(run.key("shown"), draws.log_w[:24])
                kept["samples/fadg"] = draws.x[np.arange(len(which)), which]
        kept["samples/ardm"] = sample(run.key("ardm"), sampler, denoiser, (24, sites(self.n)))
        write_arrays(run.folder / "laws.npz", {**kept, "bound": exact.bound(of, data.log_q, log_p, order)})

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """validity/<method>/<N>, tv/<method>/<N> and tv_valid/<method>/<N>; floor/<method>/<N> of a sampled tv.

        Total variation is to the uniform law of the molecules, with "invalid" as one more class; tv_valid is that given
        validity. ardm, ardg and smc (the limit of many particles) are exact. <method>_exact has the best discriminator.
        bound and entropy are of the model and of the data, in nats a graph; the least bound is the entropy.
        """
        kept = _load(run)
        results: dict[str, float | None] = {}
        for key, mass in kept.items():
            kind, _, name = key.partition("/")
            if kind == "mass":
                found = exact.score(mass)
                results[f"validity/{name}"], results[f"tv/{name}"] = found.validity, found.tv
                results[f"tv_valid/{name}"] = found.tv_valid
            elif kind == "floor":
                results[key] = float(mass)
            elif kind == "ess":
                results[key] = float(mass.mean())
        return results | {"bound": float(kept["bound"]), "entropy": self.target().entropy}

    def report(self, run: Run) -> None:
        """The table, validity and distance by the number of particles, effective sample sizes, molecules."""
        from genkit_molecules.chemistry import smiles_of
        from genkit_molecules.figures import by_particles, grid, traces

        kept, results = _load(run), run.results
        names = [key.removeprefix("mass/") for key in kept if key.startswith("mass/")]
        kinds = ("validity", "tv", "floor", "tv_valid", "ess")
        run.table(
            "results", ["method / particles", "validity", "TV", "its noise floor", "TV if valid", "ESS"],
            [[name, *(results.get(f"{kind}/{name}") for kind in kinds)] for name in names],
            f"Molecules of {self.n} atoms: distance to the uniform law of {len(self.target().x)}",
            {"validity": "high", "TV": "low", "TV if valid": "low"},
        )  # fmt: skip
        run.figure(
            "guidance", by_particles(results, self.particles),
            "Validity and total variation to the uniform law. Lines without dots are exact. Many particles tend to the "
            "limit p W / Z, which corrects errors of W at partial states and not those at the last one. "
            "Thin: the noise floor of a sampled distance.",
        )  # fmt: skip
        traced = {key.removeprefix("ess/"): kept[key] for key in kept if key.startswith("ess/")}
        run.figure(
            "ess", traces(traced, "sites revealed"),
            "Effective sample size after every weighing, as a fraction of the particles, mean over the groups.",
        )  # fmt: skip
        for name in ("ardm", "fadg"):
            x = kept[f"samples/{name}"]
            run.figure(
                f"molecules_{name}",
                grid(smiles_of(x, ELEMENTS)),
                f"Samples of {name.upper()}; those in several pieces count as invalid.",
            )


def _tv(a: np.ndarray, b: np.ndarray) -> float:
    return float((np.abs(a - b).sum() + abs(a.sum() - b.sum())) / 2)


def _load(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.folder / "laws.npz") as file:
        return dict(file)

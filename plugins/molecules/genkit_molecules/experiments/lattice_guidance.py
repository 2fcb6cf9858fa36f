"""Discriminator guidance where every law is known: small molecules."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self

import jax
import numpy as np

from genkit.discrete import OrderAgnostic, sample
from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import write_arrays
from genkit.kinds import Network, Optimizer
from genkit.steer import BSDG, FADG, discriminator_loss, guide
from genkit.train import AdamW
from genkit_molecules import exact, guidance
from genkit_molecules.graphs import BONDS, sites
from genkit_molecules.networks.graph_transformer import GraphTransformer
from genkit_molecules.orders import Order, order_named
from genkit_molecules.target import Target, target

ELEMENTS = ("C", "N", "O", "F")
STATES = 4096  # that the network sees at a time
PARTICLES = 25_000  # at a time


@dataclass(frozen=True)
class LatticeGuidance(Experiment):
    """Train a small generator of all molecules of n atoms, its discriminator, and compare guided samplers exactly.

    ARDM is the model alone, ARDG follows the discriminator without weights, BSDG and FADG are its particle samplers
    (arXiv 2310.15817). Laws are sums over all partial states, or averages of weighted particles. Particles correct
    what the discriminator says of partial states: their limit is p(x) W(x) / Z, and errors of the last W stay.
    """

    n: int = 3
    """Atoms, 2 to 4."""
    model: Literal["learned", "factorised", "half"] = "learned"
    """The model: a network, the product of the marginals of the data, or a mixture of that and the data."""
    ratio: Literal["learned", "exact"] = "learned"
    """The discriminator: a network, or the exact ratio of data and model."""
    order: Order = "uniform"
    """In which order sites are revealed."""
    particles: tuple[int, ...] = (1, 5, 10, 50)
    """Particles in a group."""
    groups: int = 5000
    """Groups of each method, each of which gives one sample."""
    own_order: Literal["particle", "group"] = "particle"
    """Whether each particle has an order of its own or the group has one."""
    steps: int = 300
    """Training steps of the generator, few: it is to have something to correct."""
    discriminator_steps: int = 2000
    """Training steps of the discriminator."""
    batch: int = 128
    """Graphs in a step."""
    generated: int = 20_000
    """Samples of the model from which the discriminator learns."""
    network: Network = field(default_factory=lambda: GraphTransformer.preset("default"))
    """The network of both."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3, warmup=0, schedule="constant"))
    """The generator's optimiser."""
    discriminator_optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3, warmup=0))
    """The discriminator's optimiser."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default (3 atoms), and paper (4 atoms, longer training)."""
        if name == "tiny":
            small = GraphTransformer(1, dx=16, de=8, heads=2, hidden_x=16, hidden_e=8, dropout=0.0)
            return cls(n=2, particles=(4,), groups=500, steps=20, discriminator_steps=20, batch=32, generated=500,
                       network=small)  # fmt: skip
        if name == "paper":
            return cls(n=4, groups=20_000, steps=600, discriminator_steps=1200,
                       optimizer=AdamW(lr=3e-3, warmup=0, schedule="constant"))  # fmt: skip
        if name != "default":
            raise UsageError(f"molecules.lattice_guidance has no preset {name!r}; it has tiny, default and paper")
        return cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        if not 2 <= self.n <= 4:
            raise UsageError(f"n={self.n}; expected 2, 3 or 4 atoms")
        for name in ("groups", "steps", "discriminator_steps", "batch", "generated"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
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
        self.tables(run)

    def tables(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """log p(x_i | x_S) (R, D, 4) of the model and log W (R,) of the discriminator."""
        return run.once("tables", lambda: self._tables(run))

    def _tables(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        data, of = self.target(), self.target().orbits
        orders = order_named(self.order)

        def generate(key: Any, model: Any, drawn: Any) -> Any:
            x, cond = drawn
            return guidance.bound(key, model, x, cond, orders)

        def discriminate(key: Any, log_odds: Any, drawn: Any) -> Any:
            real, generated, cond = drawn
            return discriminator_loss(key, log_odds, real, generated, BONDS, cond, orders=orders)

        if self.model == "learned":
            head = guidance.graph_head(self.network, ELEMENTS)
            phase = guidance.phase("generator", head, generate, self.optimizer, self.steps, self._real)
            params = run.fit(phase).params
            net = head.net(params)
            log_p = _normalised(_tabulate(net, of.states))
        else:
            params, log_p = None, exact.conditionals(of, data.model(self.model))
        if self.ratio == "exact":
            return log_p, self.exact_ratio(log_p)
        fake = sample(run.key("generated"), self._sampler(), exact.table(of, log_p), (self.generated, sites(self.n)))

        def draw(batch: None, key: Any) -> tuple[Any, Any, None]:
            k_real, k_fake = jax.random.split(key)
            which = jax.random.randint(k_fake, (self.batch,), 0, self.generated)
            return data.draw(k_real, self.batch), fake[which], None

        head, rule = guidance.graph_head(self.network, ELEMENTS, "discriminator"), self.discriminator_optimizer
        steps = self.discriminator_steps
        phase = guidance.phase("discriminator", head, discriminate, rule, steps, draw, start=params)
        net = head.net(run.fit(phase).params)
        return log_p, _tabulate(net, of.states)

    def exact_ratio(self, log_p: np.ndarray) -> np.ndarray:
        """log W* (R,) of data and model."""
        of = self.target().orbits
        model = exact.law(of, log_p, self.order)
        return exact.log_ratio(self.target().log_q, exact.log_marginals(of, model))

    def _real(self, batch: None, key: Any) -> tuple[Any, None]:
        return self.target().draw(key, self.batch), None

    def _sampler(self) -> OrderAgnostic:
        return OrderAgnostic(BONDS, orders=order_named(self.order))

    def sample(self, run: Run) -> None:
        """Exact laws, and weighted particles of every method; what is kept are frequencies of the molecules."""
        data, (log_p, log_h) = self.target(), self.tables(run)
        of, best = data.orbits, self.exact_ratio(log_p)
        model = exact.law(of, log_p, self.order)
        exactly = {
            "ardm/1": model,
            "ardg/1": exact.law(of, exact.adapted(of, log_p, log_h), self.order),
            "smc/inf": exact.reweighed(of, model, log_h),
            "ardg_exact/1": exact.law(of, exact.adapted(of, log_p, best), self.order),
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
                run.key(name), method, self._sampler(), denoiser, exact.table(of, ratio),
                (self.groups, sites(self.n)), chunk=min(self.groups, max(1, PARTICLES // method.particles)),
            )  # fmt: skip
            weights = np.exp(np.asarray(draws.log_w, np.float64))
            weights /= weights.sum(1, keepdims=True) * self.groups
            half = self.groups // 2
            parts = [slice(0, half), slice(half, 2 * half)]
            whole, *halves = (
                data.histogram(x.reshape(-1, x.shape[-1]), w.ravel() / w.sum())
                for x, w in ((np.asarray(draws.particles)[p], weights[p]) for p in (slice(None), *parts))
            )
            # halves differ by twice the error of the whole
            kept |= {f"mass/{name}": whole, f"floor/{name}": _tv(*halves) / 2, f"ess/{name}": draws.ess.mean(0)}
            if name == f"fadg/{largest}":
                kept["samples/fadg"] = draws.x[:24, 0]
        kept["samples/ardm"] = sample(run.key("ardm"), self._sampler(), denoiser, (24, sites(self.n)))
        write_arrays(run.folder / "laws.npz", {**kept, "bound": exact.bound(of, data.log_q, log_p, self.order)})

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
        from genkit_molecules.chem import smiles_of
        from genkit_molecules.figures import by_particles, grid, traces

        kept, results = _load(run), run.results
        names = [key.removeprefix("mass/") for key in kept if key.startswith("mass/")]
        kinds = ("validity", "tv", "floor", "tv_valid", "ess")
        run.table(
            "results", ["method / particles", "validity", "TV", "its noise floor", "TV if valid", "ESS"],
            [[name, *(results.get(f"{kind}/{name}") for kind in kinds)] for name in names],
            f"Molecules of {self.n} atoms: distance to the uniform law of {len(self.target().x)}",
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


def _tabulate(net: Any, states: np.ndarray) -> np.ndarray:
    """What a network says of all states, float64 on the host."""
    parts = jax.jit(partial(guidance.in_parts, size=min(STATES, len(states))))
    call = jax.tree_util.Partial(_hidden_fraction, net)
    return np.asarray(parts(call, states), np.float64)


def _hidden_fraction(net: Any, x: Any) -> Any:
    return net(x, (x == BONDS).mean(1))


def _normalised(logits: np.ndarray) -> np.ndarray:
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def _tv(a: np.ndarray, b: np.ndarray) -> float:
    return float((np.abs(a - b).sum() + abs(a.sum() - b.sum())) / 2)


def _load(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.folder / "laws.npz") as file:
        return dict(file)

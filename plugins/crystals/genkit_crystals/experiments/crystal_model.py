"""A diffusion model of crystals: its data, training, and sampling under what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.chain import Model, tilt
from genkit.data import batches
from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.kinds import Dataset, Network, Optimizer
from genkit.nn import abstract, functional, parameter_count
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit_crystals.bucketed import Bucketed
from genkit_crystals.data import Crystals
from genkit_crystals.datasets.aflow_prototypes import AflowPrototypes
from genkit_crystals.diffusion import (
    CrystalDenoiser,
    Drawn,
    Final,
    Noise,
    Objective,
    ancestral,
    generate,
    process,
    restricted,
)
from genkit_crystals.frequencies import Frequencies, RowFrequencies
from genkit_crystals.layout import Layout, Matrices, encode, layout
from genkit_crystals.networks.wyckoff_gnn import WyckoffGNN, silent
from genkit_crystals.sites import Sites, sites
from genkit_crystals.steering import LookAhead, goal, steered
from genkit_crystals.symmetry import settled
from genkit_crystals.wyckoff import numbers, symbols


@dataclass(frozen=True)
class CrystalModel(Experiment):
    """Base of the experiments: a discrete diffusion over what sits on the Wyckoff positions of a space group."""

    data: Dataset = field(default_factory=AflowPrototypes)
    """The crystals."""
    network: Network = field(default_factory=WyckoffGNN)
    """The denoiser."""
    noise: Noise = "zeros"
    """What values are replaced by: uniform, marginal (frequencies of the data) or zeros (empty)."""
    length: int = 100
    """T, steps of the noise."""
    likelihood: bool = True
    """Multiply the network's answer by the likelihood of each value; the published model does not."""
    correlations: bool = True
    """Let the network answer only what it adds to the frequencies of values by space group, row and element; the
    published one answers all."""
    counts: int | None = None
    """Largest number of orbits of one element on one letter; that of the data if not given."""
    objective: Objective = field(default_factory=Objective)
    """The training loss."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser."""
    steps: int = 1800
    """Training steps."""
    batch: int = 64
    """Crystals in a step."""
    ema: float | None = 50.0
    """Half-life of the averaged parameters in steps; none to use the last ones."""
    widths: tuple[int, ...] = (6, 12)
    """Numbers of rows at which crystals are divided, so that small ones cost little."""
    samples: int = 1000
    """Crystals to draw; as many real ones are held out."""
    strides: int | None = None
    """Steps of the sampler; T if not given."""
    final: Final = "sample"
    """The last step: a draw, the likeliest values, or the reference's, which leaves a little noise."""
    chunk: int = 250
    """Crystals drawn at a time."""
    group: int | None = None
    """Space group of all samples; that of a random training crystal each if not given."""
    elements: tuple[str, ...] = ()
    """Chemical symbols that samples may have, in place of the others; all if empty."""
    formula: str | None = None
    """Chemical formula that all samples shall have, such as SrTiO3: particles compete for it."""
    atoms: int | None = None
    """Largest number of atoms in the conventional cell, likewise."""
    sites: tuple[str, ...] = ()
    """Given sites of the group, likewise: letter=element, as a=Na; i=2O for two orbits, b=0 for an empty one."""
    particles: int = 16
    """Particles for each sample, where they compete."""

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("length", "steps", "batch", "samples", "chunk", "particles"):
            if getattr(self, name) < (2 if name == "samples" else 1):
                raise UsageError(f"{name}={getattr(self, name)} is too few")
        if self.group is not None and not 1 <= self.group <= 230:
            raise UsageError(f"group={self.group}; space groups are 1 to 230")
        if list(self.widths) != sorted(set(self.widths)) or any(not 1 <= w <= 27 for w in self.widths):
            raise UsageError(f"widths={self.widths} must rise, from 1 to 27")
        unknown = [e for e in self.elements if e not in numbers()]
        if unknown:
            raise UsageError(f"elements: no element is called {', '.join(unknown)}")
        if self.elements and self.formula is not None:
            raise UsageError("elements and formula exclude one another; a formula has its elements")
        allowed, given = self._allowed(), self._sites()
        excluded = sorted(given.elements - set(allowed)) if given and allowed else []
        if excluded:
            raise UsageError(f"sites: {', '.join(symbols()[z] for z in excluded)} is not among the elements asked for")

    def _sites(self) -> Sites | None:
        if not self.sites:
            return None
        if self.group is None:
            raise UsageError("sites are those of one space group; say which by group")
        return sites(self.group, self.sites)

    def _allowed(self) -> list[int]:
        """Atomic numbers that samples may have; all if empty."""
        return goal(self.formula, self.atoms).elements or [numbers()[e] for e in self.elements]

    @property
    def models(self) -> dict[str, str]:
        """What is drawn by the model, by the names of results; label files and structures are of the last one."""
        return {"model": "diffusion model"}

    # data

    def crystals(self, run: Run) -> tuple[Crystals, Crystals]:
        """Training crystals and those held out; what the loader refused is told once."""

        def load() -> tuple[Crystals, Crystals]:
            every: Crystals = self.data.load()
            for one in every.rejects[:5]:
                run.say(f"refused {one.place}: {one.reason}")
            if every.rejects:
                run.say(f"{len(every.rejects)} entries were refused, {len(every)} distinct crystals are left")
            return every.split(self.samples)

        return run.once("crystals", load)

    def slots(self, run: Run) -> Layout:
        """The layout of all training groups."""
        return run.once("slots", lambda: layout([c.group for c in self.crystals(run)[0].crystals]))

    def matrices(self, run: Run) -> Matrices:
        """The training crystals as arrays."""
        return run.once("matrices", lambda: encode(self.crystals(run)[0].crystals, self.slots(run), self._given()))

    def _given(self) -> int | None:
        return None if self.counts is None else self.counts + 1

    def frequencies(self, run: Run) -> Frequencies:
        """Frequencies of values in the training data; the length of the second is the number of classes."""

        def count() -> Frequencies:
            data = self.matrices(run)
            return Frequencies.of(data, self.slots(run), self._given() or max(int(data.x1.max()), 1) + 1)

        return run.once("frequencies", count)

    def rows(self, run: Run) -> RowFrequencies:
        """Those of every variable of the training crystals by itself."""
        classes = len(self.frequencies(run).x1)
        return run.once("rows", lambda: RowFrequencies.of(self.crystals(run)[0].crystals, self.slots(run), classes))

    def prior(self, run: Run) -> tuple[Any, Any] | None:
        """What the network's answer is added to."""
        return self.rows(run).log() if self.correlations else None

    def processes(self, run: Run, final: Final = "sample") -> Any:
        """The processes of x0 and x1."""
        return process(self.noise, self.length, self.frequencies(run), self.likelihood, final)

    # training

    def train(self, run: Run) -> None:
        """Train the denoiser; what cannot be drawn is refused before."""
        self.groups(run, 1, run.seed)
        given = self._sites()
        if given:
            given.held(ancestral(self.processes(run)), self.slots(run))
        self.trained(run)

    def trained(self, run: Run) -> Any:
        """Parameters of the trained network, averaged."""
        return run.once("trained", lambda: self._trained(run))

    def _network(self, run: Run) -> tuple[Any, Any]:
        classes = len(self.frequencies(run).x1)
        apply, params = functional(self.network.build(nnx.Rngs(run.key("parameters")), self.length, classes))
        return apply, silent(params) if self.correlations else params

    def _trained(self, run: Run) -> Any:
        network, params = self._network(run)
        processes, optimizer = self.processes(run), self.optimizer.build(self.steps)
        prior = jax.tree.map(jnp.asarray, self.prior(run))
        source = Bucketed.of(self.crystals(run)[0].crystals, self.widths, self.batch, self._given())

        def loss(params: Any, aux: Any, batch: tuple[Any, ...], key: jax.Array) -> Any:
            total, metrics = jnp.zeros(()), {}
            for i, (part, slots) in enumerate(zip(batch, source.slots, strict=True)):
                k_move, k_loss = jax.random.split(jax.random.fold_in(key, i))
                x = slots.relabelled(k_move, part["group"], part["x"])
                denoiser = CrystalDenoiser(network, params, slots, prior)
                value, some = self.objective(k_loss, denoiser, {"group": part["group"], "x": x}, processes)
                share = len(part["group"]) / self.batch
                total = total + share * value
                metrics = {name: metrics.get(name, 0.0) + share * a for name, a in some.items()}
            return total, (aux, metrics)

        def init(key: jax.Array) -> TrainState:
            return TrainState.create(params, optimizer, ema=self.ema is not None)

        step = make_step(loss, optimizer, ema_half_life=self.ema, clip=1.0)
        phase = Phase("denoiser", init, step, batches(source, self.batch, seed=run.seed), self.steps)
        return run.fit(phase).averaged

    def denoiser(self, run: Run) -> CrystalDenoiser:
        """The trained denoiser; x = (x0, x1), `cond` is the space group."""
        network, _ = self._network(run)
        return CrystalDenoiser(
            network, self.trained(run), self.slots(run), self.prior(run), early=self.final == "reference"
        )

    # sampling

    def groups(self, run: Run, n: int, seed: int) -> np.ndarray:
        """Space groups of n samples, drawn from the training crystals unless one is given."""
        known = self.matrices(run).group
        if self.group is not None:
            if self.group not in known:
                raise UsageError(f"group={self.group}: no training crystal has this space group")
            return np.full(n, self.group, np.int32)
        return np.random.default_rng(seed).choice(known, n)

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """Labels of n crystals, (n,) text; empty for one without atoms."""
        seed = int(jax.random.randint(jax.random.fold_in(key, 0), (), 0, 2**31 - 1))
        drawn = self._draw(run, jax.random.fold_in(key, 1), self.groups(run, n, seed))
        return np.array(["" if c is None else settled(c).label for c in drawn.crystals])

    def _draw(self, run: Run, key: Any, groups: np.ndarray, name: str | None = None) -> Drawn:
        """Crystals of one of the models, the last one if it has no name."""
        elements, sampler = self._allowed(), ancestral(self.processes(run, self.final), self.strides, self.final)
        denoiser = restricted(run.denoiser, elements) if elements else run.denoiser
        wanted, given = goal(self.formula, self.atoms), self._sites()
        critic = self.log_potential(run, name or list(self.models)[-1])
        if critic is None and given is None and self.formula is None and self.atoms is None:
            return generate(key, denoiser, sampler, groups, self.chunk, self.widths)

        def chain(denoiser: CrystalDenoiser, group: Any) -> Model:
            slots = denoiser.slots
            held = sampler if given is None else given.held(sampler, slots)
            ahead = LookAhead(wanted, slots, group)

            def log_h(p: Any, u: Any) -> Any:
                said = 0.0 if critic is None else critic(slots)(p.x, u.t, group)
                return ahead(p, u) + said

            return tilt(held.model(denoiser, slots.shape(len(group)), group, slots.mask(group)), log_h)

        batch = max(1, self.chunk // self.particles)
        drawn = steered(key, denoiser, groups, chain, self.particles, batch, self.widths)
        return Drawn([c if wanted.reached(c) else None for c in drawn.crystals])

    def log_potential(self, run: Run, name: str) -> Callable[[Layout], Any] | None:
        """(layout) -> what weighs the crystals of a model; see `genkit.steer.LogPotential`."""
        return None

    def plan(self) -> dict[str, str]:
        """Parameters of the networks."""
        classes = 55 if self.counts is None else self.counts + 1
        _, params = abstract(lambda rngs: self.network.build(rngs, self.length, classes))
        return {"parameters": f"{parameter_count(params):,} with counts up to {classes - 1}"}

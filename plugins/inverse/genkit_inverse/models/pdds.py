"""The recipe of a learned potential of PDDS, and what is asked of it once it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.chain import State, callable_tree
from genkit.errors import UsageError
from genkit.kinds import Network, Target
from genkit.model import Piece, Recipe, Request, Trained
from genkit.nn import Net
from genkit.smc import systematic
from genkit.steer import PDDS, NaivePotential
from genkit.train import Phase, TrainState, make_step
from genkit.tree import register_dataclass
from genkit_inverse.networks import PotentialMLP, PotentialSizes
from genkit_inverse.targets import Normal, Whitened, whitened

Array = jax.Array
FIRST = 1e-3  # time from which on the potential is learned


@register_dataclass
@dataclass(frozen=True, eq=False)
class LearnedPotential:
    """r <net(x), x> + (1 - r) log g_0(sqrt(1 - lam) x), r the trust of the network at lam; see `genkit.steer.PDDS`."""

    network: Net = field(metadata={"static": True})
    params: Any
    log_p: Any
    """(d,) -> (), in coordinates of the reference"""

    def __call__(self, x: Array, lam: Array) -> Array:
        """(n,) for x (n, d), lam () or (n,)."""
        trust, out = self.network(self.params, x, jnp.atleast_1d(lam))
        return trust * jnp.sum(out * x, -1) + (1 - trust) * NaivePotential(self.log_p)(x, lam)


@dataclass(frozen=True)
class Draw(Request):
    """Draw weighted samples of the target by PDDS, with the estimate of log Z."""

    steps: int | None = None
    """Steps of the reverse diffusion; those of the model if not given."""
    moves: int | None = None
    """MALA moves of each particle before a step; those of the model if not given."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if (self.steps is not None and self.steps < 1) or (self.moves is not None and self.moves < 0):
            raise UsageError(f"steps={self.steps}, moves={self.moves}; expected at least 1, and at least 0")

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = 0) -> Iterator[Piece]:
        """One population: `samples` (n, d), their `log_w` (n,), and in each row the `log_z` of all."""
        sampler = replace(model.sampler, **{k: v for k, v in vars(self).items() if v is not None})
        state = jax.jit(lambda key: model.run(key, n, sampler))(key).warned("PDDS")
        log_z = np.full(n, float(state.log_z))
        yield {"samples": np.asarray(model.reference.back(state.p.x)), "log_w": np.asarray(state.log_w), "log_z": log_z}


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class LearnedPDDS(Trained):
    """A potential learned for one density, with the density."""

    request: ClassVar[type[Request]] = Draw

    network: Net = field(metadata={"static": True})
    params: Any
    density: Any
    reference: Normal
    """in whose coordinates the noise is N(0, I)"""
    sampler: PDDS = field(metadata={"static": True})
    evals: int = field(metadata={"static": True})
    """evaluations of the density in training"""

    def run(self, key: Array, n: int, sampler: PDDS | None = None) -> State:
        """n weighted particles, in coordinates of the reference, and log Z."""
        potential = self.potential
        return (sampler or self.sampler).run(key, n, potential.log_p, self.dim, potential)

    @property
    def potential(self) -> LearnedPotential:
        """What was learned."""
        return LearnedPotential(self.network, self.params, _log_p(self.density, self.reference))

    @property
    def dim(self) -> int:
        """d."""
        return self.network.sizes[0].dim

    def check(self, data: Target) -> None:
        """Refuse another density."""
        density = data.load()
        same = jax.tree.structure(density) == jax.tree.structure(self.density)
        leaves = zip(jax.tree.leaves(density), jax.tree.leaves(self.density), strict=True) if same else ()
        if not same or not all(np.array_equal(a, b) for a, b in leaves):
            raise UsageError(f"{self!r} was trained for another density than {type(data).__name__} with its options")


@register_dataclass
@dataclass(frozen=True)
class Learning:
    """State of the training."""

    train: TrainState
    drawn_by: Any
    """parameters of the potential by which samples are drawn"""
    x: Array
    """(pool, d) samples"""
    grad: Array
    """(pool, d) gradients of log g_0 there"""
    collapsed: Array
    """() int, pools that were drawn where all weights were zero"""
    undefined: Array
    """() int, particles that met a potential of NaN or +inf"""


@dataclass(frozen=True, kw_only=True)
class PDDSPotential(Recipe):
    """A potential for PDDS (arXiv 2402.06320), learned from its own samples by novel score matching.

    The loss is that of gradients of log g at x_t against sqrt(1 - lam) times those of log g_0 at x_0.
    """

    fixed: ClassVar[tuple[str, ...]] = ("network", "whiten")
    used: ClassVar[tuple[str, ...]] = ("sampler",)

    network: Network[PotentialSizes] = field(default_factory=PotentialMLP)
    """The network."""
    sampler: PDDS = field(default_factory=PDDS)
    """By which samples are drawn."""
    updates: int = 3000
    """Training steps."""
    iterations: int = 2
    """Parts of the training: at the begin of each the learned potential becomes that by which samples are drawn."""
    batch: int = 300
    """Samples in a step."""
    pool: int = 6000
    """Samples drawn at once."""
    refresh: int = 100
    """Steps after which they are drawn anew."""
    lr: float = 1e-3
    """Adam's learning rate at the begin of an iteration."""
    decay: float = 0.95
    """Its factor in 50 steps."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    ema: float = 693.0
    """Half-life of the averaged parameters in steps."""
    whiten: int = 0
    """Steps of mean-field variational inference, which finds the reference; 0 takes the target's base."""

    @classmethod
    def preset(cls, name: str) -> PDDSPotential:
        """Presets tiny (CI), default, paper (the published training)."""
        if name == "tiny":
            return cls(updates=20, pool=100, refresh=10, batch=50, sampler=PDDS(steps=4), network=PotentialMLP(8, 8))
        return cls(updates=20_000, pool=30_000, whiten=20_000) if name == "paper" else cls()

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        for name in ("updates", "iterations", "batch", "pool", "refresh"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.whiten < 0 or not 0 < self.decay <= 1 or min(self.lr, self.clip, self.ema) <= 0:
            raise UsageError(
                f"whiten={self.whiten}, decay={self.decay}, lr={self.lr}, clip={self.clip}, ema={self.ema}; expected "
                "whiten of 0 or more, decay in (0, 1], the others above 0"
            )

    def fit(self, run: Any, data: Target, start: LearnedPDDS | None = None) -> LearnedPDDS:
        """Find the reference, then learn the potential; the model has averaged parameters."""
        density: Any = data.load()
        begin = whitened(density)
        if start is None:
            model = LearnedPDDS(
                Net(self.network, (PotentialSizes(density.dim),)), None, density,
                self._reference(run, density, begin.normal), self.sampler, 0,
            )  # fmt: skip
        else:
            model = start
        updates = self.updates if start is None else self.finetune
        each = max(1, -(-updates // self.iterations))

        def rate(step: Any) -> Any:
            return self.lr * self.decay ** ((step % each) / 50)

        optimizer, potential = optax.adam(rate), model.potential

        def drawn(params: Any, key: Any) -> tuple[Array, Array, Array, Array]:
            state = self.sampler.run(key, self.pool, potential.log_p, model.dim, replace(potential, params=params))
            pick, order = jax.random.split(jax.random.fold_in(key, 1))
            idx = jax.random.permutation(order, systematic(pick, state.log_w, self.pool))
            return state.p.x[idx], state.p.grad[idx], state.collapsed.astype(jnp.int32), state.undefined

        def loss(params: Any, aux: None, batch: Any, key: Any) -> Any:
            return score_loss(key, replace(potential, params=params), *batch), (aux, {})

        plain = make_step(loss, optimizer, ema_half_life=self.ema, clip=self.clip)

        def init(key: Any) -> Learning:
            params = model.network.init(key) if start is None else model.params
            none, zero = jnp.zeros((self.pool, model.dim)), jnp.zeros((), jnp.int32)
            train = TrainState.create(params, optimizer)
            return Learning(train, jax.tree.map(jnp.array, params), none, none, zero, zero)

        def step(state: Learning, batch: None, key: Any) -> tuple[Learning, dict[str, Array]]:
            t, train = state.train.step, state.train
            again = (t % each == 0) & (t > 0)
            by = jax.tree.map(lambda new, old: jnp.where(again, new, old), train.averaged, state.drawn_by)
            zero = jnp.zeros((), jnp.int32)
            x, grad, collapsed, undefined = jax.lax.cond(
                t % self.refresh == 0,
                lambda: drawn(by, jax.random.fold_in(key, 1)),
                lambda: (state.x, state.grad, zero, zero),
            )
            rows = ((t % self.refresh) * self.batch + jnp.arange(self.batch)) % self.pool
            train, metrics = plain(train, (x[rows], grad[rows]), jax.random.fold_in(key, 0))
            counts = state.collapsed + collapsed, state.undefined + undefined
            return Learning(train, by, x, grad, *counts), metrics

        end = run.fit(Phase("potential", init, step, None, updates))
        pools, params = -(-updates // self.refresh), end.train.averaged
        if end.collapsed > 0:
            said = f"all weights were zero in {end.collapsed} of {pools} draws, from which it learned nothing"
            run.say(f"potential: {said}")
        if end.undefined > 0:
            run.say(f"potential: {end.undefined} particles met a density of NaN or +inf, which counts as zero")
        drawing = pools * self.pool * self.sampler.calls()
        evals = model.evals + drawing + updates * self.batch + (self.whiten * self.batch if start is None else 0)
        return replace(model, params=params, sampler=self.sampler, evals=evals)

    def _reference(self, run: Any, density: Any, normal: Normal | None) -> Normal:
        """The base of the density, or a normal like its draws; with `whiten` the one of least reverse KL."""
        if normal is None:
            x = jax.vmap(density.base.draw)(jax.random.split(run.key("reference"), 4096))
            normal = Normal(np.asarray(x.mean(0)), np.asarray(x.std(0)))
        if not self.whiten:
            return normal
        optimizer = optax.adam(1e-3)

        def loss(params: Any, aux: None, batch: None, key: Any) -> Any:
            around = Normal(params["mean"], jnp.exp(params["log_root"]))
            z = jax.random.normal(key, (self.batch, density.dim))
            return -jax.vmap(Whitened(density, around))(z).mean(), (aux, {})

        def init(key: Any) -> TrainState:
            sd = normal.root if np.ndim(normal.root) == 1 else np.linalg.norm(normal.root, axis=1)
            return TrainState.create({"mean": jnp.array(normal.mean), "log_root": jnp.log(sd)}, optimizer, ema=False)

        params = run.fit(Phase("reference", init, make_step(loss, optimizer), None, self.whiten)).params
        return Normal(np.asarray(params["mean"]), np.exp(np.asarray(params["log_root"])))


def score_loss(key: Array, potential: LearnedPotential, x0: Array, grad0: Array) -> Array:
    """Mean square of grad log g(x_t) - sqrt(1 - lam) grad log g_0(x_0), at stratified times in (.001, 1].

    Args:
        key: of times and noise.
        potential: what is learned.
        x0: (n, d) samples of the density.
        grad0: (n, d) gradients of log g_0 there.
    """
    n = len(x0)
    times, normal = jax.random.split(key)
    t = FIRST + (1 - FIRST) * (jnp.arange(n) + 1 - jax.random.uniform(times, (n,))) / n
    lam = PDDS.noise(t, jnp)
    signal, spread = jnp.sqrt(1 - lam)[:, None], jnp.sqrt(lam)[:, None]
    x = signal * x0 + spread * jax.random.normal(normal, x0.shape)
    grad = jax.grad(lambda x: potential(x, lam).sum())(x)
    return jnp.sum((grad - signal * grad0) ** 2, 1).mean()


def _log_p(density: Any, reference: Normal) -> Whitened:
    return Whitened(callable_tree(density), reference)

"""Recipes of models of all small molecules, learned or known, with a discriminator: every law of theirs is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import sample
from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.model import Critic, CriticRecipe
from genkit.nn import transfer
from genkit.steer import discriminator_loss
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit_molecules import exact
from genkit_molecules.chemistry import BONDS, relabel, sites
from genkit_molecules.exact import OrbitTable
from genkit_molecules.items import Kind, Order, order_named
from genkit_molecules.models.discrete import Discrete
from genkit_molecules.models.trained import Generator, Guided
from genkit_molecules.networks import GraphTransformer
from genkit_molecules.target import Target

STATES = 4096  # that the network sees at a time


@dataclass(frozen=True, kw_only=True)
class LatticeRecipe(CriticRecipe):
    """Base: a generator of the molecules of n atoms, and a discriminator of it and the data."""

    fixed: ClassVar[tuple[str, ...]] = ("network", "order", "ratio", "steps")

    ratio: Literal["learned", "exact"] = "learned"
    """The discriminator: a network, or the exact ratio of data and model."""
    order: Order = "uniform"
    """In which order sites are revealed."""
    batch: int = 128
    """Graphs in a step."""
    network: Network[tuple[str, ...], Kind, int, int] = field(
        default_factory=lambda: GraphTransformer(2, dx=64, de=32, heads=4, hidden_x=64, hidden_e=32, dropout=0.0)
    )
    """The network of both; told nothing but the graph, as the paper's."""
    generated: int = 20_000
    """Samples of the model from which the discriminator learns."""
    discriminator_steps: int = 2000
    """Training steps of the discriminator."""
    discriminator_optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3, warmup=0))
    """The discriminator's optimiser."""

    @classmethod
    def preset(cls, name: str) -> Any:
        """Presets tiny, default (3 atoms), and paper (4 atoms)."""
        if name == "tiny":
            small = GraphTransformer(1, dx=16, de=8, heads=2, hidden_x=16, hidden_e=8, dropout=0.0)
            return cls(discriminator_steps=20, batch=32, generated=500, network=small)
        return cls(discriminator_steps=1200) if name == "paper" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        for name in ("steps", "batch"):
            if getattr(self, name, 1) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    def generator(self, run: Any, data: Target, start: Guided | None) -> Any:
        """The conditionals of the model, as a denoiser."""
        raise NotImplementedError

    def fit(self, run: Any, data: Target, start: Guided | None = None) -> Guided:
        """Make the generator, tabulate it, sample it, train the discriminator."""
        discrete = Discrete("ardm", order_named(self.order))
        layout = data.layout
        model = Guided(Generator(layout, self.generator(run, data, start), discrete))
        if self.ratio == "exact":
            return model
        table = exact.table(data.orbits, conditionals(run, model, data))
        shape = self.generated, sites(data.n)
        fake = sample(run.key("generated"), model.generator.sampler(), table, shape)

        def loss(key: Any, net: Any, k_draw: Any) -> Any:
            k_real, k_fake = jax.random.split(k_draw)
            which = jax.random.randint(k_fake, (self.batch,), 0, self.generated)
            real = data.draw(k_real, self.batch)
            return discriminator_loss(key, net, real, fake[which], BONDS, None, orders=discrete.orders)

        net, known = layout.net(self.network, "discriminator"), getattr(model.generator.denoiser, "params", None)
        steps = self.discriminator_steps if start is None else self.finetune
        begin = net.init if known is None else lambda key: transfer(known, net.init(key))
        params = fitted(run, "discriminator", begin, partial(layout.log_odds, net), loss, steps,
                        self.discriminator_optimizer)  # fmt: skip
        return replace(model, discriminator=Critic(layout.log_odds(net, params)))


@dataclass(frozen=True, kw_only=True)
class Learned(LatticeRecipe):
    """A network that is trained on the molecules, little: it is to have something to correct."""

    steps: int = 300
    """Training steps of the generator."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3, warmup=0, schedule="constant"))
    """The generator's optimiser."""

    @classmethod
    def preset(cls, name: str) -> Learned:
        """Presets tiny, default (3 atoms), and paper (4 atoms, longer training)."""
        base = super().preset(name)
        if name == "paper":
            return replace(base, steps=600, optimizer=AdamW(lr=3e-3, warmup=0, schedule="constant"))
        return replace(base, steps=20) if name == "tiny" else base

    def generator(self, run: Any, data: Target, start: Guided | None) -> Any:
        """Train the network."""
        layout, orders = data.layout, order_named(self.order)
        net = layout.net(self.network)

        def loss(key: Any, model: Any, k_draw: Any) -> Any:
            x = data.draw(k_draw, self.batch)
            return Discrete("ardm", orders).loss(key, model, x, None, None, layout.space(data.n))

        begin = net.init if start is None else lambda key: start.generator.denoiser.params
        steps = self.steps if start is None else self.finetune
        of = partial(_with_key, partial(layout.denoiser, net))
        return layout.denoiser(net, fitted(run, "generator", begin, of, loss, steps, self.optimizer))


@dataclass(frozen=True, kw_only=True)
class Factorised(LatticeRecipe):
    """The product of the marginals of the data."""

    which: ClassVar[Literal["factorised", "half"]] = "factorised"

    def generator(self, run: Any, data: Target, start: Guided | None) -> Any:
        """Its conditionals, exact."""
        of = data.orbits
        return OrbitTable(of.index, of.turn, relabel(of.n), exact.conditionals(of, data.model(self.which)))


@dataclass(frozen=True, kw_only=True)
class Half(Factorised):
    """A mixture, in equal parts, of the product of the marginals of the data and of the data."""

    which: ClassVar[Literal["factorised", "half"]] = "half"


def fitted(
    run: Any, name: str, begin: Any, of: Callable[..., Any], loss: Any, steps: int, optimizer: Optimizer
) -> Any:  # fmt: skip
    """Parameters trained by loss(key, of(params, key for dropout), key of the draw); there is no end of examples."""
    rule = optimizer.build(steps)

    def objective(params: Any, aux: None, batch: None, key: Any) -> Any:
        k_draw, k_loss, k_drop = jax.random.split(key, 3)
        return loss(k_loss, of(params, k_drop), k_draw), (aux, {})

    def init(key: Any) -> TrainState:
        return TrainState.create(begin(key), rule, ema=False)

    return run.fit(Phase(name, init, make_step(objective, rule), None, steps)).params


def _with_key(denoiser: Any, params: Any, key: Any) -> Any:
    return denoiser(params, key=key)


def conditionals(run: Any, model: Guided, data: Target) -> np.ndarray:
    """log p(x_i | x_S) (R, D, 4) of the generator, once in a process."""
    denoiser = model.generator.denoiser
    if isinstance(denoiser, OrbitTable):
        return np.asarray(denoiser.values)
    return run.once("conditionals", lambda: _normalised(tabulated(denoiser, data.orbits.states)))


def tabulated(net: Any, states: np.ndarray) -> np.ndarray:
    """What a network says of all states, float64 on the host."""
    parts = jax.jit(partial(in_parts, size=min(STATES, len(states))))
    call = jax.tree_util.Partial(_hidden_fraction, net)
    return np.asarray(parts(call, states), np.float64)


def in_parts(f: Callable[[jax.Array], jax.Array], x: jax.Array, size: int) -> jax.Array:
    """f over the rows of x, so many at a time; one compiled program."""
    count = -(-len(x) // size)
    padded = jnp.concatenate([x, jnp.broadcast_to(x[:1], (count * size - len(x), *x.shape[1:]))])
    parts = jax.lax.map(f, padded.reshape(count, size, *x.shape[1:]))
    return parts.reshape(-1, *parts.shape[2:])[: len(x)]


def _hidden_fraction(net: Any, x: Any) -> Any:
    return net(x, (x == BONDS).mean(1))


def _normalised(logits: np.ndarray) -> np.ndarray:
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))

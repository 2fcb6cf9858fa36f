"""Training of the encoder of the Frechet Wrenformer distance; the same for all runs on one data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.data import batches
from genkit.nn import Apply, functional
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit_crystals.data import Crystals
from genkit_crystals.evaluation import electronegativity_spread, periodic_table
from genkit_crystals.networks.wrenformer import Tokens, data_folder, feature_tables, features, tokens
from genkit_crystals.protostructure import Protostructure

LENGTH = 32  # orbits that are seen
CHUNK = 128  # crystals at a time
EPS = 1e-9
SEED = 0  # not the run's: the yardstick does not change with the run


@dataclass(frozen=True)
class Encoder:
    """A Wrenformer and its task: formation energy where all crystals have one, else descriptors."""

    network: Any
    """`networks.wrenformer.Wrenformer`."""
    steps: int
    batch: int = 64

    @cached_property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of elements and of Wyckoff positions."""
        return feature_tables(data_folder())

    @property
    def width(self) -> int:
        """Features of a token."""
        return 1 + sum(table.shape[-1] for table in self.known)

    def name(self, data: Crystals) -> str:
        """What must be told with every distance."""
        source = "published" if self.known[1].shape[-1] == 444 else "plain"
        target = "formation energy" if np.isfinite(data.energies).all() else "descriptors"
        return f"wrenformer {self.network.width}x{self.network.layers}, {source} features, {target}, {self.steps} steps"

    def build(self, outputs: int) -> tuple[Any, Any]:
        """The network as a function, and its first parameters."""
        return functional(self.network.build(nnx.Rngs(SEED), self.width, outputs))

    def phase(self, data: Crystals) -> Phase:
        """The training."""
        goals = targets(data)
        network, _ = self.build(goals.shape[1])
        optimizer = AdamW(lr=1e-3).build(self.steps)
        source = _Examples(tokens(data.crystals, LENGTH), goals)
        known = self.known

        def loss(params: Any, aux: Any, batch: dict[str, Any], key: jax.Array) -> Any:
            image = jax.random.randint(key, (), 0, batch["row"].shape[1])  # one equivalent assignment a step
            some = {k: v[:, image][:, None] if v.ndim == 3 else v for k, v in batch.items() if k != "goal"}
            mean, log_std = network(params, *features(some, known))
            # negative log-likelihood of a Laplace law: "robust" loss of aviary
            value = jnp.sqrt(2.0) * jnp.abs(mean - batch["goal"]) * jnp.exp(-log_std) + log_std
            return value.mean(), (aux, {"error": jnp.abs(mean - batch["goal"]).mean()})

        def init(key: jax.Array) -> TrainState:
            return TrainState.create(self.build(goals.shape[1])[1], optimizer)

        step = make_step(loss, optimizer, ema_half_life=self.steps / 40, clip=1.0)
        return Phase("encoder", init, step, batches(source, self.batch, seed=SEED), self.steps)

    def embed(self, params: Any, outputs: int, crystals: Sequence[Protostructure]) -> np.ndarray:
        """Embeddings (n, width) of crystals, averaged over orbits and equivalent assignments."""
        return self._over(_embedding, params, outputs, crystals)

    def energies(self, params: Any, data: Crystals, crystals: Sequence[Protostructure]) -> np.ndarray:
        """Formation energies (n,) in eV per atom that it predicts, trained on `data`."""
        found = self._over(_mean, params, 1, crystals)[:, 0]
        return found * (data.energies.std() + EPS) + data.energies.mean()

    def _over(self, f: Any, params: Any, outputs: int, crystals: Sequence[Protostructure]) -> np.ndarray:
        """f(network, params, batch, known) in chunks of one size, so that all sets have one program, (n, ...)."""
        network, _ = self.build(outputs)
        every = tokens(crystals, LENGTH)
        starts = range(0, len(crystals), CHUNK)
        rows = [np.resize(np.arange(first, min(first + CHUNK, len(crystals))), CHUNK) for first in starts]
        return np.concatenate([f(network, params, every.take(some), self.known) for some in rows])[: len(crystals)]


@partial(jax.jit, static_argnums=0)
def _embedding(network: Apply, params: Any, batch: dict[str, Any], known: Any) -> jax.Array:
    return nnx.merge(network.graph, params).embedding(*features(batch, known))


@partial(jax.jit, static_argnums=0)
def _mean(network: Apply, params: Any, batch: dict[str, Any], known: Any) -> jax.Array:
    return network(params, *features(batch, known))[0]


@dataclass(frozen=True)
class _Examples:
    tokens: Tokens
    goals: np.ndarray

    def __len__(self) -> int:
        return len(self.goals)

    def __getitem__(self, i: Any) -> dict[str, Any]:
        return {**self.tokens.take(i), "goal": self.goals[i]}

    take = __getitem__


def targets(data: Crystals) -> np.ndarray:
    """What the encoder is trained on, (n, k), mean 0 and variance 1: energy, else what needs no calculation.

    Without energies: logarithms of free parameters and atoms, mean and spread of electronegativity over atoms.
    """
    if np.isfinite(data.energies).all():
        goals = data.energies[:, None]
    else:
        rows = []
        for one in data.crystals:
            share = np.array(list(one.composition.values())) / one.atoms
            mean = share @ periodic_table()[list(one.composition), 0]
            rows.append([np.log(one.freedom), np.log(one.atoms), mean, electronegativity_spread(one)])
        goals = np.array(rows)
    return ((goals - goals.mean(0)) / (goals.std(0) + EPS)).astype(np.float32)

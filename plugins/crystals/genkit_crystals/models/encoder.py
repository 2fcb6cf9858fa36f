"""The encoder of the Frechet Wrenformer distance; the same for all runs on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Network
from genkit.model import Recipe, Trained
from genkit.nn import Net
from genkit.train import AdamW, learn
from genkit.tree import register_dataclass
from genkit_crystals.data import Crystals
from genkit_crystals.evaluation import electronegativity_spread
from genkit_crystals.networks import Tokens, TokenSizes, Wrenformer, data_folder, feature_tables, features, tokens
from genkit_crystals.protostructures import Protostructure, periodic_table

LENGTH = 32  # orbits that are seen
CHUNK = 128  # crystals at a time
EPS = 1e-9
ENERGY = "formation energy"
SEED = 0  # not the run's: the yardstick does not change with the run


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Encoder(Trained):
    """A network on the orbits of a crystal: what it learned of the training crystals is in its embedding."""

    instead: ClassVar[str] = "it measures distances of crystals and draws none"

    network: Any = field(metadata={"static": True})
    """`genkit.nn.Net` of a `Wrenformer`"""
    params: Any
    tables: tuple[Any, Any]
    """features of elements and of Wyckoff positions, see `feature_tables`"""
    scale: tuple[Any, Any]
    """mean and standard deviation (k,) of what it predicts"""
    task: str = field(metadata={"static": True})
    """formation energy, in eV per atom, or descriptors"""
    steps: int = field(metadata={"static": True})
    """of its training"""

    @property
    def name(self) -> str:
        """What must be told with every distance."""
        size, source = self.network.component, "published" if self.tables[1].shape[-1] == 444 else "plain"
        return f"wrenformer {size.width}x{size.layers}, {source} features, {self.task}, {self.steps} steps"

    @property
    def knows_energies(self) -> bool:
        """Whether it predicts formation energies."""
        return self.task == ENERGY

    def embed(self, crystals: Sequence[Protostructure]) -> np.ndarray:
        """Embeddings (n, width) of crystals, averaged over orbits and equivalent assignments."""
        return self._over(_embedding, crystals)

    def energies(self, crystals: Sequence[Protostructure]) -> np.ndarray:
        """Formation energies (n,) in eV per atom that it predicts."""
        if not self.knows_energies:
            raise UsageError("the encoder knows no energies: not all of the crystals that it was trained on have one")
        mean, std = self.scale
        return self._over(_mean, crystals)[:, 0] * std[0] + mean[0]

    def _over(self, f: Any, crystals: Sequence[Protostructure]) -> np.ndarray:
        """f(network, params, batch, tables) in chunks of one size, so that all sets have one program, (n, ...)."""
        every = tokens(crystals, LENGTH)
        starts = range(0, len(crystals), CHUNK)
        rows = [np.resize(np.arange(first, min(first + CHUNK, len(crystals))), CHUNK) for first in starts]
        found = [f(self.network, self.params, every.take(some), self.tables) for some in rows]
        return np.concatenate(found)[: len(crystals)]


@dataclass(frozen=True, kw_only=True)
class WrenformerEncoder(Recipe):
    """A Wrenformer trained on formation energies where all crystals have one, else on descriptors."""

    fixed: ClassVar[tuple[str, ...]] = ("network", "steps")

    network: Network[TokenSizes] = field(default_factory=Wrenformer)
    """The network whose embedding measures distances."""
    steps: int = 600
    """Training steps."""
    batch: int = 64
    """Crystals in a step."""

    @classmethod
    def preset(cls, name: str) -> WrenformerEncoder:
        """Presets tiny (CI), default (minutes on two cores), paper (the size of Matbench Discovery's)."""
        steps = {"tiny": 10, "paper": 20_000}.get(name, 600)
        return cls(network=Wrenformer.preset(name), steps=steps)

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        if min(self.steps, self.batch) < 1:
            raise UsageError(f"steps={self.steps}, batch={self.batch} of the encoder; expected at least 1")

    def fit(self, run: Any, data: Crystals, start: Encoder | None = None) -> Encoder:
        """Train it, with keys and batches that are no run's own."""
        own = run.root.part(".")
        own.seed = SEED
        task, values = targets(data)
        if start is None:
            tables, scale = feature_tables(data_folder()), (values.mean(0), values.std(0) + EPS)
            net = Net(self.network, (TokenSizes(1 + sum(table.shape[-1] for table in tables), values.shape[1]),))
            start, params, steps = Encoder(net, None, tables, scale, task, self.steps), _first(net), self.steps
        else:
            params, steps = start.params, self.finetune
        if start.task != task:
            raise UsageError(f"the encoder was trained on {start.task}; these crystals have {task}")
        network, tables, (mean, std) = start.network, start.tables, start.scale
        goals = ((values - mean) / std).astype(np.float32)

        def loss(params: Any, aux: Any, batch: dict[str, Any], key: jax.Array, training: bool = True) -> Any:
            image = jax.random.randint(key, (), 0, batch["row"].shape[1])  # one equivalent assignment a step
            some = {k: v[:, image][:, None] if v.ndim == 3 else v for k, v in batch.items() if k != "goal"}
            mean, log_std = network(params, *features(some, tables))
            # negative log-likelihood of a Laplace law: "robust" loss of aviary
            value = jnp.sqrt(2.0) * jnp.abs(mean - batch["goal"]) * jnp.exp(-log_std) + log_std
            return value.mean(), (aux, {"error": jnp.abs(mean - batch["goal"]).mean()})

        params = learn(
            own, "encoder", loss, params, _Examples(tokens(data.crystals, LENGTH), goals), (),
            optimizer=AdamW(lr=1e-3).build(steps), steps=steps, batch=self.batch, ema=steps / 40, clip=1.0,
        )  # fmt: skip
        return replace(start, params=jax.device_get(params))


def _first(net: Net) -> Any:
    """Parameters of the network as a function of a key that is not used: the first ones are always the same."""
    return lambda key: net.init(jax.random.key(SEED))


@partial(jax.jit, static_argnums=0)
def _embedding(network: Net, params: Any, batch: dict[str, Any], tables: Any) -> jax.Array:
    return network.module(params).embedding(*features(batch, tables))


@partial(jax.jit, static_argnums=0)
def _mean(network: Net, params: Any, batch: dict[str, Any], tables: Any) -> jax.Array:
    return network(params, *features(batch, tables))[0]


@dataclass(frozen=True)
class _Examples:
    tokens: Tokens
    goals: np.ndarray

    def __len__(self) -> int:
        return len(self.goals)

    def __getitem__(self, i: Any) -> dict[str, Any]:
        return {**self.tokens.take(i), "goal": self.goals[i]}

    take = __getitem__


def targets(data: Crystals) -> tuple[str, np.ndarray]:
    """The task of the encoder and its values (n, k): energy where all crystals have one, else descriptors.
    These need no calculation: logarithms of free parameters and atoms, mean and spread of electronegativity over atoms.
    """
    if np.isfinite(data.energies).all():
        return ENERGY, data.energies[:, None]
    rows = []
    for one in data.crystals:
        share = np.array(list(one.composition.values())) / one.atoms
        mean = share @ periodic_table()[list(one.composition), 0]
        rows.append([np.log(one.freedom), np.log(one.atoms), mean, electronegativity_spread(one)])
    return "descriptors", np.array(rows)

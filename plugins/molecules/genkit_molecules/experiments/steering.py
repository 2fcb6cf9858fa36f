"""What models of molecules and of sequences share when they are corrected by a discriminator or steered to a property.

Both are mixed into an experiment that trains the model, so each stage hands on to that by super().
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import ClassifierFree, sample
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.experiment.folder import write_arrays
from genkit.kinds import Optimizer
from genkit.model import Critic, LogYes, divided, learn_critic, log_odds
from genkit.nn import transfer
from genkit.steer import ARDG, BSDG, FADG, Potential, classifier_loss, guide
from genkit.train import AdamW
from genkit_molecules.experiments.discrete_model import DiscreteModel
from genkit_molecules.rows import Rows

PARTICLES = 2500  # at a time
NO, YES, NULL = np.eye(3, dtype=np.float32)


@dataclass(frozen=True)
class Corrected(DiscreteModel):
    """A model and a discriminator of its samples (arXiv 2310.15817).

    The discriminator starts as the generator, sees partly hidden items, and is kept where its validation loss is least.
    """

    particles: tuple[int, ...] = (5, 10)
    """Particles a sample."""
    generated: int = 5000
    """Samples of the model from which the discriminator learns."""
    discriminator_steps: int = 1000
    """Training steps of the discriminator."""
    discriminator_optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=5e-4))
    """Its optimiser."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of the model; tiny with little training."""
        base = super().preset(name)
        return replace(base, particles=(2,), generated=40, discriminator_steps=20) if name == "tiny" else base

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        if not self.particles or min(self.particles) < 1 or self.discriminator_steps < 1 or self.generated < 20:
            raise UsageError(
                f"particles={self.particles}, discriminator_steps={self.discriminator_steps}, generated="
                f"{self.generated}; expected at least 1, 1 and 20"
            )

    def train(self, run: Run) -> None:
        """Train the generator, sample it, train the discriminator."""
        self.log_odds(run)

    def log_odds(self, run: Run) -> Any:
        """The trained discriminator."""
        return run.once("log_odds", lambda: self._log_odds(run))

    def _log_odds(self, run: Run) -> Any:
        """Of data against samples of the model, of the sizes that are sampled."""
        file = run.folder / "generated.npz"
        if not file.exists():
            groups = self.by_size(run, run.key("generated"), self.generated, self._alone(run))
            write_arrays(file, {str(g.n): g.x for g in groups})
        with np.load(file) as kept:
            fake = [Rows(int(n), x) for n, x in kept.items()]
        sizes = {g.n for g in fake}
        real, drawn = (self.padded(run, some) for some in ([g for g in self.groups(run) if g.n in sizes], fake))
        both = {k: np.concatenate([real[k], drawn[k]]) for k in real}
        return Critic(self.fitted(run, "discriminator", both, np.arange(len(both["x"])) < len(real["x"])))

    def fitted(self, run: Run, name: str, rows: dict[str, np.ndarray], yes: np.ndarray) -> Any:
        """Log-odds of yes (M,) at partly hidden items, rows (M, ...), where both kinds are equally frequent."""
        head, classes, orders = self.head(run, "discriminator"), self.space(run).classes, self.discrete().orders

        def loss(params: Any, aux: Any, batch: Any, key: Any, training: bool = True) -> Any:
            key, drop = jax.random.split(key)
            cond = {"mask": jnp.asarray(batch["mask"])}
            net, x = head.net(params, drop if training else None), jnp.asarray(batch["x"], jnp.int32)
            return classifier_loss(key, net, x, batch["yes"], classes, cond, self.real(cond), orders), (aux, {})

        train, held = divided(yes, run.seed)
        examples, known = ({k: rows[k][one.places] for k in ("x", "mask")} | {"yes": one.yes}
                           for one in (train, held.some))  # fmt: skip
        params = transfer(self.generator(run), jax.jit(head.init)(run.key(f"{name} parameters")))
        found = learn_critic(run, name, loss, params, examples, known, batch=2 * self.batch,
                             steps=self.discriminator_steps, optimizer=self.discriminator_optimizer)  # fmt: skip
        return head.net(found)

    def _alone(self, run: Run) -> Any:
        return lambda key, sampler, shape: sample(key, sampler, run.denoiser, shape)

    def methods(self) -> list[str]:
        """Names of what is sampled."""
        return ["ardm/1", "ardg/1", *(f"{name}/{n}" for n in self.particles for name in ("bsdg", "fadg"))]

    def guided(self, run: Run) -> dict[str, tuple[BSDG, Any]]:
        """Guided samplers and their potentials, by the names of their results."""
        log_odds = self.log_odds(run)
        found: dict[str, tuple[BSDG, Any]] = {"ardg/1": (ARDG(), log_odds)}
        for n in self.particles:
            found |= {f"bsdg/{n}": (BSDG(n), log_odds), f"fadg/{n}": (FADG(n), log_odds)}
        return found

    def drawer(self, run: Run, name: str) -> Any:
        """method(key, sampler, (count, D)) -> rows of a method."""
        found = self.guided(run).get(name)
        if found is None:
            return self._alone(run)
        method, potential = found

        def draw(key: Any, sampler: Any, shape: Any) -> Any:
            chunk = min(shape[0], max(1, PARTICLES // method.particles))
            return guide(key, method, sampler, run.denoiser, potential, shape, chunk=chunk).x[:, 0]

        return draw

    def sample(self, run: Run) -> None:
        """Draw by every method."""
        for name in self.methods():
            drawer, begun = self.drawer(run, name), time.perf_counter()
            groups = self.by_size(run, run.key("sample"), self.samples, drawer)
            self.write(run, name, groups, time.perf_counter() - begun)


@dataclass(frozen=True)
class Steered(Corrected):
    """A model steered to items whose property is above a threshold, in several ways.

    cfg: classifier-free guidance, p(x_i | yes)^strength p(x_i)^(1 - strength) (arXiv 2412.10193). classifier: a
    classifier of partly hidden items as potential, p(yes | x_S)^strength, of one particle (ARDG), which for other
    strengths than 1 has a law of its own, or of many, which corrects that. discriminator: the ratio of data and model
    as potential. both: their sum.
    """

    wanted: str = ""
    """The property."""
    threshold: float | None = None
    """Yes is above this; if none the quantile below."""
    quantile: float = 0.75
    """Quantile of the training set that is the threshold."""
    strength: float = 1.0
    """Power of what is said of the property."""
    dropout: float = 0.1
    """How often the generator is trained without being told the property."""
    look_ahead: bool = True
    """Weigh all values of the next site (ARDG, FADG), one call of the potential for each, or what was drawn (BSDG)."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 < self.quantile < 1 or not 0 <= self.dropout < 1:
            raise UsageError(f"quantile={self.quantile}, dropout={self.dropout}; expected fractions")

    def measure(self, texts: Sequence[str]) -> np.ndarray:
        """The property (M,) of items."""
        raise NotImplementedError

    def whole(self, texts: Sequence[str | None]) -> list[str]:
        """Those of the samples that have properties."""
        return [text for text in texts if text]

    @property
    def conditions(self) -> int:
        """No, yes, not told."""
        return 3

    def values(self, run: Run, split: str) -> np.ndarray:
        """The property of the items of a split, in their order."""
        return run.once(f"property/{split}", lambda: self.measure(self.texts(run, split)))

    def above(self, run: Run) -> float:
        """The threshold."""
        if self.threshold is not None:
            return self.threshold
        return float(np.quantile(self.values(run, "train"), self.quantile))

    def prepare(self, run: Run) -> None:
        """Read the data; tell how many items have the property."""
        super().prepare(run)
        share = float((self.values(run, "train") > self.above(run)).mean())
        run.say(f"{self.wanted} > {self.above(run):.4g}: {share:.1%} of the training set")
        if not 0 < share < 1:
            raise UsageError(f"{share:.0%} of the training set has {self.wanted} > {self.above(run):g}; take another "
                             "threshold or quantile")  # fmt: skip

    def rows(self, run: Run, split: str) -> dict[str, np.ndarray]:
        """Rows, and whether the items have the property."""
        return {**super().rows(run, split), "yes": self.values(run, split) > self.above(run)}

    def inputs(self, batch: Any, key: Any) -> tuple[Any, Any]:
        """Rows with conditions, some of which are not told."""
        x, cond = super().inputs(batch, key)
        yes = jnp.asarray(batch["yes"])[:, None]
        told = jax.random.uniform(key, yes.shape) >= self.dropout
        return x, {**cond, "given": jnp.where(told, jnp.where(yes, YES, NO), NULL)}

    def denoiser(self, run: Run) -> Any:
        """The model that is not told."""
        return replace(super().denoiser(run), given=jnp.asarray(NULL))

    def train(self, run: Run) -> None:
        """Train the generator, the discriminator of what it draws untold, and the classifier."""
        super().train(run)
        self.classifier(run)

    def classifier(self, run: Run) -> Any:
        """Log-odds of the property at partly hidden items."""
        return run.once("classifier", lambda: self._classifier(run))

    def _classifier(self, run: Run) -> Any:
        rows = self.rows(run, "train")
        return Critic(self.fitted(run, "classifier", rows, rows["yes"]), log_odds(rows["yes"]))

    def methods(self) -> list[str]:
        """Names of what is sampled."""
        kinds = "classifier", "discriminator", "both"
        one = ["classifier/1"] if self.look_ahead else []
        many = [f"{kind}/{n}" for n in self.particles for kind in kinds]
        return list(dict.fromkeys(["ardm/1", "cfg/1", *one, *many]))

    def guided(self, run: Run) -> dict[str, tuple[BSDG, Any]]:
        """Guided samplers and their potentials, by the names of their results."""
        log_p, ratio = LogYes(self.classifier(run)), self.log_odds(run)
        potentials = {
            "classifier": Potential((log_p,), (self.strength,)),
            "discriminator": Potential((ratio,), (1.0,)),
            "both": Potential((ratio, log_p), (1.0, self.strength)),
        }
        found: dict[str, tuple[BSDG, Any]] = {}
        for name in self.methods():
            kind, _, n = name.partition("/")
            if kind in potentials:
                method = (FADG(int(n)) if n != "1" else ARDG()) if self.look_ahead else BSDG(int(n))
                found[name] = method, potentials[kind]
        return found

    def drawer(self, run: Run, name: str) -> Any:
        """method(key, sampler, (count, D)) -> rows of a method."""
        if name != "cfg/1":
            return super().drawer(run, name)
        free = ClassifierFree({"given": jnp.asarray(NULL)}, self.strength, of="x0")(run.denoiser)

        def draw(key: Any, sampler: Any, shape: Any) -> Any:
            return sample(key, sampler, free, shape, {"given": jnp.broadcast_to(YES, (shape[0], 3))})

        return draw

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of the samples, and yes/<method>, yes_valid/<method>, mean/<method>.

        yes is the share of samples that are whole (valid and in one piece) and have the property, yes_valid that among
        the whole ones, mean the property's mean over these.
        """
        results = super().evaluate(run)
        threshold = self.above(run)
        for name in self.methods():
            texts = self.read(run, name)
            found = self.measure(self.whole(texts))
            results |= {f"yes/{name}": float((found > threshold).sum() / len(texts))}
            results |= {f"yes_valid/{name}": float((found > threshold).mean()) if len(found) else None}
            results |= {f"mean/{name}": float(found.mean()) if len(found) else None}
        return results | {"threshold": threshold, "yes/data": float((self.values(run, "train") > threshold).mean())}

    def report(self, run: Run) -> None:
        """The tables and pictures, and the property's distribution."""
        from genkit_molecules.figures import densities

        super().report(run)
        found = {"data": self.values(run, "train")}
        found |= {name: self.measure(self.whole(self.read(run, name))) for name in self.methods()}
        run.figure(
            "property", densities(found, self.above(run), self.wanted),
            f"{self.wanted} of the data and of whole samples: quartiles, median, 5 and 95 %. Right of the line is what "
            "was asked for.",
        )  # fmt: skip

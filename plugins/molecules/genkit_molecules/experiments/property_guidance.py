"""Guidance of a model of molecules to a property."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import ClassifierFree, sample
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.steer import ARDG, BSDG, FADG, Potential, classifier_loss
from genkit_molecules import guidance
from genkit_molecules.denoisers import GraphDenoiser, GraphLogOdds
from genkit_molecules.experiments.discriminator_guidance import DiscriminatorGuidance
from genkit_molecules.graphs import classes

NO, YES, NULL = np.eye(3, dtype=np.float32)


@dataclass(frozen=True)
class PropertyGuidance(DiscriminatorGuidance):
    """Steer a model of molecules to those whose property is above a threshold, and compare ways to do it.

    cfg: classifier-free guidance, p(x_i | yes)^strength p(x_i)^(1 - strength) (arXiv 2412.10193). classifier: a
    classifier of partly hidden molecules as potential, p(yes | x_S)^strength, of one particle, which for other
    strengths than 1 has a law of its own, or of many, which corrects that. both: times the discriminator's ratio too.
    """

    wanted: Literal["logP", "QED", "TPSA", "weight", "rings"] = "logP"
    """The property, by RDKit."""
    threshold: float | None = None
    """Yes is above this; if none the quantile below."""
    quantile: float = 0.75
    """Quantile of the training set that is the threshold."""
    strength: float = 1.0
    """Power of what is said of the property."""
    dropout: float = 0.1
    """How often the generator is trained without being told the property."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of `molecules.discriminator_guidance`."""
        return super().preset(name)

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 < self.quantile < 1 or not 0 <= self.dropout < 1:
            raise UsageError(f"quantile={self.quantile}, dropout={self.dropout}; expected fractions")

    @property
    def conditions(self) -> int:
        """No, yes, not told."""
        return 3

    def values(self, run: Run, split: str) -> np.ndarray:
        """The property of the molecules of a split, in their order."""
        from genkit_molecules.evaluation import property_of

        smiles = getattr(self.molecules(run), f"{split}_smiles")
        return run.once(f"property/{split}", lambda: property_of(smiles, self.wanted))

    def above(self, run: Run) -> float:
        """The threshold."""
        return (
            float(np.quantile(self.values(run, "train"), self.quantile)) if self.threshold is None else self.threshold
        )

    def prepare(self, run: Run) -> None:
        """Read the data; tell how many molecules have the property."""
        super().prepare(run)
        share = float((self.values(run, "train") > self.above(run)).mean())
        run.say(f"{self.wanted} > {self.above(run):.4g}: {share:.1%} of the training set")
        if not 0 < share < 1:
            raise UsageError(f"{share:.0%} of the training set has {self.wanted} > {self.above(run):g}; take another "
                             "threshold or quantile")  # fmt: skip

    def rows(self, run: Run, split: str) -> dict[str, np.ndarray]:
        """Rows, and whether the molecules have the property."""
        return {**super().rows(run, split), "yes": self.values(run, split) > self.above(run)}

    def inputs(self, batch: Any, key: Any) -> guidance.Batch:
        """Rows with conditions, some of which are not told."""
        x, cond = super().inputs(batch, key)
        yes = jnp.asarray(batch["yes"])[:, None]
        told = jax.random.uniform(key, yes.shape) >= self.dropout
        return x, {**cond, "given": jnp.where(told, jnp.where(yes, YES, NO), NULL)}

    def denoiser(self, run: Run) -> GraphDenoiser:
        """The model that is not told."""
        return replace(super().denoiser(run), given=jnp.asarray(NULL))

    def train(self, run: Run) -> None:
        """Train the generator, the discriminator of what it draws untold, and the classifier."""
        super().train(run)
        self.classifier(run)

    def classifier(self, run: Run) -> GraphLogOdds:
        """Log-odds of the property at partly hidden molecules."""
        return run.once("classifier", lambda: self._classifier(run))

    def _classifier(self, run: Run) -> GraphLogOdds:
        rows, rng = (
            super().rows(run, "train") | {"yes": self.values(run, "train") > self.above(run)},
            np.random.default_rng(0),
        )
        order = rng.permutation(len(rows["x"]))
        count = max(1, len(order) // 10)
        train, val = ({k: v[part] for k, v in rows.items()} for part in (order[count:], order[:count]))
        orders = self.discrete().orders

        def loss(key: Any, log_odds: Any, batch: Any) -> Any:
            x, label, cond = batch
            return classifier_loss(
                key, log_odds, x, label, classes(log_odds.elements), cond, guidance.shown(cond), orders
            )

        return self.fitted(run, "classifier", loss, _labelled, train, val)

    def methods(self) -> list[str]:
        """Names of what was sampled."""
        return [
            "ardm/1",
            "cfg/1",
            "classifier/1",
            *(f"{name}/{n}" for n in self.particles for name in ("classifier", "both")),
        ]

    def guided(self, run: Run) -> dict[str, tuple[BSDG, Any]]:
        """Guided samplers and their potentials, by the names of their results."""
        log_p = jax.tree_util.Partial(_log_yes, self.classifier(run))
        one = Potential((log_p,), (self.strength,))
        two = Potential((self.log_odds(run), log_p), (1.0, self.strength))
        found: dict[str, tuple[BSDG, Any]] = {"classifier/1": (ARDG(), one)}
        for n in self.particles:
            if n > 1:
                found[f"classifier/{n}"] = FADG(n), one
            found[f"both/{n}"] = FADG(n), two
        return found

    def drawer(self, run: Run, name: str) -> Any:
        """method(key, sampler, (count, D)) -> graphs of a method."""
        if name != "cfg/1":
            return super().drawer(run, name)
        free = ClassifierFree({"given": jnp.asarray(NULL)}, self.strength, of="x0")(run.denoiser)

        def draw(key: Any, sampler: Any, shape: Any) -> Any:
            return sample(key, sampler, free, shape, {"given": jnp.broadcast_to(YES, (shape[0], 3))})

        return draw

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """What `molecules.discriminator_guidance` tells, and yes/<method>, mean/<method>, yes_valid/<method>.

        yes is the share of samples that are in one piece and have the property, yes_valid that among those in one
        piece, mean the property's mean over these.
        """
        from genkit_molecules.evaluation import property_of

        results = super().evaluate(run)
        threshold = self.above(run)
        for name in self.methods():
            smiles = self.read(run, name)
            found = property_of([s for s in smiles if s and "." not in s], self.wanted)
            results |= {f"yes/{name}": float((found > threshold).sum() / len(smiles))}
            results |= {f"yes_valid/{name}": float((found > threshold).mean()) if len(found) else None}
            results |= {f"mean/{name}": float(found.mean()) if len(found) else None}
        return results | {"threshold": threshold, "yes/data": float((self.values(run, "train") > threshold).mean())}

    def report(self, run: Run) -> None:
        """The tables and pictures, and the property's distribution."""
        from genkit_molecules.evaluation import property_of
        from genkit_molecules.figures import densities

        super().report(run)
        found = {"data": self.values(run, "train")}
        for name in self.methods():
            found[name] = property_of([s for s in self.read(run, name) if s and "." not in s], self.wanted)
        run.figure(
            "property", densities(found, self.above(run), self.wanted),
            f"{self.wanted} of the data and of valid samples in one piece: quartiles, median, 5 and 95 %. Right of the "
            "line is what was asked for.",
        )  # fmt: skip


def _labelled(batch: Any, key: Any) -> tuple[Any, Any, Any]:
    return jnp.asarray(batch["x"], jnp.int32), jnp.asarray(batch["yes"], float), {"mask": jnp.asarray(batch["mask"])}


def _log_yes(log_odds: GraphLogOdds, x: Any, t: Any, cond: Any = None) -> Any:
    return jax.nn.log_sigmoid(log_odds(x, t, cond))

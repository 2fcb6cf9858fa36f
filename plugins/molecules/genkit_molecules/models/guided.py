"""Recipes of generators with critics: corrected by a discriminator, and steered to a property.

The critics begin as the generator, see partly hidden items, or items with the generator's noise, and are kept where
their validation loss is least (Kelvinius and Lindsten 2024, arXiv 2310.15817; Kim et al. 2023, arXiv 2211.17091).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.files import write_arrays
from genkit.kinds import CODE, SIGNED, Model
from genkit.model import Critic, CriticRecipe, divided, learn_critic, log_odds
from genkit.nn import transfer
from genkit.steer import classifier_loss, noisy_classifier_loss
from genkit.train import AdamW
from genkit_molecules.items import Molecules, Rows, Sequences, Told
from genkit_molecules.models.draw import Method, drawn, in_two
from genkit_molecules.models.graphs import GraphARDM
from genkit_molecules.models.sequences import SequenceARDM
from genkit_molecules.models.trained import Generator, Guided
from genkit_molecules.models.widths import Trimmed
from genkit_molecules.networks import GraphTransformer
from genkit_molecules.rewards import REWARD, certainty, rewards_named


@dataclass(frozen=True, kw_only=True)
class GuidedRecipe(CriticRecipe):
    """Base: a generator, and the critics of what it draws."""

    fixed: ClassVar[tuple[str, ...]] = ("generator",)

    generator: Any
    discriminator_batch: int | None = None
    """Examples of both kinds in a step of a critic; twice the generator's items if not given."""
    discriminator_epochs: int | None = None
    """Passes of a critic through its examples, in place of steps; of the kind that has fewer they are repeated."""

    def __post_init__(self) -> None:
        """Refuse what cannot be guided before anything is trained."""
        super().__post_init__()
        for name in ("discriminator_batch", "discriminator_epochs"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if getattr(self.generator, "calls", 0):
            raise UsageError(f"calls={self.generator.calls}; guided is a model with one call a site, calls=0")

    def generated_by(self, run: Any, data: Any, start: Guided | None) -> Generator:
        """The generator: trained, restored, or that of `start` trained further."""
        if start is None:
            return self.generator.obtain(run, data, run.trust)
        return replace(self.generator, restore=self.restore, finetune=self.finetune).fit(run, data, start.generator)

    def discriminator(self, run: Any, data: Any, model: Generator) -> Critic:
        """Log-odds of data against samples of the model, of the sizes that are sampled."""
        if strange := sorted({int(n) for n in model.law()[0]} - {g.n for g in data.groups}):
            raise UsageError(
                f"{model!r} draws items of size {strange[0]}, {data.source} has none; give data like its own"
            )
        file = run.folder / "generated.npz"
        if not file.exists():
            method = Method(model.discrete.name)
            pieces = list(drawn(model, run.key("generated"), self.generated, method, in_two(self.generated)))
            x, size = (np.concatenate([piece[name] for piece in pieces]) for name in ("samples", "size"))
            write_arrays(file, {"x": x, "size": size})
        with np.load(file) as kept:
            x, size = kept["x"], kept["size"]
        sizes = np.unique(size).tolist()
        fake = [Rows(n, x[size == n][:, model.layout.places(n, x.shape[1])]) for n in sizes]
        real, false = (data.padded(groups) for groups in ([g for g in data.groups if g.n in sizes], fake))
        both = {k: np.concatenate([real[k], false[k]]) for k in real}
        return self.critic(run, "discriminator", model, both, np.arange(len(both["x"])) < len(real["x"]))

    def critic(
        self, run: Any, name: str, model: Generator, rows: dict[str, np.ndarray], yes: np.ndarray, prior: float = 0.0
    ) -> Critic:
        """Log-odds of yes (M,) at partly hidden or noisy items, rows (M, ...), with those before anything is seen.

        It sees both kinds equally often, or where `yes` is float, how probably an item is yes, all items as they are.
        """
        offset = prior if yes.dtype.kind == "f" else 0.0
        layout, own, discrete = model.layout, self.generator, model.discrete
        net = layout.net(model.denoiser.apply.component, "discriminator")

        def loss(params: Any, aux: Any, batch: Any, key: Any, training: bool = True) -> Any:
            key, drop = jax.random.split(key)
            x, cond = jnp.asarray(batch["x"], jnp.int32), {"mask": jnp.asarray(batch["mask"])}
            yes = jax.random.uniform(jax.random.fold_in(key, 1), batch["yes"].shape) < batch["yes"]

            def value(params: Any, x: Any, cond: Any) -> Any:
                of = Critic(layout.log_odds(net, params, drop if training else None, discrete.unit), offset)
                real = layout.real(cond["mask"])
                if discrete.ordered:
                    return classifier_loss(key, of, x, yes, layout.classes, cond, real, discrete.orders)
                process = discrete.process(layout.space(cond["mask"].shape[1]))
                return noisy_classifier_loss(key, of, x, yes, process, cond, real, discrete.steps)

            return trimmed(value, params, x, cond), (aux, {})

        train, held = divided(yes, run.seed)
        examples, known = ({k: rows[k][one.places] for k in ("x", "mask")} | {"yes": one.yes}
                           for one in (train, held.some))  # fmt: skip
        begin = jax.jit(lambda key, known: transfer(known, net.init(key)))  # together: what is replaced is not drawn
        params = begin(run.key(f"{name} parameters"), model.denoiser.params)
        batch, steps = self.discriminator_batch or 2 * own.batch, self.discriminator_steps
        if self.discriminator_epochs is not None:
            steps = self.discriminator_epochs * -(-len(train.places) // batch)
        trimmed = Trimmed.of(layout, examples["mask"], batch)
        found = learn_critic(run, name, loss, params, examples, known, batch=batch, steps=steps,
                             near=trimmed.near, optimizer=self.discriminator_optimizer)  # fmt: skip
        return Critic(layout.log_odds(net, jax.device_get(found), unit=discrete.unit), prior)


@dataclass(frozen=True, kw_only=True)
class Corrected(GuidedRecipe):
    """A generator of molecules and a discriminator of its samples."""

    generator: Model[Molecules, Generator] = field(default_factory=GraphARDM)
    """What is corrected."""

    @classmethod
    def preset(cls, name: str) -> Corrected:
        """Those of the generator; paper with 130 831 generated molecules, 2000 epochs and lr 5e-5; tiny with few."""
        generator = GraphARDM.preset(name)
        if name == "tiny":
            return cls(generator=generator, generated=40, discriminator_steps=20)
        if name == "paper":
            optimizer = AdamW(lr=5e-5, warmup=0, schedule="constant")
            return cls(generator=generator, generated=130_831, discriminator_epochs=2000, discriminator_batch=512,
                       discriminator_optimizer=optimizer)  # fmt: skip
        return cls()

    def fit(self, run: Any, data: Molecules, start: Guided | None = None) -> Guided:
        """Train the generator, sample it, train the discriminator."""
        generator = self.generated_by(run, data, start)
        return Guided(generator, self.discriminator(run, data, generator))


@dataclass(frozen=True, kw_only=True)
class Steered(GuidedRecipe):
    """Base: a generator that is told whether an item has a property, a discriminator, and a classifier.

    The generator is told in training, most of the time, and samples untold.
    """

    fixed: ClassVar[tuple[str, ...]] = ("generator", "wanted", "reward", "threshold", "quantile", "dropout")

    wanted: str = ""
    """The property."""
    reward: Annotated[tuple[str, ...], CODE] = ()
    """What is wanted in place of a property, as of `genkit sample`, several being added: module:function of a list of
    texts, PROPERTY=MEAN:STD, for molecules tanimoto=SMILES. Yes has the probability exp(reward - its largest value in
    the training set), so that steering tends to p(x) exp(reward(x)) / Z."""
    threshold: Annotated[float | None, SIGNED] = None
    """Yes is above this; if none the quantile below."""
    quantile: float = 0.75
    """Quantile of the training set that is the threshold."""
    dropout: float = 0.1
    """How often the generator is trained without being told the property."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if getattr(self.generator, "order", "") == "learned":
            raise UsageError("order=learned has no classifier-free guidance, which changes values alone; "
                             "take order=uniform")  # fmt: skip
        if not 0 < self.quantile < 1 or not 0 <= self.dropout < 1:
            raise UsageError(f"quantile={self.quantile}, dropout={self.dropout}; expected fractions")
        if self.reward and self.threshold is not None:
            raise UsageError(f"threshold={self.threshold:g} is of a property; a reward has none: let it be -inf where "
                             "nothing else will do")  # fmt: skip

    def measured(self, layout: Any, texts: Sequence[str]) -> np.ndarray:
        """What is wanted of items (M,): the property or the reward."""
        return rewards_named(self.reward, layout)(texts) if self.reward else layout.measure(self.wanted, texts)

    def steered(self, run: Any, data: Any, start: Guided | None) -> Guided:
        """Train the generator, the discriminator of what it draws untold, and the classifier."""
        values, wanted = run.once("property", lambda: self.measured(data.layout, data.texts("train"))), self.wanted
        above = float(np.quantile(values, self.quantile)) if self.threshold is None else self.threshold
        if self.reward:
            wanted, above = REWARD, float(values.max())
            if above == -np.inf:
                raise UsageError(f"reward {' '.join(self.reward)} is -inf for all of the training set")
        if start is not None:  # what the generator was told; of a reward the law given yes knows no constant
            above = max(above, start.threshold) if self.reward else start.threshold
        yes = certainty(wanted, values, above)
        share = float(yes.mean())
        said = f"exp(reward - {above:.4g})" if self.reward else f"{wanted} > {above:.4g}"
        run.say(f"{said}: {share:.1%} of the training set")
        if not 0 < share < 1:
            raise UsageError(f"{share:.0%} of the training set has {said}; take another "
                             + ("reward" if self.reward else "threshold or quantile"))  # fmt: skip
        told = Told(yes, certainty(wanted, self.measured(data.layout, data.texts("test")), above), self.dropout)
        generator = self.generated_by(run, replace(data, told=told), start)
        if generator.denoiser.given is None:
            raise UsageError(f"{generator!r} was trained without being told a property; give a steered model, or none")
        discriminator = self.discriminator(run, data, generator)
        classifier = self.critic(run, "classifier", generator, data.rows("train"), yes, log_odds(yes))
        return Guided(generator, discriminator, classifier, wanted, above, share)


@dataclass(frozen=True, kw_only=True)
class SteeredMolecules(Steered):
    """A generator of molecules, a discriminator of its samples, and a classifier of a property."""

    generator: Model[Molecules, Generator] = field(default_factory=GraphARDM)
    """What is steered."""
    wanted: Literal["logP", "QED", "TPSA", "weight", "rings"] = "logP"
    """The property, by RDKit."""

    @classmethod
    def preset(cls, name: str) -> SteeredMolecules:
        """Those of the generator, paper as wide for the graph as DiGress; tiny with little training of the critics."""
        few: dict[str, Any] = {"generated": 40, "discriminator_steps": 20} if name == "tiny" else {}
        generator = GraphARDM.preset(name)
        if name == "paper":  # the published network has one, which would not let the condition through
            generator = replace(generator, network=GraphTransformer(dy=64, hidden_y=128))
        return cls(generator=generator, **few)

    def fit(self, run: Any, data: Molecules, start: Guided | None = None) -> Guided:
        """Train the generator and its critics; refuses one that would not hear the property."""
        own: Any = self.generator
        if start is None and not own.restore and getattr(own.network, "dy", 0) == 1:
            raise UsageError("dy=1 lets no property through to the generator; give it more, as --network.dy 64 "
                             "--network.hidden_y 128")  # fmt: skip
        return self.steered(run, data, start)


@dataclass(frozen=True, kw_only=True)
class SteeredSequences(Steered):
    """A generator of sequences, a discriminator of its samples, and a classifier of a property."""

    generator: Model[Sequences, Generator] = field(default_factory=lambda: SequenceARDM(steps=1000, sizes=1))
    """What is steered."""
    wanted: Literal["hydropathy", "charge", "weight", "aromatic"] = "hydropathy"
    """The property: mean hydropathy (GRAVY), net charge, weight in g/mol, share of aromatic residues."""
    generated: int = 2000
    """Samples of the model from which the discriminator learns."""
    discriminator_steps: int = 500
    """Training steps of discriminator and classifier."""

    @classmethod
    def preset(cls, name: str) -> SteeredSequences:
        """Those of the generator; tiny with little training of the critics."""
        if name == "default":
            return cls()
        few: dict[str, Any] = {"generated": 40, "discriminator_steps": 20} if name == "tiny" else {}
        return cls(generator=replace(SequenceARDM.preset(name), sizes=1), **few)

    def fit(self, run: Any, data: Sequences, start: Guided | None = None) -> Guided:
        """Train the generator and its critics."""
        return self.steered(run, data, start)

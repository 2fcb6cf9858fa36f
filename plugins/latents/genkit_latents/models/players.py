"""The recipe of an introspective autoencoder, whose players learn in turns."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.errors import UsageError
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Network
from genkit.model import Recipe
from genkit.nn import Net
from genkit.parallel import is_main
from genkit.train import Phase
from genkit_latents.data import Points
from genkit_latents.distributions import Mixture, clipped, divergence
from genkit_latents.models.introspective import (
    IntroVAE,
    Weights,
    decoder_loss,
    encoder_loss,
    noise,
    vae_loss,
)
from genkit_latents.networks import Perceptron

Array = jax.Array
PRIORS = ("normal", "mog_fixed", "mog", "vamp")
PRIORS_SEEN = "priors"  # folder of a training with learned priors as they were on the way, by step
SYSTEMS = tuple(f"{prior}_{kind}" for prior in PRIORS for kind in ("vae", "sintro"))
PUBLISHED = {  # beta_rec, beta_kl of the VAE; beta_rec, beta_kl, beta_neg of the introspective one
    # digits: our own, with beta_neg over the numbers of a row as for the 784 of published images
    "gaussians8": ((0.8, 0.05), (0.2, 0.3, 0.9)), "spiral": ((1.0, 0.05), (0.2, 0.5, 1.0)),
    "checkerboard": ((0.8, 0.1), (0.2, 0.1, 0.2)), "rings": ((0.8, 0.05), (0.2, 0.2, 1.0)),
    "images": ((1.0, 1.0), (1.0, 1.0, 256.0)), "digits": ((1.0, 0.1), (1.0, 0.1, 20.0)),
}  # fmt: skip


@runtime_checkable
class Settles(Protocol):
    """A network whose batch norm takes its moments from the data once it is trained, see `networks.Residual`."""

    def settled(self, net: Net, params: Any, x: Any, batch: int) -> tuple[Net, Any]:
        """The network that is used from now on, and its parameters; x (n, D) are its inputs."""
        ...


@dataclass(frozen=True, kw_only=True)
class Introspective(Recipe):
    """Soft-IntroVAE (Daniel and Tamar 2021, arXiv 2012.13253), whose prior may be a third player (Athanasiadis et al.
    2025, arXiv 2408.13805), or the variational autoencoder that it is compared with.

    The VAE is trained first; then encoder and decoder learn in turns, each with its own Adam and fresh noise. Adam
    begins anew in each phase.
    """

    fixed: ClassVar[tuple[str, ...]] = ("system", "dim", "components", "network", "steps")

    system: str = "mog_sintro"
    """Prior and way of training, `<prior>_vae` or `<prior>_sintro`: normal, the standard one; mog_fixed, a mixture
    about the k-means centres of the first `dim` principal components of the data, standardised (the published one is
    not known); mog, a learned mixture, which starts as a vamp prior; vamp, posteriors of learned pseudo-inputs."""
    cooperation: Literal["decoder", "encoder"] = "decoder"
    """Whose loss the prior follows; the encoder's in all its divergences (which of them did is not published)."""
    dim: int = 2
    """Latent dimensions."""
    components: int = 16
    """Of a mixture."""
    betas: tuple[float, ...] | None = None
    """Weights of the squared error, of the divergence, and for sintro of the divergence of fakes; the published ones of
    the data set if not given."""
    entropy: float = 0.0
    """Weight of even responsibilities of the components, in the encoder's loss."""
    clip: bool = True
    """Keep the variances of a learned mixture softly between those at the start of the game."""
    learn_weights: bool = True
    """Of a mixture."""
    weights: Literal["log", "reference"] = "log"
    """How a vamp prior's weights become those of the mixture: as logarithms, or as in the published code, which takes
    the weights themselves for logits and so evens them out."""
    kl: Literal["exact", "reference"] = "exact"
    """Entropy of posteriors in closed form, or by the draws as in the published code."""
    samples: int = 8
    """Draws of a divergence."""
    limits: tuple[float, float] | None = None
    """Between which pseudo-inputs are kept, as images of grey values: 0 1."""
    network: Network[int, int] = field(default_factory=lambda: Perceptron((64, 64, 64, 64)))
    """Encoder and decoder, each."""
    lr: float = 1e-3
    """Of Adam."""
    drops: tuple[float, ...] = (0.6, 0.85)
    """Parts of the training after which it falls..."""
    drop: float = 0.3
    """...by this factor."""
    steps: int = 10_000
    """Training steps, the warm-up included."""
    warmup: int = 1500
    """Steps of the variational autoencoder before the game."""
    mixture: int = 100
    """The last of these, in which a learned mixture is one and no vamp prior."""
    batch: int = 256
    """Rows in a step."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.system not in SYSTEMS:
            raise UsageError(f"unknown system {self.system!r}; known: {', '.join(SYSTEMS)}")
        for name in ("steps", "batch", "dim", "components", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if not 0 < self.mixture < self.warmup < self.steps:
            raise UsageError(
                f"mixture={self.mixture}, warmup={self.warmup}, steps={self.steps}; "
                "expected 0 < mixture < warmup < steps"
            )
        if self.betas is not None and len(self.betas) != 2 + self.plays:
            raise UsageError(f"betas={self.betas}: expected {2 + self.plays} for {self.system}")

    @property
    def kind(self) -> str:
        """Of the prior."""
        return self.system.rpartition("_")[0]

    @property
    def plays(self) -> bool:
        """Whether it is introspective."""
        return self.system.endswith("_sintro")

    def terms(self, data: Points) -> Weights:
        """Weights of the losses."""
        known = "images" if data.image is not None and data.source not in PUBLISHED else data.source
        if self.betas is None and known not in PUBLISHED:
            raise UsageError(f"no weights are published for {data.source}; give --betas REC KL" + " NEG" * self.plays)
        rec, kl, *neg = self.betas or PUBLISHED[known][self.plays]
        return Weights(rec, kl, neg[0] if neg else 0.0, 1 / data.train.shape[1], self.entropy)

    def fit(self, run: Any, data: Points, start: IntroVAE | None = None) -> IntroVAE:
        """Train: phases `vae`, for a learned mixture `mixture`, and for an introspective one `game`."""
        if start is not None:
            raise UsageError("the players' roles change during the training; an introspective model is not finetuned")
        d = data.train.shape[1]
        encoder, decoder = Net(self.network, (d, 2 * self.dim)), Net(self.network, (self.dim, d))
        model = IntroVAE(None, encoder, decoder, standard(self.dim))
        rows, w = jnp.asarray(data.train), self.terms(data)
        prior = self.first(data.train)
        begin = self.steps if not self.plays else self.warmup
        cut = self.warmup - self.mixture if self.kind == "mog" else begin

        def fresh(key: Array) -> Any:
            one, two = jax.random.split(key)
            return {"encoder": encoder.init(one), "decoder": decoder.init(two), "prior": prior}

        params = self._phase(run, "vae", model, rows, w, fresh, 0, cut, None)
        if self.kind == "mog":
            mixed = params | {"prior": self.converted(model, params)}
            params = self._phase(run, "mixture", model, rows, w, lambda _: mixed, cut, begin, None)
        bounds = before = None
        if self.plays:
            now = replace(model, params=_nets(params), prior=self.prior(model, params, None))
            before = divergences(now, run.key("order"), rows[: self.batch])
            if self.kind == "mog" and self.clip:
                u = params["prior"]["log_vars"]
                bounds = u.min(0), u.max(0)
            told = params
            params = self._phase(run, "game", model, rows, w, lambda _: told, begin, self.steps, bounds, game=True)
        if isinstance(self.network, Settles):
            for name in ("encoder", "decoder"):
                x = rows if name == "encoder" else model.encode(rows)[0]
                net, params[name] = self.network.settled(getattr(model, name), params[name], x, self.batch)
                model = replace(model, params=_nets(params), **{name: net})
        trained = replace(model, params=_nets(params), prior=self.prior(model, params, bounds))
        if before is not None:
            warn(w, before, divergences(trained, run.key("order"), rows[: self.batch]))
        return trained

    def first(self, x: np.ndarray) -> dict[str, Array]:
        """Parameters of the prior before the training, of rows x (n, D)."""
        if self.kind == "normal":
            return {}
        rng = np.random.default_rng(0)
        if self.kind in ("mog", "vamp"):
            return {"inputs": jnp.asarray(x[rng.choice(len(x), self.components)]), "logits": jnp.zeros(self.components)}
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA

        z = PCA(min(self.dim, x.shape[1]), whiten=True).fit_transform(x[rng.choice(len(x), min(len(x), 5000))])
        found = KMeans(self.components, random_state=0).fit(z)
        means = np.zeros((self.components, self.dim))
        means[:, : z.shape[1]] = found.cluster_centers_
        spread = np.log(max(found.inertia_ / z.size, 1e-4))
        share = np.bincount(found.predict(z), minlength=self.components) / len(z)
        return {"means": jnp.asarray(means, jnp.float32), "log_vars": jnp.full(means.shape, spread, jnp.float32),
                "logits": jnp.log(jnp.asarray(share, jnp.float32))}  # fmt: skip

    def prior(self, model: IntroVAE, params: Any, bounds: Any) -> Mixture:
        """What the parameters mean, which for a vamp prior is in the encoder too."""
        p = params["prior"]
        if not p:
            return standard(self.dim)
        logits = p["logits"] if self.learn_weights else jax.lax.stop_gradient(p["logits"])
        if "inputs" in p:
            inputs = p["inputs"] if self.limits is None else jnp.clip(p["inputs"], *self.limits)
            means, log_vars = replace(model, params=_nets(params)).encode(inputs)
        else:
            means, log_vars = p["means"], p["log_vars"]
        return Mixture(means, log_vars if bounds is None else clipped(log_vars, *bounds), logits)

    def converted(self, model: IntroVAE, params: Any) -> dict[str, Array]:
        """Parameters of the mixture that a vamp prior is."""
        prior = self.prior(model, params, None)
        weights = jax.nn.softmax(prior.logits)
        logits = weights if self.weights == "reference" else jnp.log(weights)
        return {"means": prior.means, "log_vars": prior.log_vars, "logits": logits}

    def _phase(
        self, run: Any, name: str, model: IntroVAE, rows: Array, w: Weights, first: Callable, start: int, end: int,
        bounds: Any, game: bool = False,
    ) -> Any:  # fmt: skip
        after = [round(part * self.steps) - start for part in self.drops]
        lr = self.lr * self.drop ** sum(n <= 0 for n in after)
        rule = optax.adam(optax.piecewise_constant_schedule(lr, {n: self.drop for n in after if n > 0}))

        def init(key: Array) -> Any:
            params = first(key)
            return {"params": params, "rules": {player: rule.init(p) for player, p in params.items()}}

        def step(state: Any, _: None, key: Array) -> Any:
            draw, key = jax.random.split(key)
            x = rows[jax.random.randint(draw, (self.batch,), 0, len(rows))]
            return self.turns(model, w, rule, bounds, game, state, x, key)

        def look(state: Any, at: int) -> None:
            if is_main():
                prior = self.prior(model, state["params"], bounds)
                place = run.folder / PRIORS_SEEN / f"{start + at:08d}.npz"
                place.parent.mkdir(parents=True, exist_ok=True)
                write_arrays(place, {"means": prior.means, "log_vars": prior.log_vars, "logits": prior.logits})

        seen = () if self.kind in ("normal", "mog_fixed") else ((max(1, (end - start) // 8), look),)
        return run.fit(Phase(name, init, step, data=None, steps=end - start, every=seen))["params"]

    def roles(self, game: bool) -> list[tuple[str, Callable, tuple[str, ...]]]:
        """Name, loss and players of each turn of a step. In the game the encoder's is first; the others answer to the
        new encoder."""
        third = ("prior",) if self.kind != "mog_fixed" else ()
        if not game:
            return [("vae", vae_loss, ("encoder", "decoder", *third))]
        leads = self.cooperation == "encoder"
        return [("encoder", encoder_loss, ("encoder", *third * leads)),
                ("decoder", decoder_loss, ("decoder", *third * (not leads)))]  # fmt: skip

    def turns(
        self, model: IntroVAE, w: Weights, rule: Any, bounds: Any, game: bool, state: Any, x: Array, key: Array
    ) -> tuple[Any, dict[str, Array]]:
        """One step of all players."""
        metrics, roles = {}, self.roles(game)
        for role, own in zip(roles, jax.random.split(key, len(roles)), strict=True):
            state, found = self.turn(role, model, w, rule, bounds, state, x, own)
            metrics |= found
        return state, metrics

    def turn(
        self, role: Any, model: IntroVAE, w: Weights, rule: Any, bounds: Any, state: Any, x: Array, key: Array
    ) -> tuple[Any, dict[str, Array]]:
        """The turn of some players: nothing of the others changes, neither parameters nor what their Adam keeps."""
        name, loss, players = role

        def value(own: Any) -> Any:
            params = state["params"] | own
            prior = self.prior(model, params, bounds)
            if "prior" not in players:
                prior = jax.lax.stop_gradient(prior)
            e = noise(key, prior, len(x), self.samples)
            return loss(replace(model, params=_nets(params)), prior, x, e, w, self.kl == "reference")

        own = {player: state["params"][player] for player in players}
        (size, found), slope = jax.value_and_grad(value, has_aux=True)(own)
        params, rules = dict(state["params"]), dict(state["rules"])
        for player in players:
            change, rules[player] = rule.update(slope[player], rules[player])
            params[player] = optax.apply_updates(params[player], change)
        return {"params": params, "rules": rules}, {f"{name}_loss": size, **found}


def priors_seen(folder: Path) -> dict[str, np.ndarray] | None:
    """Learned priors on the way of a training in this folder: means (T, K, d), and of the last stds (K, d) and weights
    (K,). None where none was learned here."""
    seen = [read_arrays(file) for file in sorted((folder / PRIORS_SEEN).glob("*.npz"))]
    if not seen:
        return None
    weights = np.exp(seen[-1]["logits"] - seen[-1]["logits"].max())
    stds = np.exp(seen[-1]["log_vars"] / 2)
    return {"means": np.stack([a["means"] for a in seen]), "stds": stds, "weights": weights / weights.sum()}


def standard(d: int) -> Mixture:
    """N(0, I)."""
    return Mixture(jnp.zeros((1, d)), jnp.zeros((1, d)), jnp.zeros(1))


def _nets(params: Any) -> Any:
    return {name: params[name] for name in ("encoder", "decoder")}


def divergences(model: IntroVAE, key: Array, x: Array) -> tuple[float, float]:
    """Mean KL of the posteriors of rows x and of as many fakes."""
    one, two = jax.random.split(key)
    made = model.decode(model.prior.sample(one, len(x)))
    e = jax.random.normal(two, (64, len(x), model.prior.means.shape[1]))

    def mean(a: Array) -> float:
        at, spread = model.encode(a)
        return float(divergence(at, spread, model.prior, e).mean())

    return mean(x), mean(made)


def balanced(w: Weights, kl: float) -> float:
    """The beta_neg with which the game leaves the divergence of real rows about where it is, `kl` nats.

    A reconstruction has nearly the code of its row, so the encoder's loss in their common divergence K is
    s beta_kl K + exp(-alpha s beta_neg K) / (2 alpha), least at K = log(beta_neg / (2 beta_kl)) / (alpha s beta_neg): a
    small beta_neg lets go of it only far out, and drags real rows there. No beta_neg has its least K above that of
    2 e beta_kl, which is given for larger ones.
    """
    b = least = 2 * np.e * w.kl
    for _ in range(100):
        b = max(least, np.log(b / (2 * w.kl)) / (w.alpha * w.scale * kl))
    return b


def warn(w: Weights, before: tuple[float, float], after: tuple[float, float]) -> None:
    """A game that ended badly: from the divergences of real rows and of fakes at its start and at its end."""
    (first, _), (real, fake) = before, after
    wrong = []
    if real > 1.2 * fake:
        wrong.append(f"KL of real rows {real:.3g} is above that of fakes {fake:.3g}")
    if real > 3 * first:
        wrong.append(f"KL of real rows rose from {first:.3g} to {real:.3g}")
    if wrong:
        known = w.kl > 0 and first > 0  # else no weight holds the rows
        nearer = f"take the third of betas (now {w.neg:.3g}) nearer to {balanced(w, first):.3g}, " if known else "take "
        warnings.warn(
            f"the game is lost: {', and '.join(wrong)}; {nearer}a smaller second one, or a smaller lr", stacklevel=2
        )

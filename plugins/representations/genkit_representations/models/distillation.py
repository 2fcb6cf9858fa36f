"""Recipes of self-distillation with prototypes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.data import batches
from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.model import Recipe
from genkit.nn import Net
from genkit.train import AdamW, Phase, TrainState
from genkit_representations.data import Samples
from genkit_representations.models.distilled import Distilled
from genkit_representations.models.optimizer import DINOAdamW, cosine
from genkit_representations.networks import CNN, Head, MLPEncoder, Prototyper, ViT
from genkit_representations.prototypes import Method, apart, koleo, neighbours, objective, unit
from genkit_representations.views import Crops, Noise, kept, random_mask

Array = Any
STUCK = 3  # validations in a row with a loss of log K


@dataclass(frozen=True, kw_only=True)
class Distillation(Recipe):
    """Self-distillation of vectors: a student learns the prototypes that its averaged self gives to another view."""

    fixed: ClassVar[tuple[str, ...]] = ("method", "network", "head", "steps", "shared")

    method: Method = "centering"
    """DINO (centering), with Sinkhorn-Knopp, SwAV, MSN (me_max), DINO-vMF (vmf), iBOT, DINOv2."""
    kp: float = 0.1
    """Weight of the regulariser that keeps the student's prototypes apart (arXiv 2410.14060); 0 for none."""
    refresh: int = 1
    """Steps between searches of each prototype's nearest one."""
    network: Network[tuple[int, ...]] = field(default_factory=MLPEncoder)
    """The encoder."""
    head: Head = field(default_factory=lambda: Head(prototypes=512, layers=1, bottleneck=16))
    """From features to prototypes."""
    shared: bool = True
    """Whether patches have the head of whole images."""
    views: Noise = field(default_factory=Noise)
    """Views of a sample."""
    mask: tuple[float, float] = (0.3, 0.3)
    """Least and largest share of patches hidden from the student, where the method has them (.1 to .5 in DINOv2)."""
    masked: float = 1.0
    """Probability that any are hidden in an image; .5 in DINOv2."""
    drop: float = 0.0
    """Share of patches left out of the student's large views; .15 in MSN."""
    momentum: float | None = None
    """First momentum of the teacher in place of the method's, unless that is 0; .9995 for batches under 256."""
    warmup: float = 0.3
    """Share of the training over which the teacher's temperature rises."""
    freeze: float = 0.0
    """Share of the training in which prototypes stay; an epoch in DINO."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=3e-2))
    """The optimiser."""
    clip: float = 3.0
    """Largest norm of the gradient."""
    steps: int = 4000
    """Training steps."""
    batch: int = 128
    """Samples in a step."""

    @classmethod
    def preset(cls, name: str) -> Distillation:
        """Presets tiny (CI), default (seconds), and paper (the head of DINO)."""
        if name == "tiny":
            return cls(head=Head(prototypes=32, layers=1, bottleneck=8), network=MLPEncoder((32,)), steps=40, batch=32)
        return cls(head=Head(), optimizer=DINOAdamW(), steps=100_000, batch=256) if name == "paper" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        for name in ("steps", "batch", "refresh"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.kp < 0 or not 0 <= self.drop < 1 or self.clip <= 0 or not 0 <= self.mask[0] <= self.mask[1] < 1:
            raise UsageError(
                f"kp={self.kp}, drop={self.drop}, clip={self.clip}, mask={self.mask}: expected kp >= 0, 0 <= drop < 1, "
                "clip > 0 and 0 <= mask < 1"
            )
        method = objective(self.method)
        if self.views.number < 2:
            raise UsageError(
                f"views.number={self.views.number}; expected at least 2: one for the teacher, one for the student"
            )
        if self.drop and (method.patches or not hasattr(self.network, "patches")):
            raise UsageError(f"drop={self.drop} leaves out patches, for methods without masked patches and an encoder "
                             f"that has some; got {self.method} with {type(self.network).__name__}")  # fmt: skip

    def fit(self, run: Any, data: Samples, start: Distilled | None = None) -> Distilled:
        """Train; labels are not seen."""
        self.views.check(data.shape)
        steps = self.steps if start is None else self.finetune
        model = self._untrained(data) if start is None else start
        optimizer = self.optimizer.build(steps)
        step, look = self._step(model, optimizer, steps), self._watch(run, model, data.train[: self.batch])

        def init(key: Array) -> TrainState:
            student = model.net.init(key) if start is None else _apart(key, start.student)
            teacher = jax.tree.map(jnp.array, student if start is None else start.teacher)
            prototypes = self.head.prototypes
            aux = {"centers": model.centers} | ({"near": jnp.zeros((prototypes, 1), jnp.int32)} if self.kp else {})
            return TrainState(jnp.int32(0), student, aux, optimizer.init(student), teacher)

        phase = Phase(
            "distillation", init, step, batches(data.train, self.batch, seed=run.seed), steps,
            every=((max(1, steps // 20), look),), best="none",
        )  # fmt: skip
        state = run.fit(phase)
        return replace(model, student=state.params, teacher=state.ema, centers=state.aux["centers"])

    def _untrained(self, data: Samples) -> Distilled:
        method = objective(self.method)
        if self.momentum is not None and method.momentum[0] > 0:  # the teacher of SwAV is the student
            method = replace(method, momentum=(self.momentum, method.momentum[1]))
        net = Net(Prototyper(self.network, self.head, method.vmf, method.patches > 0, self.shared), (data.shape,))
        mean = data.train.mean(tuple(range(data.train.ndim - 1)), dtype=np.float64)
        std = max(float((data.train - mean).std()), 1e-12)
        first = method.first_center(self.head.prototypes)
        centers = {"cls": first} | ({"patches": first} if method.patches else {})
        return Distilled(net, method, None, None, centers, np.asarray(mean, np.float32), np.float32(std))

    def _loss(self, model: Distilled) -> Callable[..., Any]:
        """(student, teacher, aux, x, key, temperatures, search) -> (loss, (aux, metrics))."""
        method, net, dim = model.objective, model.net, self.head.bottleneck

        def loss(student: Any, teacher: Any, aux: Any, x: Array, key: Array, heat: Any, search: Any) -> Any:
            k_view, k_mask, k_keep, k_drop = jax.random.split(key, 4)
            large, small = self.views(k_view, x)
            large, small = model.scaled(large), None if small is None else model.scaled(small)
            known, own = net.module(teacher), net.module(student)
            targets = jax.tree.map(jax.lax.stop_gradient, known(large if method.same else large[:1]))
            seen = large if method.same else large[1:]
            mask = keep = None
            if method.patches:
                tokens = self.network.patches(seen.shape[2:])  # type: ignore[attr-defined]
                flat = random_mask(k_mask, seen.shape[0] * len(x), tokens, self.mask, self.masked)
                mask = flat.reshape(*seen.shape[:2], tokens)
            if self.drop:
                tokens = self.network.patches(seen.shape[2:])  # type: ignore[attr-defined]
                keep = kept(k_keep, seen.shape[0] * len(x), tokens, self.drop).reshape(*seen.shape[:2], -1)
            given = own(seen, mask, keep, k_drop)
            if small is not None:
                given = _with(given, own(small, None, None, jax.random.fold_in(k_drop, 1)))
            lengths = own.head.lengths(), jax.lax.stop_gradient(known.head.lengths())
            total, centers, parts = method(given, targets, aux["centers"], heat, lengths, dim, mask)
            aux = {**aux, "centers": centers}
            if self.kp:
                w = unit(own.head.last[...])
                again = lambda: neighbours(jax.lax.stop_gradient(w)).astype(jnp.int32)  # noqa: E731
                aux["near"] = again() if self.refresh == 1 else jax.lax.cond(search, again, lambda: aux["near"])
                parts["kp"] = koleo(w, near=aux["near"])
                total += self.kp * parts["kp"]
            return total, (aux, parts)

        return loss

    def _step(self, model: Distilled, optimizer: optax.GradientTransformation, steps: int) -> Callable[..., Any]:
        method, loss = model.objective, self._loss(model)
        gradient = jax.value_and_grad(loss, has_aux=True)
        momentum = cosine(*method.momentum, steps)

        def step(state: TrainState, x: Array, key: Array) -> tuple[TrainState, dict[str, Array]]:
            rise = jnp.minimum(state.step / max(self.warmup * steps, 1), 1.0)
            heat = tuple(a + (b - a) * rise for a, b in (method.teacher, method.patch_teacher))
            search = state.step % self.refresh == 0
            (value, (aux, parts)), grads = gradient(state.params, state.ema, state.aux, x, key, heat, search)
            frozen = state.step < self.freeze * steps
            grads = _still(grads, frozen)
            norm = optax.tree.norm(grads)
            scale = jnp.minimum(1.0, self.clip / jnp.maximum(norm, 1e-12))
            updates, opt_state = optimizer.update(
                jax.tree.map(lambda g: g * scale, grads), state.opt_state, state.params
            )
            # else weight decay would move them
            params = optax.apply_updates(state.params, _still(updates, frozen))
            m = momentum(state.step)
            teacher = jax.tree.map(lambda t, s: m * t + (1 - m) * s, state.ema, params)
            after = TrainState(state.step + 1, params, aux, opt_state, teacher)
            return after, {**parts, "loss": value, "grad_norm": norm}

        return step

    def _watch(self, run: Any, model: Distilled, x: np.ndarray) -> Callable[..., dict[str, float]]:
        """The loss on a fixed batch; a line is said when it does not leave log K."""
        loss = self._loss(model)
        heat = model.objective.teacher[1], model.objective.patch_teacher[1]
        test = jax.jit(lambda state, key: loss(state.params, state.ema, state.aux, x, key, heat, True)[1][1])
        key, seen = run.key("distillation watch"), []

        def look(state: TrainState, step: int) -> dict[str, float]:
            parts = {name: float(value) for name, value in jax.device_get(test(state, key)).items()}
            seen.append(stuck(parts["distillation"], self.head.prototypes))
            if all(seen[-STUCK:]) and (len(seen) == STUCK or (len(seen) > STUCK and not seen[-STUCK - 1])):
                run.say(f"step {step}: the loss stays at log K = {math.log(self.head.prototypes):.4f}, so all samples "
                        "look the same to the student; lower the teacher's temperature or the learning rate, or take "
                        "a larger batch")  # fmt: skip
            return {f"val/{name}": value for name, value in parts.items()}

        return look


@dataclass(frozen=True, kw_only=True)
class ImageDistillation(Distillation):
    """Self-distillation of images with multi-crop views, masked patches where the method has them.

    The default network is convolutional, which learns more from few small images; methods with masked patches need
    `--network vit`.
    """

    network: Network[tuple[int, ...]] = field(default_factory=CNN)
    """The encoder; methods with masked patches need a ViT."""
    head: Head = field(default_factory=lambda: Head(prototypes=256, hidden=128, layers=2, bottleneck=32))
    """From features to prototypes."""
    views: Crops = field(default_factory=Crops)  # type: ignore[assignment]
    """Views of an image."""
    momentum: float | None = 0.99
    """First momentum of the teacher in place of the method's, unless that is 0; .9995 for batches under 256."""
    optimizer: Optimizer = field(default_factory=lambda: DINOAdamW(lr=2e-3, decay=(0.0, 0.0)))
    """The optimiser."""
    steps: int = 400
    """Training steps."""
    batch: int = 64
    """Samples in a step."""

    @classmethod
    def preset(cls, name: str) -> ImageDistillation:
        """Presets tiny (CI), default (minutes on two cores), paper (DINO's ViT-S/16)."""
        if name == "tiny":
            return cls(network=ViT.preset("tiny"), head=Head(prototypes=32, hidden=16, layers=2, bottleneck=8),
                       views=Crops.preset("tiny"), steps=20, batch=32)  # fmt: skip
        if name == "paper":
            return cls(network=ViT.preset("paper"), head=Head(), views=Crops.preset("paper"), momentum=None,
                       freeze=0.01, optimizer=DINOAdamW(lr=2e-3), steps=125_000, batch=1024)  # fmt: skip
        return cls()


def stuck(value: float, prototypes: int) -> bool:
    """Whether a loss is that of a student that says the same of everything, log K."""
    return abs(value - math.log(prototypes)) < 1e-3


def _apart(key: Array, student: Any) -> Any:
    """Prototypes that lie on one another have no gradient of their own."""
    head = student["head"]
    return student | {"head": head | {"last": apart(key, jnp.asarray(head["last"]))}}


def _still(grads: Any, frozen: Any) -> Any:
    """Gradients or updates with 0 for the prototypes of all heads, directions and lengths, where `frozen`."""

    def still(path: Any, a: Any) -> Any:
        names = [key.key for key in path[:2]]
        prototypes = names[0] in ("head", "patch_head") and names[1] in ("last", "gain")
        return jnp.where(frozen, 0.0, a) if prototypes else a

    return jax.tree_util.tree_map_with_path(still, grads)


def _with(large: Any, small: Any) -> Any:
    """One output of large and small views; patches are those of the large ones."""
    features = jnp.concatenate([large.features, small.features])
    return replace(large, features=features, logits=jnp.concatenate([large.logits, small.logits]))

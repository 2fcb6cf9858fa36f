"""What the recipes of generators share: how one is learned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from genkit.discrete import LEARNED_ORDER
from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.model import Recipe
from genkit.train import AdamW, learn
from genkit_molecules.items import NO, NULL, YES, some
from genkit_molecules.models.discrete import Discrete, in_parallel, site_costs
from genkit_molecules.models.trained import Generator
from genkit_molecules.models.widths import Trimmed

TESTED = 512  # items whose bound is computed


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe(Recipe):
    """A model of items with discrete sites, trained on the training set; `data` are molecules or sequences.

    Of data that are told something it learns conditional and unconditional law at once, for classifier-free guidance.
    """

    clip: ClassVar[float | None] = None
    """largest norm of a gradient"""

    network: Network
    steps: int = 1500
    """Training steps."""
    epochs: int | None = None
    """Passes through the training set, in place of steps."""
    batch: int = 128
    """Items in a step."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3))
    """The optimiser."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        for name in ("steps", "epochs", "batch", "sizes"):
            if getattr(self, name, None) is not None and getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    def discrete(self) -> Discrete:
        """Which model it is."""
        raise NotImplementedError

    def loss(self, key: Any, model: Generator, x: Any, cond: Any) -> Any:
        """What training minimises, of rows x (B, D) and conditions."""
        return model.bound(key, x, cond)

    def learned(self, run: Any, data: Any, start: Generator | None) -> Generator:
        """The trained model, from `start` where it is given."""
        model, steps = self._untrained(data) if start is None else start, self.finetune
        if start is None:
            steps = self.steps if self.epochs is None else self.epochs * -(-len(data.texts("train")) // self.batch)
        calls, sites = getattr(self, "calls", 0), model.layout.width(model.widest)
        if calls > sites:
            raise UsageError(f"calls={calls} for {sites} sites; expected at most one a site")
        denoiser: Any = model.denoiser
        rows = data.rows("train")
        trimmed = Trimmed.of(model.layout, rows["mask"], self.batch)
        dropout = 0.0 if data.told is None else data.told.dropout

        def of(params: Any, aux: None, batch: Any, key: Any, training: bool = True) -> Any:
            k_draw, k_loss, k_drop = jax.random.split(key, 3)
            x, cond = inputs(batch, k_draw, dropout)

            def loss(params: Any, x: Any, cond: Any) -> Any:
                net = replace(denoiser, params=params, key=k_drop if training else None)
                return self.loss(k_loss, replace(model, denoiser=net), x, cond)

            return trimmed(loss, params, x, cond), (aux, {})

        params = learn(
            run, "generator", of, denoiser.apply.init if start is None else denoiser.params, rows,
            [tested(data)] if data.texts("test") else [], optimizer=self.optimizer.build(steps), steps=steps,
            batch=self.batch, near=trimmed.near, clip=self.clip, validate=max(1, steps // 10),
        )  # fmt: skip
        # on the host, as a restored model: both are drawn from by the same programs
        model = replace(model, denoiser=replace(denoiser, params=jax.device_get(params)))
        return replace(model, budget=_budget(model, data, calls)) if calls else model

    def _untrained(self, data: Any) -> Generator:
        layout, discrete = data.layout, self.discrete()
        kind = "ordered" if discrete.orders == LEARNED_ORDER else "generator"
        net = layout.net(self.network, kind, 0 if data.told is None else len(NULL))
        given = None if data.told is None else jnp.asarray(NULL)
        denoiser = layout.denoiser(net, None, unit=discrete.unit, given=given)
        return Generator(layout, denoiser, discrete, getattr(self, "sizes", None))


def tested(data: Any) -> dict[str, Any]:
    """Some test items."""
    rows = data.rows("test")
    return {name: some(column, TESTED) for name, column in rows.items()}


def _budget(model: Generator, data: Any, calls: int) -> tuple[int, ...]:
    """That of so many calls with the least loss on some training items of the largest size that is sampled."""
    x = some(next(g.x for g in data.groups if g.n == model.widest), TESTED)
    cond, space = {"mask": jnp.ones((len(x), model.widest), bool)}, model.layout.space(model.widest)
    rows = jnp.asarray(x, jnp.int32)
    return in_parallel(site_costs(jax.random.key(0), model.denoiser, rows, cond, space, model.discrete.orders), calls)


def inputs(batch: Any, key: Any, dropout: float = 0.0) -> tuple[Any, Any]:
    """Rows x (B, D) and their conditions, some of which are not told."""
    x, cond = jnp.asarray(batch["x"], jnp.int32), {"mask": jnp.asarray(batch["mask"])}
    if "yes" not in batch:
        return x, cond
    yes = jnp.asarray(batch["yes"])[:, None]
    yes = jax.random.uniform(jax.random.fold_in(key, 1), yes.shape) < yes
    told = jax.random.uniform(key, yes.shape) >= dropout
    return x, {**cond, "given": jnp.where(told, jnp.where(yes, YES, NO), NULL)}

"""What forecasting experiments with a trained network share: the domain, the training, ensembles from the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import batches
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import Optimizer
from genkit.train import AdamW, Phase, TrainState, load, make_step
from genkit_weather.data import Series
from genkit_weather.experiments.forecast import ForecastExperiment
from genkit_weather.frame import join
from genkit_weather.lam import Augmentation, Domain, Formulation, Outlook, Stepper, rollout

VALIDATION = 64  # examples of the validation split that are looked at, spread evenly over it
MEPS_WEIGHTS = {  # of the published models: by the level of a variable
    "t_2": 1.0, "r_2": 1.0, "t_65": 0.065, "r_65": 0.065, "u_65": 0.065, "v_65": 0.065, "t_850": 0.05, "u_850": 0.05,
    "v_850": 0.05, "t_500": 0.03, "z_500": 0.03, "z_1000": 0.1, "pres_0g": 0.1, "pres_0s": 0.1, "nlwrs_0": 0.1,
    "nswrs_0": 0.1, "wvint_0": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class LearnedForecast(ForecastExperiment):
    """A network that makes one step at a time, trained on examples of the training split."""

    formulation: Formulation = field(default_factory=Formulation)
    """What is predicted and what the network is told."""
    weights: dict[str, float] = field(default_factory=dict)
    """Loss weights of variables; 1 where a variable is not named."""
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(0.5, 0.03, 0.5, 4))
    """Noise on the past states in training."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3, weight_decay=0.01))
    """The optimiser."""
    batch: int = 8
    """Examples in a step."""
    accumulate: int = 1
    """Parts into which a batch is cut to save memory."""
    clip: float | None = 1.0
    """Largest norm of the gradient."""
    ema: float | None = 138.0
    """Half-life of the averaged parameters in steps."""
    validate: int = 250
    """Steps between validations."""
    keep: Literal["last", "best"] = "last"
    """Which parameters forecast: those of the last step, or of the lowest validation loss."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for name in ("batch", "accumulate", "validate"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.batch % self.accumulate:
            raise UsageError(f"batch={self.batch} cannot be cut into accumulate={self.accumulate} equal parts")

    # for subclasses

    def stepper(self, run: Run) -> Stepper:
        """The trained model."""
        raise NotImplementedError(f"{type(self).__name__} needs a method stepper(run)")

    # stages

    def train(self, run: Run) -> None:
        """Train, or restore what is trained."""
        self.stepper(run)

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """n members of one forecast, from the middle of the test split: (n, lead, H, W, V), physical units."""
        data = self.weather(run)
        chosen = self.chosen(data)
        series, start = chosen[len(chosen) // 2]
        states = self.ensemble(run, key, data.test[series], [start], n, self.leads)
        return np.concatenate([s for _, s in states], 1)[0].swapaxes(0, 1)

    def advance(
        self, run: Run, series: Series, starts: Sequence[int], members: int, leads: int
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Ensembles from several starts, some leads at a time."""
        return self.ensemble(run, run.key("forecast"), series, starts, members, leads)

    def ensemble(
        self, run: Run, key: Any, series: Series, starts: Sequence[int], members: int, leads: int
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Yield (leads, states (start, lead, member, H, W, V)), frame included, in physical units."""
        from genkit.parallel import make_mesh

        data, model = self.weather(run), self.stepper(run)
        outlook = self.outlook(run, series, starts, leads)
        mesh = make_mesh() if jax.device_count() > 1 else None
        frames = np.asarray(outlook.frame) * np.asarray(model.domain.std) + np.asarray(model.domain.mean)
        block = max(1, leads // 8)
        for some, states in rollout(key, model, outlook, members, chunk=self.chunk, block=block, mesh=mesh):
            cells = frames[:, some.start + 1 : some.stop + 1, None]
            cells = np.broadcast_to(cells, (*cells.shape[:2], members, *cells.shape[3:]))
            yield some, np.asarray(join(cells, states, data.frame))

    def outlook(self, run: Run, series: Series, starts: Sequence[int], leads: int) -> Outlook:
        """What forecasts from starts of a test series are given."""
        return Outlook.build(self.domain(run), series, starts, leads)

    # training

    def domain(self, run: Run) -> Domain:
        """Statistics and fixed fields of the limited area."""
        return run.once("domain", lambda: Domain.build(self.weather(run), self.formulation))

    def loss_weights(self, run: Run) -> jax.Array:
        """(V,) weights of the variables."""
        data = self.weather(run)
        unknown = set(self.weights) - set(data.names)
        if unknown:
            raise UsageError(f"weights name {sorted(unknown)}, but {data.source} has {', '.join(data.names)}")
        return jnp.array([self.weights.get(name, 1.0) for name in data.names])

    def known(self, run: Run, examples: Any, name: str = "known") -> list[Any]:
        """Batches of the validation split, the same at all times."""
        count = VALIDATION // self.batch * self.batch or self.batch
        rows = np.linspace(0, len(examples) - 1, count).round().astype(int)
        return run.once(name, lambda: [examples.take(part) for part in rows.reshape(-1, self.batch)])

    def fit(
        self,
        run: Run,
        name: str,
        loss: Any,
        params: Any,
        aux: Any,
        examples: Any,
        known: list[Any],
        steps: int,
        optimizer: Any,
    ) -> Any:
        """Train parameters with validation, beside fixed ones in `aux`; returns the averaged ones.

        With `keep` best, those of the least validation loss, the first ones included: a later stage on few data can do
        harm. `loss(params, aux, batch, key, training=True) -> (loss, (aux, metrics))`.
        """
        step = make_step(loss, optimizer, ema_half_life=self.ema, accumulate=self.accumulate, clip=self.clip)
        test = jax.jit(partial(loss, training=False))
        key = run.key(f"{name} validation")

        def validation(params: Any) -> float:
            keys = jax.random.split(key, len(known))
            values = [test(params, aux, b, k)[0] for b, k in zip(known, keys, strict=True)]
            return float(np.mean(jax.device_get(values)))

        def validate(state: TrainState, step: int) -> dict[str, float]:
            return {"val/loss": validation(state.averaged)}

        def init(key: Any) -> TrainState:
            return TrainState.create(params, optimizer, aux, ema=self.ema is not None)

        source = batches(examples, self.batch, seed=run.seed)
        phase = Phase(name, init, step, source, steps, every=((self.validate, validate),))
        if self.keep == "last":
            return run.fit(phase).averaged
        first = validation(params), jax.device_get(params)  # the training may give their memory away
        run.fit(phase)
        best = load(phase, run.folder).averaged
        return first[1] if first[0] < validation(best) else best

"""What experiments that train a discrete model share: training, samples by size, what was sampled."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import batches
from genkit.discrete import sample
from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import write_json
from genkit.kinds import Dataset, Network, Optimizer
from genkit_molecules import guidance
from genkit_molecules.guidance import Head, Kind
from genkit_molecules.models import Discrete, Space
from genkit_molecules.rows import Rows

AT_ONCE = 1024  # items that are sampled at a time
TESTED = 512  # test items whose bound is computed


class DiscreteModel(Experiment):
    """A model of molecules or sequences; subclasses have the fields, and say what their data are."""

    data: Dataset
    steps: int
    batch: int
    samples: int
    sizes: int
    network: Network
    optimizer: Optimizer
    clip: ClassVar[float | None] = None
    """largest norm of a gradient"""

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("steps", "batch", "samples", "sizes"):
            if getattr(self, name, 1) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    # what subclasses say

    def discrete(self) -> Discrete:
        """Which model it is."""
        raise NotImplementedError

    def head(self, run: Run, kind: Kind = "generator") -> Head:
        """The network with a head."""
        raise NotImplementedError

    def groups(self, run: Run) -> Sequence[Rows]:
        """The training items by size."""
        raise NotImplementedError

    def padded(self, run: Run, groups: Sequence[Rows]) -> dict[str, np.ndarray]:
        """Items as rows of one width: x (M, D), and "mask", what of them is real."""
        raise NotImplementedError

    def rows(self, run: Run, split: str) -> dict[str, np.ndarray]:
        """All "train" or "test" items, as `inputs` takes them."""
        raise NotImplementedError

    def texts(self, run: Run, split: str) -> Sequence[str]:
        """The same items as text."""
        raise NotImplementedError

    def space(self, run: Run, size: int | None = None) -> Space:
        """The sites of items of a size, or of the largest ones."""
        raise NotImplementedError

    def width(self, size: int) -> int:
        """D, sites of an item of this size."""
        raise NotImplementedError

    def real(self, cond: Any) -> jax.Array:
        """Which sites are real, (B, D) bool, of a condition."""
        raise NotImplementedError

    def write(self, run: Run, name: str, groups: Sequence[Rows], seconds: float) -> None:
        """Write what a method drew, and the seconds that it took, compilation included."""
        raise NotImplementedError

    def read(self, run: Run, name: str) -> Sequence[str | None]:
        """What a method drew, as text; None where invalid."""
        raise NotImplementedError

    # training

    @property
    def conditions(self) -> int:
        """Width of what the generator is conditioned on."""
        return 0

    def inputs(self, batch: Any, key: Any) -> tuple[Any, Any]:
        """Rows x (B, D) and their conditions."""
        return jnp.asarray(batch["x"], jnp.int32), {"mask": jnp.asarray(batch["mask"])}

    def loss(self, key: Any, model: Any, x: Any, cond: Any, space: Space) -> Any:
        """What training minimises, of rows x (B, D) and conditions."""
        return self.bound(key, model, x, cond, space)

    def bound(self, key: Any, model: Any, x: Any, cond: Any, space: Space) -> Any:
        """The bound on -log p(x), nats an item."""
        return self.discrete().loss(key, model, x, cond, self.real(cond), space)

    def train(self, run: Run) -> None:
        """Train the generator."""
        self.generator(run)

    def generator(self, run: Run) -> Any:
        """Its parameters."""
        return run.once("generator", lambda: run.fit(self._phase(run)).params)

    def _phase(self, run: Run) -> Any:
        space, unit, test = self.space(run), self.discrete().unit, self.test_loss(run)
        every = ()
        if test:
            every = ((max(1, self.steps // 10), lambda state, step: {"val/loss": float(test(state.params))}),)

        def loss(key: Any, model: Any, drawn: Any) -> Any:
            x, cond = drawn
            return self.loss(key, replace(model, unit=unit), x, cond, space)

        rows = batches(self.rows(run, "train"), self.batch, seed=run.seed)
        return guidance.phase("generator", self.head(run), loss, self.optimizer, self.steps, self.inputs, rows, every,
                              clip=self.clip)  # fmt: skip

    def test_bound(self, run: Run) -> Any:
        """The bound on some test items as a function of parameters; None without tests."""
        return self.on_tests(run, self.bound)

    def test_loss(self, run: Run) -> Any:
        """What training minimises, likewise."""
        return self.test_bound(run)

    def on_tests(self, run: Run, loss: Any) -> Any:
        """loss(key, model, x, cond, space) of some test items as a function of parameters; None without tests."""
        some = {k: v[:TESTED] for k, v in self.rows(run, "test").items()} if self.texts(run, "test") else None
        if some is None:
            return None
        space, unit, head = self.space(run), self.discrete().unit, self.head(run)

        @jax.jit
        def value(params: Any) -> Any:
            x, cond = self.inputs(some, jax.random.key(1))
            return loss(jax.random.key(0), replace(head.net(params), unit=unit), x, cond, space)

        return run.once(f"test/{loss.__name__}", lambda: value)

    def denoiser(self, run: Run) -> Any:
        """The trained model."""
        return replace(self.head(run).net(self.generator(run)), unit=self.discrete().unit)

    # samples

    def sampler(self, run: Run, size: int) -> Any:
        """The sampler of items of a size."""
        return self.discrete().sampler(self.space(run, size))

    def by_size(self, run: Run, key: Any, n: int, method: Any) -> list[Rows]:
        """n items by method(key, sampler, (count, D)), of the most frequent sizes, as frequent as in the data."""
        common = sorted(self.groups(run), key=lambda group: -len(group.x))[: self.sizes]
        share = np.array([len(group.x) for group in common], float)
        counts = np.random.default_rng(run.seed).multinomial(n, share / share.sum())
        found = []
        for size, count in zip([group.n for group in common], counts, strict=True):
            sampler = self.sampler(run, size)
            at_once = min(count, AT_ONCE)
            own = jax.random.fold_in(key, size)
            parts = [method(jax.random.fold_in(own, k), sampler, (int(at_once), self.width(size)))
                     for k in range(-(-count // at_once) if count else 0)]  # fmt: skip
            if parts:
                found.append(Rows(size, np.concatenate([np.asarray(p, np.uint8) for p in parts])[:count]))
        return found

    def draw(self, run: Run, key: Any, n: int) -> list[Rows]:
        """n items, by their size."""
        return self.by_size(run, key, n, lambda key, sampler, shape: sample(key, sampler, run.denoiser, shape))

    def methods(self) -> list[str]:
        """Names of what is sampled."""
        return [self.discrete().name]

    def sample(self, run: Run) -> None:
        """Draw and write."""
        begun = time.perf_counter()
        groups = self.draw(run, run.key("sample"), self.samples)
        self.write(run, self.methods()[0], groups, time.perf_counter() - begun)

    def took(self, run: Run, name: str, seconds: float) -> None:
        """Note how long a method took."""
        times = run.folder / "seconds.json"
        known = json.loads(times.read_text()) if times.exists() else {}
        write_json(times, {**known, name: seconds})

    def rates(self, run: Run) -> dict[str, float | None]:
        """rate/<method>, samples a second, compilation included."""
        seconds = json.loads((run.folder / "seconds.json").read_text())
        return {f"rate/{name}": self.samples / seconds[name] for name in self.methods()}

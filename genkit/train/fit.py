"""The training loop."""

from __future__ import annotations

import base64
import importlib.metadata
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from genkit import signals
from genkit.errors import GenkitError
from genkit.kinds import Logger
from genkit.parallel import agree, is_main, make_mesh, replicate
from genkit.programs import watched
from genkit.train import checkpoint
from genkit.train.compiled import compile_step, mesh_of
from genkit.train.errors import Interrupted, NonFiniteLoss
from genkit.train.loggers import JsonLines
from genkit.train.phase import Phase, abstract, place
from genkit.train.progress import Show
from genkit.train.rehearsal import rehearse

SAVE = 1  # flag of process 0: time to save; larger flags are signal numbers


def fit(
    phase: Phase,
    *,
    folder: str | Path,
    key: jax.Array,
    config: dict[str, Any] | None = None,
    mesh: Mesh | None = None,
    loggers: Sequence[Logger] = (),
    save_every: float = 60.0,
    save_steps: int | None = None,
    keep: int = 2,
    resume: bool = True,
    progress: bool = True,
    log: Callable[[str], None] = lambda line: None,
) -> Any:
    """Train a phase to its end and return its final state; a finished phase is only restored.

    Writes ``checkpoints/<phase>/last`` (every `save_every` seconds, every `save_steps` steps where given, and at
    the end; the newest `keep` stay), ``checkpoints/<phase>/best``, and lines of ``metrics.jsonl`` in `folder`. With
    `resume`, an unfinished training continues from its last checkpoint that is not damaged, on one device bit for
    bit as if it had not been interrupted. `config` is kept in checkpoints and compared on resume. `loggers` are
    called as well, with names prefixed by the phase's; they stay open; `log` gets the lines of the
    progress. Without a mesh all devices are used: the largest number of them that divides the micro-batch has its
    examples, and where others are left they share the rows of images or edges of graphs (`genkit.parallel.split_rows`).

    Raises `Interrupted` after SIGTERM or SIGINT (saved first), `NonFiniteLoss`, and `GenkitError` for a
    checkpoint of another configuration or a disk that cannot be written. Under `genkit.programs.watch` nothing is
    trained or written, see `rehearse`.
    """
    if watched():
        return rehearse(phase, key)
    with signals.postponed():
        return _Fit(phase, Path(folder), key, config, loggers, save_every, save_steps, keep).run(
            mesh, resume, progress, log
        )


class _Fit:
    """The variables of one call of `fit`."""

    def __init__(
        self,
        phase: Phase,
        folder: Path,
        key: Any,
        config: Any,
        loggers: Sequence[Logger],
        save_every: float,
        save_steps: int | None,
        keep: int,
    ):
        self.phase, self.folder = phase, folder
        self.config = None if config is None else checkpoint.plain(config)
        self.given, self.save_every, self.save_steps, self.keep = loggers, save_every, save_steps, keep
        self.init_key, self.key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        self.log_every = phase.log_every or max(1, phase.steps // 200)
        self.many = jax.process_count() > 1
        # What a checkpoint holds beside the state:
        self.step, self.sums, self.count, self.best, self.hooked = 0, {}, 0, None, True
        self.loss: float | None = None
        self.data: Any = None

    # set-up

    def run(self, mesh: Mesh | None, resume: bool, progress: bool, log: Callable[[str], None]) -> Any:
        last = place(self.folder, self.phase.name)
        found, damage = checkpoint.usable(last) if resume else (None, "")
        meta = checkpoint.check(last, self.config) if found is not None else None
        if meta is not None:
            self.step, self.sums, self.count = meta["step"], meta["sums"], meta["count"]
            self.best, self.hooked = meta["best"], meta["hooked"]
            if self.step >= self.phase.steps and self.hooked:
                return checkpoint.restore(last, abstract(self.phase, mesh or make_mesh()))[0]
        elif not resume and is_main():
            checkpoint.clear(place(self.folder, self.phase.name).parent)
        with Show(self.phase.name, self.phase.steps, self.step, progress and is_main(), log=log) as show:
            if damage:
                show.say(f"{damage}; goes on from step {found}")
            try:
                batch = self._open_data(meta)
                mesh = mesh or mesh_of(batch, getattr(self.phase.step, "accumulate", 1))
                state = self._start(last, mesh, meta)
                program = compile_step(self.phase, state, batch, self.key, mesh)
            except signals.Interrupted as stop:
                raise Interrupted(stop.signal, self.phase.name, self.step, bool(found)) from None
            show.say(f"compiled in {program.seconds:.1f} s" + (f", continues at step {self.step}" if self.step else ""))
            self.names = program.names
            self.own = JsonLines(self.folder / "metrics.jsonl", self.phase.name, self.step) if is_main() else None
            try:
                if not self.step:
                    self._log({"compile_seconds": round(program.seconds, 3)})
                return self._loop(program.call, state, batch, mesh, show)
            finally:
                if self.own:
                    self.own.close()
                if hasattr(self.data, "close"):
                    self.data.close()

    def _open_data(self, meta: dict[str, Any] | None) -> Any:
        """Open the data at the saved place and take one batch, whose shapes the step is compiled for."""
        if self.phase.data is None:
            return None
        self.data = iter(self.phase.data)
        if meta is not None:
            if meta["data"] is None or not hasattr(self.data, "set_state"):
                raise GenkitError(
                    f"the data of phase {self.phase.name!r} cannot be resumed: its iterator needs "
                    f"get_state() and set_state(), as genkit.data.batches has"
                )
            self.data.set_state(_unpack(meta["data"]))
        return self._next()

    def _next(self) -> Any:
        try:
            return next(self.data)
        except StopIteration:
            raise GenkitError(
                f"the data of phase {self.phase.name!r} ended after {self.step} of "
                f"{self.phase.steps} steps; give batches without end"
            ) from None

    def _start(self, last: Path, mesh: Mesh, meta: dict[str, Any] | None) -> Any:
        like = abstract(self.phase, mesh)
        if meta is not None:
            return checkpoint.restore(last, like)[0]
        places = jax.tree.map(lambda s: s.sharding, like)
        return jax.jit(self.phase.init, out_shardings=places)(replicate(self.init_key, mesh))

    # the loop

    def _loop(self, call: Any, state: Any, batch: Any, mesh: Mesh, show: Show) -> Any:
        phase, flag, waiting = self.phase, 0, None
        if not self.hooked:
            self._hooks(state)
        self.saved_at = time.monotonic()
        carry = (state, replicate(np.int32(self.step), mesh))
        show.restart(self.step)
        while self.step < phase.steps:
            batch = self._next() if batch is None and self.data is not None else batch
            carry, vector = call(carry, batch, self._flag())
            batch, self.step = None, self.step + 1
            if waiting is not None:
                flag = self._take(*waiting)  # of the step before: the device is at work on this one
            waiting = (self.step, vector)
            flag = flag if self.many else self._flag()
            hook, save = self._due_hooks(), self._due_save(flag)
            if hook or save or self.step == phase.steps:
                self._take(*waiting)
                waiting = None
                if hook:
                    self._hooks(carry[0])
                if save or self.step == phase.steps:
                    self._save("last", carry[0])
                if flag > SAVE:
                    raise Interrupted(flag, phase.name, self.step)
            show.update(self.step, self.loss)
        return carry[0]

    def _flag(self) -> int:
        """What this process wants: a signal's number, SAVE, or 0."""
        late = is_main() and time.monotonic() - self.saved_at >= self.save_every
        return signals.got() or (SAVE if late else 0)

    def _due_hooks(self) -> list[Any]:
        last = self.step == self.phase.steps
        return [f for k, f in self.phase.every if self.step % k == 0 or last]

    def _due_save(self, flag: int) -> bool:
        return flag > 0 or bool(self.save_steps and self.step % self.save_steps == 0)

    def _take(self, step: int, vector: jax.Array) -> int:
        """Fetch the metrics of a step, check them, and log them where a line is due; returns the flag."""
        *numbers, flag = np.asarray(vector).tolist()
        values = dict(zip(self.names, numbers, strict=True))
        for name, value in values.items():
            if not math.isfinite(value) and name.endswith(("loss", "grad_norm")):
                self._not_finite(step, f"{name} is {value}")
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        self.loss = values.get("loss", next(iter(numbers), None))
        if step % self.log_every == 0 or step == self.phase.steps:
            self._log({name: total / self.count for name, total in self.sums.items()}, step)
            self.sums, self.count = {}, 0
        return int(flag)

    def _hooks(self, state: Any) -> None:
        """Call the hooks that are due; a signal leaves them between two chunks, and they are called again on resume."""
        self.hooked = False
        values: dict[str, float] = {}
        try:
            for hook in self._due_hooks():
                values |= {name: float(value) for name, value in (hook(state, self.step) or {}).items()}
        except signals.Interrupted as stop:
            self._save("last", state)
            raise Interrupted(stop.signal, self.phase.name, self.step) from None
        self.hooked = True
        if values:
            self._log(values)
        value = values.get(self.phase.best, math.nan)
        if math.isfinite(value) and (self.best is None or value < self.best):
            self.best = value
            self._save("best", state)

    def _log(self, values: dict[str, float], step: int | None = None) -> None:
        if self.own:
            at = self.step if step is None else step
            self.own.scalars(at, values)
            named = {f"{self.phase.name}/{name}": value for name, value in values.items()}
            for logger in () if self.own.was_cut(at, values) else self.given:  # they got it before the interruption
                logger.scalars(at, named)

    # saving

    def _save(self, which: str, state: Any) -> None:
        if _has_nan(state):
            self._not_finite(self.step, "the state has NaN")
        meta = {
            "config": self.config,
            "sums": self.sums,
            "count": self.count,
            "best": self.best,
            "hooked": self.hooked,
            "data": _pack(self.data.get_state()) if hasattr(self.data, "get_state") else None,
            "versions": {name: importlib.metadata.version(name) for name in ("genkit-jax", "jax", "flax")},
        }
        checkpoint.save(
            place(self.folder, self.phase.name, which), self.step, state, meta, self.keep if which == "last" else 1
        )
        if which == "last":
            self.saved_at = time.monotonic()

    def _not_finite(self, step: int, what: str) -> None:
        seed = ":".join(str(word) for word in jax.random.key_data(jax.random.fold_in(self.key, step - 1)).tolist())
        last = place(self.folder, self.phase.name)
        good = checkpoint.latest(last)
        kept = "there is no earlier checkpoint" if good is None else f"the last good checkpoint is {last / str(good)}"
        raise NonFiniteLoss(
            f"training {self.phase.name!r}: {what} at step {step} (batch seed {seed}); {kept}; "
            f"try a smaller learning rate, or clip gradients"
        )


def _has_nan(state: Any) -> bool:
    """Whether a number of the state is NaN, in any process; looked at on the host, where a checkpoint brings it."""
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    shards = (shard.data for x in floats for shard in x.addressable_shards if shard.replica_id == 0)
    return bool(agree(any(np.isnan(np.asarray(data)).any() for data in shards)))


def _pack(state: Any) -> Any:
    """The state of a data iterator as JSON: grain gives a dict or bytes."""
    return {"base64": base64.b64encode(state).decode()} if isinstance(state, bytes) else {"json": state}


def _unpack(packed: dict[str, Any]) -> Any:
    return base64.b64decode(packed["base64"]) if "base64" in packed else packed["json"]

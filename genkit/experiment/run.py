"""A run: one configuration, one seed, one folder, and its stages."""

from __future__ import annotations

import contextlib
import fnmatch
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from genkit import signals
from genkit.errors import GenkitError
from genkit.experiment import environment, page, report
from genkit.experiment.config import FORMAT, flat, format_of, write_yaml
from genkit.experiment.figures import Figure, Figures
from genkit.experiment.folder import Status
from genkit.experiment.slots import main_model, names_own_code
from genkit.experiment.table import Best, Link, best_cells, cell, filled, luck, printed
from genkit.files import read_arrays, write, write_arrays, write_json
from genkit.notebook import card
from genkit.plugin import registry
from genkit.terminal import console

T = TypeVar("T")
STAGES = ("prepare", "train", "sample", "evaluate", "report")


class Run:
    """A run folder with the configuration that made it; what stages and users work with.

    Attributes: `config` (the experiment), `folder`, `seed`, `name` (the experiment's registered name).
    """

    def __init__(
        self,
        config: Any,
        folder: Path,
        seed: int = 0,
        preset: str = "default",
        may_train: bool = False,
        trust: bool = False,
    ):
        """Wrap a folder; nothing is read or written yet. Without `may_train`, what is not trained is refused."""
        self.config, self.folder, self.seed, self.preset = config, Path(folder), seed, preset
        self.may_train, self.trust = may_train, trust
        self.root, self.salt = self, ""
        self.name = registry().name_of("experiments", type(config))
        self.console = console(quiet=True)
        self.progress = False
        self.loggers: tuple[Any, ...] = ()
        self.command: tuple[str, ...] = ()
        self.save_every: float = 60.0
        self.keep: int = 2
        self.shard: bool = False
        self._kept: dict[str, Any] = {}

    def __repr__(self) -> str:
        shown = [f"{name} {cell(value)}" for name, value in list(self.results.items())[:3]]
        return f"Run({', '.join([self.name, f'seed {self.seed}', self.state, str(self.folder), *shown])})"

    def _repr_html_(self) -> str:
        about = {"state": self.state, "seed": self.seed, "preset": self.preset, "folder": self.folder}
        return card(self.name, about | report.first_results(self.folder))

    # what stages use

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """The value of ``make()``, made at the first call in this process and kept."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def key(self, name: str) -> Any:
        """The random key of this run for a purpose."""
        from genkit.parallel import named_key

        return named_key(self.seed, self.salt + name)

    def fit(self, phase: Any) -> Any:
        """Train a phase (see `genkit.train.fit`), or restore it if it is finished; returns its final state.

        With `shard`, what is large in its state is split over the devices while it trains; without a rule of its own.
        """
        from genkit import memory
        from genkit.parallel import fsdp, make_mesh, replicate
        from genkit.train import finished, fit

        memory.release()  # preparations may have freed much
        split = self.shard and phase.shard is None
        phase = replace(phase, shard=fsdp(make_mesh())) if split else phase
        if not self.may_train and not finished(phase, self.folder):
            raise GenkitError(f"{self.folder} has not trained {phase.name!r} to its end; {self._goes_on()}")
        end = fit(
            phase,
            folder=self.folder,
            key=self.key(phase.name),
            config=flat(self.config),
            loggers=self.loggers,
            save_every=self.save_every,
            keep=self.keep,
            progress=self.progress,
            log=self._log,
        )
        if not split:
            return end
        moments = getattr(end, "opt_state", None)  # stay split: they are large, and no model has them
        whole = replicate(end if moments is None else replace(end, opt_state=None), make_mesh())
        return whole if moments is None else replace(whole, opt_state=moments)

    def part(self, name: str, config: Any = None, salt: str = "") -> Run:
        """A run in a folder within this one: its console, seed and permission to train; `salt` changes its keys."""
        part = Run(config or self.config, self.folder / name, self.seed, self.preset, self.may_train, self.trust)
        part.console, part.progress, part.loggers = self.console, self.progress, self.loggers
        part.keep, part.save_every, part.shard = self.keep, self.save_every, self.shard
        part.root, part.salt = self.root, self.salt + salt
        return part

    def trained(self, slot: str, data: Callable[[], Any] | None = None) -> Any:
        """The trained model of a slot: of this run's folder, restored, or trained on ``data()`` (once a process).

        The main model is kept in ``model/``, another in ``models/<slot>/``. Without `data` it must be there.
        """
        recipe = getattr(self.config, slot)
        if slot == main_model(type(self.config)):
            return self.obtain("", recipe, data)
        return self.obtain(slot, recipe, data, self.part(f"parts/{slot}", salt=f"{slot}: "))

    def obtain(self, name: str, recipe: Any, data: Callable[[], Any] | None = None, part: Run | None = None) -> Any:
        """The trained model of any recipe, as of a variant of a slot's: kept in ``models/<name>/``, see `trained`.

        Its phases need names of their own, or a `part` of this run to train in. Without a name it is the main model.
        """
        folder = self.folder / "models" / name if name else self.folder / "model"
        return self.once(f"trained {name}", lambda: self._trained(recipe, folder, part or self, data))

    def _trained(self, recipe: Any, folder: Path, part: Run, data: Callable[[], Any] | None) -> Any:
        from genkit import model
        from genkit.parallel import broadcast_int

        if broadcast_int(int(model.has_model(folder))):
            # what the user names to be trained may be restored too; a source from elsewhere may not
            return model.load(folder, self.trust or (self.may_train and names_own_code(self.config)))
        if data is None:
            raise GenkitError(f"{self.folder} has no trained model; {self._goes_on()}")
        found = data()
        trained = recipe.obtain(part, found, self.trust)
        about = {
            **{"experiment": self.name, "preset": self.preset, "seed": self.seed, "versions": environment.versions()},
            "data": model.digest(found),
            "start": None if recipe.restore is None else model.read(recipe.restore, self.trust).fingerprint,
        }
        return model.save(trained, folder, recipe, **about)

    @property
    def state(self) -> str:
        """new, running, done, failed or interrupted."""
        return Status(self.folder).content["state"]

    @property
    def done(self) -> list[str]:
        """Finished stages."""
        return Status(self.folder).done

    def require(self, stage: str) -> None:
        """Refuse a run whose stage is not finished."""
        status = Status(self.folder)
        if stage not in status.done:
            state = status.content["state"]
            raise GenkitError(f"{self.folder} has not finished {stage!r} (it is {state}); {self._goes_on()}")

    def _goes_on(self) -> str:
        """What to do where something is not trained."""
        root = self.root.folder
        file = root / "config.yaml"
        again = f"`genkit run {file} --out NEW` trains it again"
        if format_of(file) != FORMAT:
            return f"it was made by genkit 0.1.0, without a folder of its model; {again}"
        if "train" in Status(root).done:  # what it trained is lost
            return again
        return f"`genkit run {file} --out {root} --resume` goes on"

    def each(self, name: str, items: Sequence[T]) -> Iterator[T]:
        """Items one after the other, with a display of how many are done and of the time left, as in training."""
        from genkit.parallel import is_alone
        from genkit.train import Show

        with Show(name, len(items), on=self.progress, log=self._log) as show:
            for done, item in enumerate(items, 1):
                if is_alone():  # one of several hosts must not stop alone
                    signals.check()
                yield item
                if done == 1:
                    show.restart(1)  # it compiled
                else:
                    show.update(done, None)

    def say(self, text: str) -> None:
        """Tell the user, and log.txt."""
        self.console.print(text, soft_wrap=True)
        self._log(text)

    def _log(self, text: str) -> None:
        """Tell log.txt alone, which holds what a terminal shows."""
        if _is_main():
            with contextlib.suppress(OSError), (self.folder / "log.txt").open("a") as log:
                log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def figure(self, name: str, figure: Any, caption: str) -> None:
        """Save a matplotlib figure as ``figures/<name>.png`` and put it into the report."""
        if _is_main():
            self._record(report.add_figure(self.folder, name, figure, caption))

    def table(
        self,
        name: str,
        header: Sequence[str],
        rows: Sequence[Sequence[Any]],
        caption: str,
        best: Best | None = None,
        aside: Collection[str] = (),
        floor: Collection[str] = (),
    ) -> None:
        """Show a table in the terminal and put it into the report. Numbers get four digits, an `Estimate` its error.

        A `Link` leads to a file of the run folder. Rows and columns without any value are left out, and named.

        `best` says of which titles low or high is good, and these numbers are marked (see `genkit.experiment.table`);
        `aside` names rows and columns that are references, `floor` those that no model can beat: what does is luck.
        """
        header, rows, empty = filled(header, rows)
        cells = [[cell(value) for value in row] for row in rows]
        marked = best_cells(header, rows, best or {}, [*aside, *floor])
        for more in filter(None, (luck(header, rows, best or {}, floor, aside), empty)):
            caption = f"{caption.removesuffix('.')}. {more}"
        for shown in printed(header, cells, caption, self.console.width, marked):
            self.console.print(shown)
            if _is_main():
                with contextlib.suppress(OSError), (self.folder / "log.txt").open("a") as log:
                    console(file=log, width=self.console.width, force_jupyter=False).print(shown)
        if _is_main():
            links = [
                (i, j, one.file) for i, row in enumerate(rows) for j, one in enumerate(row) if isinstance(one, Link)
            ]
            report.add_table(self.folder, name, header, cells, caption, marked, links)

    def keep_items(self, values: Mapping[str, Any], items: Any) -> None:
        """Keep scores of single items, name -> (n,), in the order of the data; `items` (n,) says which they are.

        `genkit compare` tests the differences of runs on the same items.
        """
        if _is_main():
            write_arrays(self.folder / "items.npz", {"items": items, **values})

    # what users of a finished run use

    @property
    def items(self) -> dict[str, Any]:
        """Scores of single items, and "items", which they are; empty where none were kept."""
        file = self.folder / "items.npz"
        return read_arrays(file) if file.exists() else {}

    @property
    def results(self) -> dict[str, float | None]:
        """The results of the run, flat name -> number; None where a figure has no value."""
        return report.results(self.folder)

    @property
    def figures(self) -> Figures:
        """The figures of the run, name -> `Figure`, a PNG file that a notebook shows."""
        captions = {one["name"]: one["caption"] for one in report.items(self.folder) if one["kind"] == "figure"}
        files = sorted((self.folder / "figures").glob("*.png"))
        return Figures({file.stem: Figure(file, captions.get(file.stem, "")) for file in files})

    @property
    def denoiser(self) -> Any:
        """The trained denoiser, a callable (x, t, cond) -> E[x0 | x_t]."""
        return self.once("denoiser", lambda: self.config.denoiser(self))

    @property
    def model(self) -> Any:
        """The trained model."""
        slot = main_model(type(self.config))
        if slot is None:
            raise GenkitError(f"{self.name} has no model of its own")
        return self.trained(slot)

    def sample(self, key: Any, n: int) -> Any:
        """Draw n samples from the model of this run."""
        return self.config.draw(self, key, n)

    # the work itself

    def work(self, stages: Sequence[str] = STAGES, again: bool = False, config: Any = None) -> None:
        """Run the stages that are not finished yet (with `again`, all of the given ones, after finished ones).

        With `config` they are of this configuration, which is the folder's from then on.
        """
        if again and stages[0] != STAGES[0]:
            self.require(STAGES[STAGES.index(stages[0]) - 1])
        self.config = self.config if config is None else config
        with signals.postponed():
            self._work(stages, again)
        if config is not None and _is_main():
            write(self.folder / "config.yaml", write_yaml(config, self.preset, self.seed))

    def _work(self, stages: Sequence[str], again: bool) -> None:
        from genkit.parallel import agree

        status = Status(self.folder)
        before = status.content["state"], status.content.get("message")
        if _is_main():
            status.take()
            status.set("running")
        try:
            for stage in stages:
                if stage in status.done and not again:
                    continue
                signals.check(agree(signals.got()))
                start = time.perf_counter()
                getattr(self, f"_{stage}")()
                if _is_main() and stage not in status.done:
                    status.finish(stage, time.perf_counter() - start)
            state, message = "done", None
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt) or hasattr(error, "signal")
            state, message = "interrupted" if interrupted else "failed", f"{type(error).__name__}: {error}"
            if _is_main():
                self._log(f"{state}: {message}")
                if state == "failed" and not isinstance(error, GenkitError):
                    self._log(traceback.format_exc())
            if again:  # what was done once is not undone by a look at it
                state, message = before
            raise
        finally:
            if _is_main():
                with contextlib.suppress(GenkitError):
                    status.set(state, message)
                    environment.write(self.folder, self.command)
                status.release()

    def _prepare(self) -> None:
        self.config.prepare(self)

    def _train(self) -> None:
        self.config.train(self)

    def _sample(self) -> None:
        self.config.sample(self)

    def _evaluate(self) -> None:
        found = self.config.evaluate(self)
        first = sorted(found, key=lambda name: not fnmatch.fnmatch(name, self.config.headline))
        results = {name: _number(found[name]) for name in first}
        if _is_main():
            write_json(self.folder / "results.json", results)

    def _report(self) -> None:
        if _is_main():
            report.clear(self.folder)
            report.add_training(self.folder)
        self.config.report(self)
        if _is_main():
            found, kinds = report.first_results(self.folder), [one["kind"] for one in report.items(self.folder)]
            if found and "table" not in kinds:
                self.table("results", ["", "result"], list(found.items()), "Results")
            environment.write(self.folder, self.command)
            self._record(page.build(self.folder, self.name, type(self.config).__doc__ or ""))

    def _record(self, file: Path) -> None:
        for logger in self.loggers:
            logger.artifact(file)


def _number(value: Any) -> float | None:
    """A result as JSON can keep it."""
    number = None if value is None else float(value)
    return number if number is not None and abs(number) < float("inf") else None


def _is_main() -> bool:
    from genkit.parallel import is_main

    return is_main()

"""`inverse.pgm`: log Z of graphical models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import jax
import numpy as np

from genkit.chain import Model, State
from genkit.errors import UsageError
from genkit.experiment import Estimate, Experiment, Run, labels
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Graph, check_preset
from genkit.parallel import all_devices, in_chunks
from genkit.smc import ORDERS, PolyaUrn, Resample, ess, smc, variable_order
from genkit.terminal import plural
from genkit_inverse.graphs import Ising

AT_ONCE = 2**24  # values of variables that are worked on at a time


@dataclass(frozen=True)
class PGM(Experiment):
    """Estimate log Z of a graphical model by SMC, variable after variable.

    Plain SMC (none) is compared with SMC that looks ahead by loopy belief propagation (lbp), expectation propagation
    (ep) or Laplace's approximation (Lindsten, Helske, Vihola 2018), and all with what these approximations say of log Z
    themselves. The exact value stands beside them where it can be computed.
    """

    headline = "error/*"

    model: Graph = field(default_factory=Ising)
    """The graphical model."""
    twists: tuple[str, ...] = ()
    """What is compared: of none, lbp, ep, laplace; all that the model has if not given."""
    particles: tuple[int, ...] = (64, 256, 1024)
    """Particles of a run."""
    runs: int = 100
    """Runs of each."""
    order: str = "given"
    """Order of the variables: of given, breadth_first, least_degree, random, random_neighbour."""
    damping: float = 0.5
    """What belief propagation keeps of its messages in a step, in [0, 1)."""
    threshold: float = 1.0
    """Resample below this fraction of the effective sample size; 1 always."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default, and paper (a torus of 16 x 16 spins in random fields, 50 runs)."""
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"model": Ising(size=4), "particles": (4, 16), "runs": 20},
            "default": {},
            "paper": {"model": Ising(coupling=1 / 2.269185, periodic=True), "runs": 50},
        }
        check_preset(name, presets)
        return cls(**presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        if self.runs < 2 or not self.particles or min(self.particles) < 1:
            raise UsageError(f"runs={self.runs}, particles={self.particles}; expected at least 2 runs, 1 particle")
        if self.order not in ORDERS:
            raise UsageError(f"order={self.order!r}; expected one of {', '.join(ORDERS)}")
        if not 0 <= self.damping < 1 or not 0 <= self.threshold <= 1:
            raise UsageError(f"damping={self.damping}, threshold={self.threshold}; expected [0, 1) and [0, 1]")

    @property
    def name(self) -> str:
        """The model's name in the results."""
        return labels("graphs", (self.model,))[0]

    def loaded(self, run: Run) -> Any:
        """The graphical model."""
        return run.once("graph", self.model.load)

    def compared(self, run: Run) -> tuple[str, ...]:
        """The twists, those that the model does not have refused."""
        known = ("none", *self.loaded(run).approximations)
        for name in self.twists:
            if name not in known:
                raise UsageError(f"twist {name!r} is not for {self.name}, which has {', '.join(known)}")
        return self.twists or known

    def prepare(self, run: Run) -> None:
        """Load the model, so that what is wrong with it stops the run here."""
        self.compared(run)

    def sample(self, run: Run) -> None:
        """log Z of every run and the effective sample size at each variable; what is known without sampling."""
        graph, twists = self.loaded(run), self.compared(run)
        order = variable_order(self.order, graph.neighbours(), run.seed)
        owner = self.model if hasattr(self.model, "exact") else graph
        exact = _tried(run, "the exact value", owner.exact)  # type: ignore[attr-defined]
        kept: dict[str, Any] = {"exact": np.nan if exact is None else exact}
        chains = {"none": graph.model(None, order)}
        for name in twists:
            if name != "none":
                options = {"damping": self.damping} if name == "lbp" else {}
                approximation = _tried(run, name, partial(graph.approximations[name], graph, **options))
                if approximation is None:
                    kept |= {f"deterministic/{name}": np.nan, f"converged/{name}": False}
                    continue
                kept[f"deterministic/{name}"] = np.asarray(approximation.log_z, np.float64)
                kept[f"converged/{name}"] = bool(approximation.converged)
                if not kept[f"converged/{name}"]:
                    run.say(f"{name} did not converge; log Z stays unbiased, with more spread")
                if isinstance(graph, PolyaUrn) and graph.clipped(approximation, order):
                    run.say(f"{name} has sites so negative that parameters of its look ahead were clipped")
                chains[name] = graph.model(approximation, order)
        jobs = [(name, n) for name in twists if name in chains for n in self.particles]
        if not jobs:
            raise UsageError(f"none of {', '.join(twists)} is left; see above why, or add none")
        for name, n in run.each("log Z", jobs):
            key = jax.random.fold_in(run.key(name), n)
            chunk = min(self.runs, max(1, AT_ONCE // (n * len(order))))
            with all_devices():
                ends, size = estimates(key, chains[name], Resample(threshold=self.threshold), n, self.runs, chunk)
            for trouble in ends.troubles():
                run.say(f"{name}, {n} particles: {trouble}")
            kept[f"log_z/{name}/{n}"] = np.asarray(ends.log_z, np.float64)
            kept[f"ess/{name}/{n}"] = np.asarray(size)
        write_arrays(run.folder / "estimates.npz", kept)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """<...>/<model>/<twist>/<particles>, in nats:

        sd of log Z over the runs; error: log of the mean of Z less the exact value, and se: the standard error of the
        former; log_z: the former itself; collapsed: runs that lost all particles, with Z = 0. For each twist
        deterministic_error: what the approximation says itself (Bethe's log Z of lbp) less the exact value,
        deterministic: what it says, converged: 1 if it came to rest. exact/<model>: the exact value.
        """
        found, place = read_arrays(run.folder / "estimates.npz"), self.name
        exact = _number(found["exact"])
        results: dict[str, float | None] = {f"exact/{place}": exact}
        for key, value in found.items():
            kind, *rest = key.split("/")
            where = "/".join([place, *rest])
            if kind == "log_z":
                scores = summary(value)
                results |= {f"{score}/{where}": number for score, number in scores.items()}
                results[f"error/{where}"] = less(scores["log_z"], exact)
            elif kind == "deterministic":
                results |= {f"deterministic/{where}": _number(value)}
                results[f"deterministic_error/{where}"] = less(_number(value), exact)
            elif kind == "converged":
                results[f"converged/{where}"] = float(value)
        return results

    def report(self, run: Run) -> None:
        """Tables of the estimates and of the approximations; estimates around the truth; effective sample sizes."""
        from genkit_inverse.figures import sizes, violins

        found, results, place = read_arrays(run.folder / "estimates.npz"), run.results, self.name
        keys = [key.removeprefix("log_z/") for key in found if key.startswith("log_z/")]
        rows = []
        for key in keys:
            twist, n = key.split("/")
            sd, plain = (results.get(f"sd/{place}/{name}/{n}") for name in (twist, "none"))
            ratio = sd / plain if sd is not None and plain else None
            log_z, error, se, lost = (results.get(f"{s}/{place}/{key}") for s in ("log_z", "error", "se", "collapsed"))
            rows.append([twist, int(n), sd, ratio, Estimate(log_z, se), error, lost])
        exact = results[f"exact/{place}"]
        known = "not known" if exact is None else f"{exact:.4f}"
        head = ["twist", "particles", "s.d. [nats]", "of none's", "log Z [nats]", "error [nats]", "collapsed"]
        caption = (
            f"{place}: exact log Z {known}; {plural(self.runs, 'run')} of each, ± is the standard error of their mean"
        )
        run.table("results", head, rows, caption, {"s.d. [nats]": "low"})
        names = [name for name in self.compared(run) if name != "none"]
        scores = ("deterministic", "deterministic_error", "converged")
        if names:
            table = [[name, *(results.get(f"{score}/{place}/{name}") for score in scores)] for name in names]
            head = ["approximation", "log Z [nats]", "error [nats]", "converged"]
            run.table("approximations", head, table, "Without sampling")
        estimates = {key: found[f"log_z/{key}"] for key in keys}
        lines = {name: _number(found[f"deterministic/{name}"]) for name in names}
        caption = "log Z of the runs" + (
            "; the line is the exact value" if exact is not None else "; the exact value is not known"
        )
        run.figure("log_z", violins(estimates, exact, lines), f"{caption}, dashes are the approximations themselves.")
        traces = {key: found[f"ess/{key}"] for key in keys}
        caption = "Effective sample size by each variable, as a fraction of the particles, mean over the runs."
        run.figure("ess", sizes(traces), caption)


@partial(jax.jit, static_argnames=("n", "runs", "chunk"))
def estimates(key: Any, model: Model, resample: Resample, n: int, runs: int, chunk: int) -> tuple[State, Any]:
    """Last states of independent runs (runs, ...), without particles; the mean of ESS at each variable (V,)."""

    def one(key: Any) -> tuple[State, Any]:
        result = smc(key, model, n, resample, _size)
        return replace(result.state, p=()), result.kept[0]

    ends, size = in_chunks(one, jax.random.split(key, runs), chunk)
    return ends, size.mean(0)


def _tried(run: Run, name: str, make: Callable[[], Any]) -> Any:
    """What is made; None where that is refused, which is said."""
    try:
        return make()
    except UsageError as error:
        run.say(f"{name} is left out: {error}")
        return None


def summary(log_z: np.ndarray) -> dict[str, float | None]:
    """sd of log Z (runs,) over those that did not collapse; log of the mean of Z, and its standard error."""
    good = np.isfinite(log_z)
    if not good.any():
        return {"sd": None, "se": None, "log_z": None, "collapsed": float((~good).sum())}
    z = np.exp(np.where(good, log_z, -np.inf) - log_z[good].max())
    se = z.std(ddof=1) / z.mean() / len(z) ** 0.5
    return {
        "sd": float(log_z[good].std(ddof=1)) if good.sum() > 1 else None,
        "se": float(se),
        "log_z": float(np.log(z.mean()) + log_z[good].max()),
        "collapsed": float((~good).sum()),
    }


def less(value: float | None, exact: float | None) -> float | None:
    """The difference, where both are known."""
    return None if value is None or exact is None else value - exact


def _size(state: State) -> Any:
    """By the last variable: of the weights, or where they were resampled since, as the kernel kept it."""
    return ess(state.log_w) if state.shared is None else state.shared


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None

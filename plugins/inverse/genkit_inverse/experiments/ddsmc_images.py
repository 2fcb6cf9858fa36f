"""`inverse.ddsmc_images`: posterior samplers on images, by restoration and by calibration."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, process_of, to_range
from genkit.errors import DataError, GenkitError, UsageError
from genkit.experiment import Run, labels
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Method, Model, Noise, Operator, check_preset
from genkit.steer import DAPS, DDRM, DDSMC, DPS, MMPS, MCGDiff, Normal, Observation, PiGDM, observe, posterior, weighs
from genkit.terminal import plural
from genkit_inverse import scores
from genkit_inverse.datasets import MNIST
from genkit_inverse.experiments.study import InverseStudy, table
from genkit_inverse.images import Images
from genkit_inverse.models import ImageDiffusion, ImagePrior
from genkit_inverse.operators import (
    BoxInpainting,
    CompressedSensing,
    GaussianBlur,
    RandomInpainting,
    SuperResolution,
)

STD = 0.1  # of the noise, where nothing is said
CELLS = 2**18  # of particles that are worked on at a time
PICTURED = 2  # images whose samples are kept and shown


def _operators() -> tuple[Operator, ...]:
    return BoxInpainting(), SuperResolution(factor=2), GaussianBlur(std=1.0)


def _methods() -> tuple[Method, ...]:
    """On images DDSMC's ancestral end, eta = 1, keeps the spread of the prior that few decoupled steps lose."""
    levels: dict[str, Any] = {"steps": 40, "sigma_max": 10.0}
    ours: dict[str, Any] = {**levels, "eta": 1.0, "inner": 2}
    return (DDSMC(**ours), DDSMC(recon="ode", **ours), MCGDiff(**levels), PiGDM(**levels), DPS(**levels),
            DAPS(**{**levels, "steps": 20}), DDRM(**levels))  # fmt: skip


def _equal() -> tuple[Method, ...]:
    """160 network calls a sample of each; of DDSMC and MCGDiff on 20 levels by 8 particles, of DAPS on 34 by flows."""
    top: dict[str, Any] = {"sigma_max": 10.0}
    few, many = {**top, "steps": 20}, {**top, "steps": 160}
    return (DDSMC(eta=1.0, **few), MCGDiff(**few), DAPS(**top, steps=34), DDRM(**many), DPS(**many), PiGDM(**many),
            MMPS(**many))  # fmt: skip


def _published() -> tuple[Method, ...]:
    """DDSMC on 200 levels, as tuned by InverseBench for its inverse scattering; the others as above."""
    return DDSMC(steps=200, sigma_min=0.01, sigma_max=100.0, eta=0.5, rho_range=(0.01, 47.0)), *_methods()[2:]


@dataclass(frozen=True)
class DDSMCImages(InverseStudy):
    """Compare posterior samplers on images.

    Test images are measured by linear operators with noise and restored under a diffusion prior by DDSMC
    (arXiv 2502.06379) and others, all with the same measurements. The table has the PSNR of the mean of the samples,
    and whether the samples are a posterior: the rank of the truth among them along a random direction must be uniform,
    and the residual |y - A x| / std distributed as chi. `--prior` takes the run folder of a diffusion model of the same
    images; without it the prior is trained first, as by `inverse.digits_prior`, but for data whose law is known.
    """

    headline = "psnr/*/ddsmc*"

    prior: Model[Images, ImageDiffusion] = field(default_factory=ImagePrior)
    """The diffusion model of the images: trained here, or the folder of what was trained."""
    operators: tuple[Operator, ...] = field(default_factory=_operators)
    """What is measured."""
    std: float | None = None
    """Standard deviation of the normal noise of a measurement, in the units of the images; 0 for none, .1 if neither
    this nor `noise` is given."""
    noise: Noise | None = None
    """Another law of the noise, such as poisson."""
    methods: tuple[Method, ...] = field(default_factory=_methods)
    """What restores."""
    particles: int = 8
    """Particles in a group, of methods that weigh them."""
    draws: int = 9
    """Samples of each posterior, each from a group of particles of its own."""
    images: int = 12
    """Images that are measured and restored."""
    split: Literal["test", "val"] = "test"
    """Where they are from: choose options on val."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), paper (EDM's network for CIFAR-10, on MNIST).

        The preset equal compares seven methods on five operators at equal network calls.
        """
        tiny: dict[str, Any] = {"steps": 5, "sigma_max": 10.0}
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"methods": (DDSMC(**tiny), PiGDM(**tiny)), "operators": (BoxInpainting(),),
                     "particles": 4, "draws": 3, "images": 4},
            "default": {},
            "equal": {"operators": (*_operators(), RandomInpainting(), CompressedSensing()), "methods": _equal(),
                      "draws": 4, "images": 24},
            "paper": {"data": MNIST(), "operators": (BoxInpainting(), SuperResolution(), GaussianBlur()),
                      "methods": _published(), "particles": 16, "images": 100},
        }  # fmt: skip
        check_preset(name, presets)
        return cls(prior=ImagePrior.preset(name), **presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("particles", "draws", "images"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.std is not None and self.std < 0:
            raise UsageError(f"std={self.std} of the noise must not be negative")
        if self.std is not None and self.noise is not None:
            raise UsageError(f"std={self.std} and noise are two laws of the noise; give one of them")

    @property
    def law(self) -> Any:
        """Of the noise."""
        return self.noise or Normal(STD if self.std is None else self.std)

    def named(self) -> tuple[dict[str, Operator], dict[str, Method]]:
        """Operators and methods by the names of their results."""
        pairs = {"operators": self.operators, "methods": self.methods}
        both = [dict(zip(labels(kind, parts), parts, strict=True)) for kind, parts in pairs.items()]
        return both[0], both[1]

    def prepare(self, run: Run) -> None:
        """Load the data, build the operators and what scores; see that all have names, and take what is measured."""
        self.loaded(run)
        tables = [method.table(getattr(self.prior, "process", EDM())) for method in self.named()[1].values()]
        for name, operator in self.built(run).items():
            observation = observe(operator, np.zeros(operator.size), self.law)
            try:
                for check in (table.check for table in tables if hasattr(table, "check")):
                    check(observation)
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from None
        self._distance(run)

    def built(self, run: Run) -> dict[str, Any]:
        """The operators by the names of their results, for images of the data."""
        shape = self.loaded(run).shape
        return run.once("operators", lambda: {name: task.build(shape) for name, task in self.named()[0].items()})

    # the prior

    def train(self, run: Run) -> None:
        """Train the prior, where none is given or known."""
        self.denoiser(run)

    def denoiser(self, run: Run) -> Any:
        """The prior: restored, exact, or trained here."""
        return run.once("prior", lambda: self._prior(run))

    def _prior(self, run: Run) -> Any:
        data = self.loaded(run)
        if data.prior is not None and getattr(self.prior, "restore", None) is None:
            return data.prior
        denoiser = run.trained("prior", lambda: data).denoiser
        own = getattr(denoiser, "range", None)
        return denoiser if data.range in (None, own) or own is None else to_range(denoiser, *data.range)

    # restoration

    def measured(self, run: Run) -> tuple[np.ndarray, dict[str, list[Observation]]]:
        """The images (n, h, w, c), and the observations of each by the names of the operators."""
        data = self.loaded(run)
        truth = getattr(data, self.split)[: self.images]
        if len(truth) < self.images:
            raise UsageError(f"images={self.images}, but there are {len(truth)} {self.split} images")
        out = {}
        law = self.law
        for name, operator in self.built(run).items():
            y = operator(jnp.asarray(truth))
            keys = (jax.random.fold_in(run.key(f"noise of {name}"), i) for i in range(len(truth)))
            out[name] = [observe(operator, np.asarray(law.draw(key, a)), law) for a, key in zip(y, keys, strict=True)]
        return truth, out

    def sample(self, run: Run) -> None:
        """Restore every image with every method; scores of all and the samples of the first images are kept."""
        truth, observations = self.measured(run)
        tables, shown = {}, {"truth": truth[:PICTURED]}
        for operator, observed in observations.items():
            task = self.named()[0][operator]
            shown[f"{operator}/measurement"] = scores.seen(task, observed[:PICTURED])
            if (inverse := scores.pseudo_inverse(observed)) is not None:
                tables[f"{operator}/pinv"] = self._restored(run, inverse, truth)
            for name, method in self.named()[1].items():
                rows, x = self._restore(run, method, observed, f"{operator}: {name}")
                x = scores.nearest(task, x, truth)
                tables[f"{operator}/{name}"] = rows | self._scores(run, x, truth, observed)
                shown[f"{operator}/{name}"] = x[:PICTURED]
            if hasattr(self.denoiser(run), "posterior") and observed[0].diagonal and observed[0].std > 0:
                x, log_z = scores.exact(run.key("exact"), self.denoiser(run), observed, self.draws)
                tables[f"{operator}/exact"] = self._scores(run, x, truth, observed) | {"log_z": log_z}
        write_arrays(run.folder / "scores.npz", {f"{a}/{b}": v for a, row in tables.items() for b, v in row.items()})
        write_arrays(run.folder / "samples.npz", shown)

    def _scores(self, run: Run, x: np.ndarray, truth: np.ndarray, observed: list[Observation]) -> dict[str, Any]:
        found = scores.calibration(run.key("directions"), x, truth, observed, self.loaded(run).peak)
        return self._restored(run, x.mean(1), truth) | found

    def _restored(self, run: Run, image: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        return scores.restored(image, truth, self.loaded(run).peak, self._distance(run))

    def _distance(self, run: Run) -> Any:
        """LPIPS, or None where there is none; the run says why, and goes on without."""

        def made() -> Any:
            data = self.loaded(run)
            try:
                return scores.lpips(data.shape, data.bounds)
            except DataError as error:
                run.say(str(error))
                return None

        return run.once("lpips", made)

    def _restore(
        self, run: Run, method: Method, observed: list[Observation], what: str
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Numbers of each image, (n, ...), and samples (n, draws, h, w, c); NaN where the method failed."""
        denoiser = self.denoiser(run)
        table = method.table(process_of(denoiser))
        particles = self.particles if weighs(method, denoiser) else 1
        rows: list[dict[str, Any]] = []
        for i, observation in enumerate(run.each(what, observed)):
            begun = time.perf_counter()
            key = jax.random.fold_in(run.key("posterior"), i)
            chunk = min(self.draws, max(1, CELLS // (particles * prod(self.loaded(run).shape[:2]))))
            try:
                draws = posterior(key, table, denoiser, observation, self.draws, particles, chunk=chunk)
                for trouble in draws.troubles():
                    run.say(f"{what}, image {i}: {trouble}")
                numbers = {"x": np.where(draws.collapsed.reshape(-1, 1, 1, 1), np.nan, draws.x[:, 0])}
                if particles > 1:
                    numbers |= {
                        "log_z": draws.log_z, "log_z_var": draws.log_z_var, "ess": draws.ess, "eves": draws.eves,
                    }  # fmt: skip
                rows.append(jax.tree.map(np.asarray, numbers) | {"seconds": time.perf_counter() - begun})
            except GenkitError as error:
                run.say(f"{what}, image {i}: {error}")
                rows.append({})
        worked = next((row for row in rows if row), None)
        if worked is None:
            raise GenkitError(f"{what} failed on every image; leave the method out, or change its options")
        failed = {name: np.full_like(value, np.nan, dtype=float) for name, value in worked.items()}
        table = {name: np.stack([(row or failed)[name] for row in rows]) for name in worked}
        return table, table.pop("x")

    # results

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """By operator and method, <result>/<operator>/<method>, over the images.

        psnr is that of the mean of the samples, psnr_se its standard error, psnr_sample that of one sample, dB;
        gain is the psnr over that of the first method, and gain_se its standard error, smaller on the same images;
        after phase retrieval a sample is turned by half a turn, which measures the same, where that is nearer;
        ssim is the structural similarity of the mean, lpips the learned distance where the package is installed
        and images have 64 cells a side. Calibration: covered is the share of cells whose truth lies between the
        least and the largest sample, over that of a posterior; rank_p is the probability, for a posterior, of
        ranks at least as uneven; spread_skill is 1 for one; residual_q05, q50 and q95 are quantiles of |y - A
        x| over those of std chi, 1 for a posterior. Weighted particles: ess the mean over steps, eves the
        distinct first ancestors at the end, log_z a mean over images of the log of the mean Z of all groups,
        log_z_sd the standard deviation of log Z of one group, and log_z_sd_run that which a group estimates of
        itself: too small, at most about 1, once all particles descend from one. calls counts network calls of a
        sample, seconds is the median of an image. `pinv` is the pseudo-inverse, `exact` the posterior where it
        is known.
        """
        results: dict[str, float | None] = {}
        kept = read_arrays(run.folder / "scores.npz")
        for name in dict.fromkeys(full.rpartition("/")[0] for full in kept):
            own = {full.rpartition("/")[2]: kept[full] for full in kept if full.rpartition("/")[0] == name}
            results |= {f"{key}/{name}": value for key, value in scores.summary(own, self.draws).items()}
        process = process_of(self.denoiser(run))
        for name, method in self.named()[1].items():
            for operator in self.named()[0]:
                weighed = f"{operator}/{name}/ess" in kept
                gain = kept[f"{operator}/{name}/psnr"] - kept[f"{operator}/{next(iter(self.named()[1]))}/psnr"]
                results |= {f"{key}/{operator}/{name}": v for key, v in scores.mean_se("gain", gain).items()}
                results[f"calls/{operator}/{name}"] = method.calls(process) * (self.particles if weighed else 1)
        return results

    def report(self, run: Run) -> None:
        """Tables and pictures of each operator, rank histograms, residuals and effective sample sizes."""
        from genkit_inverse import figures

        kept, shown = read_arrays(run.folder / "scores.npz"), read_arrays(run.folder / "samples.npz")
        methods = list(self.named()[1])
        data = self.loaded(run)
        operators = list(self.named()[0])
        if len(methods) > 1:
            same = f"on the same {plural(self.images, 'image')}"
            caption = f"PSNR over that of {methods[0]} {same} [dB], and its standard error"
            columns: dict[str, Any] = {o: (f"gain/{o}/{{}}", f"gain_se/{o}/{{}}") for o in operators}
            table(run, "gains", caption, methods[1:], columns)
        known = [name for name in ("exact", *methods) if all(f"{o}/{name}/rank" in kept for o in operators)]
        for operator in operators:
            rows = [name for name in ("pinv", "exact") if f"{operator}/{name}/psnr" in kept] + methods
            caption = f"{operator}, noise {self.noise or self.law.std}, {self.images} {self.split} images"
            caption += f", {self.draws} samples of each"
            table(run, f"restoration_{operator}", caption, rows, _of(operator, RESTORATION), "", {"PSNR [dB]": "high"})
            caption = f"{operator}: cost, and what the particles tell"
            table(run, f"particles_{operator}", caption, known, _of(operator, COST), "")
            run.figure(
                f"pictures_{operator}",
                figures.restorations(
                    shown["truth"], shown[f"{operator}/measurement"],
                    {name: shown[f"{operator}/{name}"] for name in methods}, data.range,
                ),
                f"{operator}: the truth, the measurement (its pseudo-inverse where it is no image of this size), three "
                "samples, their mean, and the standard deviation of each cell, on one scale for all methods.",
            )  # fmt: skip
        run.figure(
            "ranks",
            figures.histograms({o: {m: kept[f"{o}/{m}/rank"] for m in known} for o in operators}, self.draws),
            "Rank of the truth among the samples along a random direction, one an image; the band holds 95 % of the "
            "bars of a posterior. Piled at the edges: too narrow; in the middle: too wide.",
        )
        run.figure(
            "residuals",
            figures.lines(
                LEVELS,
                {
                    o: {m: scores.over_chi(kept[f"{o}/{m}/residual"], kept[f"{o}/{m}/dof"], LEVELS) for m in known}
                    for o in operators
                },
            ),
            "Residuals |y - A x| / std of the samples over the same quantile of chi, by quantile; 1 for a posterior. "
            "Below: the noise of the measurement is fitted; above: the measurement is missed.",
        )
        if self.draws > 1:
            nominal = 1 - 2 * np.arange(1, self.draws // 2 + 1) / (self.draws + 1)
            run.figure(
                "pixels",
                figures.lines(
                    nominal, {o: {m: kept[f"{o}/{m}/covered"] for m in known} for o in operators},
                    "share of the interval", "cells inside over that share",
                ),
                "Cells whose truth lies in the central interval of the samples, over the share of a posterior, by that "
                "share; below 1 the samples are too narrow, above it too wide.",
            )  # fmt: skip
        weighed = [m for m in methods if f"{operators[0]}/{m}/ess" in kept]
        if weighed:
            traces = {m: np.nanmean(kept[f"{operators[0]}/{m}/ess"], (0, 1)) for m in weighed}
            run.figure(
                "ess",
                figures.traces(traces, self.particles),
                f"{operators[0]}: effective sample size after every step, mean over images and groups.",
            )

    def plan(self) -> dict[str, str]:
        """Sizes, and network calls of a sample."""
        model: Any = self.prior
        own = model.plan(self.shape()) if hasattr(model, "plan") and model.restore is None else {}
        process = getattr(model, "process", EDM())
        return own | {name: f"{m.calls(process)} network calls a particle" for name, m in self.named()[1].items()}


LEVELS = np.linspace(0.05, 0.95, 19)
RESTORATION = {"PSNR [dB]": ("psnr", "psnr_se"), "one sample [dB]": "psnr_sample", "SSIM": ("ssim", "ssim_se"),
               "cells covered": "covered", "spread/skill": "spread_skill",
               "rank p": "rank_p", "residual 5 %": "residual_q05", "50 %": "residual_q50",
               "95 %": "residual_q95"}  # fmt: skip
COST = {"ESS": "ess", "ancestors": "eves", "log Z [nats]": "log_z", "s.d.": "log_z_sd",
        "s.d. by the run": "log_z_sd_run", "calls": "calls", "seconds [s]": "seconds"}  # fmt: skip


def _of(operator: str, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns of one operator."""
    end = f"/{operator}/{{}}"
    return {t: key + end if isinstance(key, str) else tuple(one + end for one in key) for t, key in columns.items()}

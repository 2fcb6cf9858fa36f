"""A tracer in constant wind, with the exact solution: the simplest limited area fed through its border."""

from dataclasses import dataclass

import numpy as np

from genkit.errors import UsageError
from genkit_weather.data import Layout, Series, WeatherData, check

POINTS = 64  # of the periodic domain, each way
AREA = slice(16, 49)  # rows and columns of the limited area
FRAME = 4
KM = 10.0  # grid spacing
EPOCH = np.datetime64("2000-01-01T00", "s")


@dataclass(frozen=True)
class Waves:
    """A sum of Fourier modes on the periodic domain, moved by a wind and smoothed by diffusion.

    q(r, t) = sum_m a_m exp(-kappa |k_m|^2 t) cos(k_m . (r - c t) + phi_m) solves
    dq/dt + u dq/dx + v dq/dy = kappa Laplace(q); lengths in cells, times in steps of one hour.
    """

    amplitude: np.ndarray  # (M,)
    number: np.ndarray  # (M, 2) whole waves around the domain in x and y
    phase: np.ndarray  # (M,)
    wind: np.ndarray  # (2,) c = (u, v)
    diffusion: float  # kappa

    @classmethod
    def draw(cls, rng: np.random.Generator, wind: np.ndarray, diffusion: float, waves: int) -> "Waves":
        """All modes up to `waves` around the domain, random phases, amplitudes about 1 / |k|, variance 1 at t = 0."""
        kx, ky = np.meshgrid(np.arange(waves + 1), np.arange(-waves, waves + 1))
        half = (kx > 0) | (ky > 0)  # k and -k are the same wave
        number = np.stack([kx[half], ky[half]], -1)
        number = number[np.hypot(*number.T) <= waves]
        amplitude = rng.standard_normal(len(number)) / np.hypot(*number.T)
        amplitude *= np.sqrt(2 / (amplitude**2).sum())
        return cls(amplitude, number, rng.uniform(0, 2 * np.pi, len(number)), wind, diffusion)

    def __call__(self, time: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """q at times (T,), rows (H,) and columns (W,) of the domain: (T, H, W)."""
        k = 2 * np.pi / POINTS * self.number
        t = np.asarray(time, float)[:, None]
        a = (
            self.amplitude
            * np.exp(-self.diffusion * (k**2).sum(-1) * t)
            * np.exp(1j * (self.phase - (k @ self.wind) * t))
        )
        x, y = (np.exp(1j * k[:, i, None] * place) for i, place in enumerate((columns, rows)))  # (M, W), (M, H)
        return np.einsum("tm,my,mx->tyx", a, y, x, optimize=True).real


@dataclass(frozen=True)
class SyntheticAdvection:
    """A tracer that constant wind carries through a window of 33 x 33 cells, frame 4, every hour; solved exactly.

    Each series is an independent sum of Fourier modes on a periodic domain of 64 x 64 cells of 10 km, with its own
    wind, which is the (constant) forcing: a constant is no state, as it has no tendency to predict.
    """

    wind: tuple[float, float] = (1.3, 0.6)
    """mean wind (u, v) in cells an hour"""
    wind_spread: float = 0.0
    """standard deviation of the wind's components from series to series; 0 is the same wind for all"""
    diffusion: float = 0.05
    """kappa in squared cells an hour"""
    waves: int = 6
    """shortest wave: how many fit into the domain"""
    train: int = 24
    """series for training"""
    val: int = 4
    """series for validation"""
    test: int = 4
    """series for testing"""
    length: int = 25
    """hours of a series"""
    seed: int = 0
    """seed of waves and winds"""

    @classmethod
    def preset(cls, name: str) -> "SyntheticAdvection":
        """The default size, or "tiny": 8, 2 and 2 series."""
        return cls(train=8, val=2, test=2) if name == "tiny" else cls()

    def layout(self) -> Layout:
        """Sizes, without the data."""
        size = AREA.stop - AREA.start
        return Layout((size, size), (FRAME, FRAME), 1, 2, 1, uniform=True, spacing=KM)

    def load(self) -> WeatherData:
        """Evaluate the exact solution (a second)."""
        counts = (self.train, self.val, self.test)
        if min(counts) < 1 or self.length < 3 or not 1 <= self.waves < POINTS // 2:
            raise UsageError(
                f"synthetic_advection: train, val, test {counts} must be at least 1, length {self.length} at least 3, "
                f"waves {self.waves} 1..{POINTS // 2 - 1}"
            )
        if self.diffusion < 0 or self.wind_spread < 0:
            raise UsageError(
                f"synthetic_advection: diffusion {self.diffusion} and wind_spread {self.wind_spread} are not negative"
            )
        rng = np.random.default_rng(self.seed)
        winds = np.array(self.wind) + self.wind_spread * rng.standard_normal((sum(counts), 2))
        waves = [Waves.draw(rng, wind, self.diffusion, self.waves) for wind in winds]
        series = [_series(one, self.length) for one in waves]
        first_test = waves[self.train + self.val]

        def oracle(starts, members, leads, seed=0):  # noqa: ANN001, ANN202 - as WeatherData.oracle
            when = np.add.outer(np.asarray(starts), np.asarray(leads))
            states = _seen(first_test, when.ravel())
            states = states.reshape(*when.shape, 1, *states.shape[1:])
            return np.repeat(states, members, 2)

        ends = np.cumsum(counts)
        size = AREA.stop - AREA.start
        static = np.ones((size, size, 1), np.float32)
        static[FRAME:-FRAME, FRAME:-FRAME] = 0
        return check(
            WeatherData(
                train=tuple(series[: ends[0]]),
                val=tuple(series[ends[0] : ends[1]]),
                test=tuple(series[ends[1] :]),
                static=static,
                frame=(FRAME, FRAME),
                names=("q",),
                units=("1",),
                long_names=("tracer",),
                forcing_names=("u", "v"),
                static_names=("frame",),
                step_hours=1.0,
                x=KM * np.arange(size),
                y=KM * np.arange(size),
                oracle=oracle,
                source="synthetic_advection",
            )
        )


def _series(waves: Waves, length: int) -> Series:
    hours = np.arange(length)
    forcing = np.broadcast_to(waves.wind, (length, 1, 1, 2)).astype(np.float32)
    return Series(_seen(waves, hours), forcing, EPOCH + hours * np.timedelta64(1, "h"))


def _seen(waves: Waves, hours: np.ndarray) -> np.ndarray:
    """(T, 33, 33, 1) float32."""
    place = np.arange(POINTS)[AREA]
    return waves(hours, place, place)[..., None].astype(np.float32)

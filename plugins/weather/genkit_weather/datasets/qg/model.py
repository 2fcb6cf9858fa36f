"""Two-layer quasi-geostrophic flow over orography with a surface temperature, doubly periodic, pseudo-spectral.

Phillips' two-layer model (Vallis, Atmospheric and Oceanic Fluid Dynamics, chapters 5 and 9) in units of the
deformation radius (600 km), 12.5 m/s and 13.33 h, about a mean flow +U above and -U below, with F = 1/2 of the
interface:

    q1 = lap psi1 + F (psi2 - psi1),  q2 = lap psi2 + F (psi1 - psi2),  u = -d_y psi,  v = d_x psi
    d_t q1 = -div((u1 + U, v1) q1) - (beta + 2 F U) v1
    d_t q2 = -div((u2 - U, v2)(q2 + h)) - (beta - 2 F U) v2 - r lap psi2
    d_t th = -div((u2 - U, v2) th) + 2 U v2 + (th_eq - th) / tau + kappa lap th

with th_eq = A_d land sin(day) - orography and U = U0 (1 + .2 cos(year)). Stochastic forcing of q keeps the
future uncertain. The state is spectral: (..., 3, M, K) coefficients of q1, q2, th, the modes that the 2/3 rule
keeps of numpy's rfft2 layout.
"""

from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

DT = 0.075  # Runge-Kutta step
SUBSTEPS = 6  # steps between outputs: .45 time units = 6 h
BAND = (4, 10)  # integer wavenumbers that the noise fills
PER_DAY, PER_YEAR = 4, 240  # outputs


@dataclass(frozen=True)
class Flow:
    """The model's parameters; `n` grid points a side of the square `length`."""

    n: int = 64
    length: float = 32.0
    coupling: float = 0.5  # F
    beta: float = 0.35
    wind: float = 0.5  # U0
    drag: float = 0.1  # r
    relaxation: float = 3.6  # tau
    diffusivity: float = 0.02  # kappa
    diurnal: float = 1.5  # A_d
    orography: float = 0.3  # height of h
    hyperviscosity: float = 5.0  # nu
    noise: float = 0.3  # A
    offset: float = 0.0  # of the grid points, in cells: where the orography is evaluated

    @cached_property
    def modes(self) -> tuple[np.ndarray, np.ndarray]:
        """Integer wavenumbers kept in y (M,) and x (K,): the 2/3 rule, free of aliasing in quadratic terms."""
        top = (self.n - 1) // 3
        return np.concatenate([np.arange(top + 1), np.arange(-top, 0)]), np.arange(top + 1)

    @cached_property
    def k(self) -> np.ndarray:
        """(K,) wavenumbers in x."""
        return 2 * np.pi / self.length * self.modes[1]

    @cached_property
    def l(self) -> np.ndarray:  # noqa: E743 - the field's letter
        """(M, 1) wavenumbers in y."""
        return 2 * np.pi / self.length * self.modes[0][:, None]

    @cached_property
    def k2(self) -> np.ndarray:
        """(M, K) squared wavenumbers."""
        return self.k**2 + self.l**2

    @cached_property
    def damping(self) -> np.ndarray:
        """(M, K) hyperviscous decay rate nu (K2 / kc^2)^4, kc two thirds of the Nyquist wavenumber."""
        return self.hyperviscosity * (self.k2 / (2 / 3 * np.pi * self.n / self.length) ** 2) ** 4

    @cached_property
    def waves(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """exp(2 pi i j m / N) in y, (N, M), and in x, (N, K)."""
        y, x = (np.exp(2j * np.pi * np.outer(np.arange(self.n), m) / self.n) for m in self.modes)
        return y, x

    @cached_property
    def raw_orography(self) -> np.ndarray:
        """(N, N) three smooth mountains, highest about 1."""
        s = (np.arange(self.n) + self.offset) * self.length / self.n

        def away(axis: np.ndarray, place: float) -> np.ndarray:
            return (axis - place * self.length + self.length / 2) % self.length - self.length / 2

        def ridge(x: float, y: float, wide: float, high: float) -> np.ndarray:
            return np.exp(-0.5 * ((away(s, x) / wide) ** 2 + (away(s, y)[:, None] / high) ** 2))

        return ridge(0.30, 0.50, 1.6, 5) + 0.6 * ridge(0.62, 0.62, 1.5, 1.5) + 0.4 * ridge(0.52, 0.36, 1.2, 2.2)

    @cached_property
    def land(self) -> np.ndarray:
        """(N, N) 1 on land, where the surface is heated by day."""
        return (self.raw_orography > 0.08).astype(float)

    @cached_property
    def surface(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, K) coefficients of the land mask and of the orography."""
        land, height = (np.fft.rfft2(a)[np.ix_(*self.modes)] for a in (self.land, self.raw_orography))
        return land, height

    @cached_property
    def band_modes(self) -> tuple[np.ndarray, np.ndarray]:
        """(index, conjugate), each (M, K): which of the noise's free modes a coefficient is (0 = none).

        Modes are numbered alike on every grid that resolves the band. In column k = 0 the lower half is the
        conjugate of the upper, as a real field asks.
        """
        ky = self.modes[0]
        index, conjugate = np.zeros((2, *self.k2.shape), int)
        count = 0
        for m in range(BAND[1] + 1):
            for j in range(-BAND[1], BAND[1] + 1):
                if BAND[0] ** 2 <= m**2 + j**2 <= BAND[1] ** 2 and (m > 0 or j > 0):
                    count += 1
                    index[ky == j, m] = count
                    if m == 0:
                        index[ky == -j, 0], conjugate[ky == -j, 0] = count, 1
        return index, conjugate

    @property
    def free_modes(self) -> int:
        """Number of independent complex modes of the noise."""
        return int(self.band_modes[0].max())


def to_grid(flow: Flow, spectral: jax.Array) -> jax.Array:
    """(..., M, K) coefficients to (..., N, N) values.

    Products with dense matrices: for so few modes they take less time than fast transforms of the padded grid.
    """
    y, x = flow.waves
    twice = np.where(flow.modes[1] > 0, 2, 1) / flow.n**2  # a mode and its conjugate
    first = _real(np.block([[y.real, -y.imag], [y.imag, y.real]]), spectral)
    second = _real(np.concatenate([(x.real * twice).T, (-x.imag * twice).T]), spectral)
    rows = _matmul(first, jnp.concatenate([spectral.real, spectral.imag], -2))
    return _matmul(jnp.concatenate([rows[..., : flow.n, :], rows[..., flow.n :, :]], -1), second)


def to_spectral(flow: Flow, grid: jax.Array) -> jax.Array:
    """(..., N, N) values to (..., M, K) coefficients, scaled as by numpy's rfft2."""
    (y, x), many = flow.waves, len(flow.modes[1])
    first = _real(np.concatenate([x.real, -x.imag], 1), grid)
    second = _real(np.block([[y.real.T, y.imag.T], [-y.imag.T, y.real.T]]), grid)
    rows = _matmul(grid, first)
    out = _matmul(second, jnp.concatenate([rows[..., :many], rows[..., many:]], -2))
    return jax.lax.complex(*jnp.split(out, 2, -2))


_matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def _real(array: np.ndarray, state: jax.Array) -> jax.Array:
    return jnp.asarray(array, state.real.dtype)


def streamfunctions(flow: Flow, state: jax.Array) -> jax.Array:
    """(..., 2, M, K): psi1, psi2 from the potential vorticities; the domain means are 0."""
    f, k2 = flow.coupling, flow.k2
    det = np.where(k2 > 0, k2 * (k2 + 2 * f), 1.0)
    own, other = (_real(np.where(k2 > 0, a / det, 0.0), state) for a in (k2 + f, f + 0 * k2))
    q1, q2 = state[..., 0, :, :], state[..., 1, :, :]
    return -jnp.stack([own * q1 + other * q2, other * q1 + own * q2], axis=-3)


def tendency(flow: Flow, state: jax.Array, day: jax.Array, year: jax.Array) -> jax.Array:
    """Time derivative of a state (3, M, K) but for hyperviscosity and noise; phases in cycles."""
    f, beta = flow.coupling, flow.beta
    ik, il = (jnp.asarray(1j * a, state.dtype) for a in (flow.k, flow.l))
    k2 = _real(flow.k2, state)
    wind = flow.wind * (1 + 0.2 * jnp.cos(2 * jnp.pi * year))
    psi = streamfunctions(flow, state)
    v_hat = ik * psi
    grid = to_grid(flow, jnp.concatenate([-il * psi, v_hat, state]))
    u1, u2, v1, v2, q1, q2, th = grid
    h = flow.orography * (flow.raw_orography - flow.raw_orography.mean())
    lower = q2 + _real(h, state)
    u1, u2 = u1 + wind, u2 - wind
    flux = to_spectral(flow, jnp.stack([u1 * q1, u2 * lower, u2 * th, v1 * q1, v2 * lower, v2 * th]))
    heating = flow.diurnal * jnp.sin(2 * jnp.pi * day)
    land, height = (jnp.asarray(a, state.dtype) for a in flow.surface)
    q1_rest = -(beta + 2 * f * wind) * v_hat[0]
    q2_rest = -(beta - 2 * f * wind) * v_hat[1] + flow.drag * k2 * psi[1]
    th_rest = (
        2 * wind * v_hat[1] + (heating * land - height - state[2]) / flow.relaxation - flow.diffusivity * k2 * state[2]
    )
    return jnp.stack([q1_rest, q2_rest, th_rest]) - ik * flux[:3] - il * flux[3:]


def rk4(flow: Flow, state: jax.Array, day: jax.Array, year: jax.Array, dt: float = DT) -> jax.Array:
    """One step of RK4 with hyperviscosity as exact integrating factor; phases at the step's begin, in cycles."""
    step = DT * SUBSTEPS
    later = [(day + a * dt / step / PER_DAY, year + a * dt / step / PER_YEAR) for a in (0, 0.5, 1)]
    e, e2 = (_real(np.exp(-flow.damping * dt * a), state) for a in (1, 0.5))
    a = tendency(flow, state, *later[0])
    b = tendency(flow, e2 * (state + dt / 2 * a), *later[1])
    c = tendency(flow, e2 * state + dt / 2 * b, *later[1])
    d = tendency(flow, e * state + dt * e2 * c, *later[2])
    return e * state + dt / 6 * (e * a + 2 * e2 * (b + c) + d)


def kicks(flow: Flow, key: jax.Array, count: int, like: jax.Array) -> jax.Array:
    """(count, 2, M, K): independent band-passed noise for both layers, unit variance on the grid."""
    index, conjugate = flow.band_modes
    real = like.real.dtype
    full = int((index[:, 1:] > 0).sum()) * 2 + int((index[:, 0] > 0).sum())  # modes of the whole plane
    scale = flow.n**2 / np.sqrt(2 * full)
    z = scale * jax.random.normal(key, (count, 2, 2, flow.free_modes), real)
    z = jnp.pad(z, ((0, 0),) * 3 + ((1, 0),))[..., index]
    return jax.lax.complex(z[:, :, 0], z[:, :, 1] * _real(1 - 2 * conjugate, like))


def advance(flow: Flow, state: jax.Array, key: jax.Array, when: jax.Array) -> jax.Array:
    """One output interval (6 h): SUBSTEPS steps, each followed by noise A sqrt(dt) xi on q1 and q2.

    `when` counts outputs since time 0 (integer); the noise is a function of (key, when) alone.
    """
    sub = jnp.arange(SUBSTEPS) / SUBSTEPS
    day = (when % PER_DAY + sub) / PER_DAY
    year = (when % PER_YEAR + sub) / PER_YEAR
    noise = None
    if flow.noise:
        noise = flow.noise * np.sqrt(DT) * kicks(flow, jax.random.fold_in(key, when), SUBSTEPS, state)

    def step(state: jax.Array, now: tuple) -> tuple[jax.Array, None]:
        day, year, kick = now
        state = rk4(flow, state, day, year)
        return (state if kick is None else state.at[:2].add(kick)), None

    return jax.lax.scan(step, state, (day, year, noise))[0]


def initial(flow: Flow, key: jax.Array) -> jax.Array:
    """A smooth random flow without temperature anomaly: white noise x .4 filtered by exp(-K2)."""
    white = jax.random.normal(key, (2, flow.n, flow.n))
    q = 0.4 * to_spectral(flow, white) * _real(np.exp(-flow.k2), white)
    return jnp.concatenate([q, jnp.zeros_like(q[:1])])


def fields(flow: Flow, state: jax.Array) -> jax.Array:
    """(..., N, N, 5): psi1, psi1 - psi2, th, u2, v2 on the grid, float32."""
    psi = streamfunctions(flow, state)
    il, ik = (jnp.asarray(1j * a, state.dtype) for a in (flow.l, flow.k))
    psi1, psi2 = psi[..., 0, :, :], psi[..., 1, :, :]
    spectral = jnp.stack([psi1, psi1 - psi2, state[..., 2, :, :], -il * psi2, ik * psi2], axis=-3)
    return jnp.moveaxis(to_grid(flow, spectral), -3, -1)


def energy(flow: Flow, state: jax.Array) -> jax.Array:
    """Mean energy 1/2 <|grad psi1|^2 + |grad psi2|^2 + F (psi1 - psi2)^2>."""
    psi = streamfunctions(flow, state)
    grad = to_grid(flow, jnp.concatenate([jnp.asarray(1j * a, state.dtype) * psi for a in (flow.k, flow.l)]))
    shear = to_grid(flow, psi[0] - psi[1])
    return 0.5 * ((grad**2).sum(0).mean() + flow.coupling * (shear**2).mean())


def growth_rate(flow: Flow, mode: int) -> float:
    """Growth rate of the wave with `mode` wavelengths in x and none in y, linearised about the mean flow, h = 0.

    The largest real part of the eigenvalues of B^-1 (-i k (U B + Q) + diag(0, r k^2)), B the inversion of q.
    """
    f, u, k = flow.coupling, flow.wind, 2 * np.pi / flow.length * mode
    b = np.array([[-(k**2 + f), f], [f, -(k**2 + f)]])
    gradient = np.diag([flow.beta + 2 * f * u, flow.beta - 2 * f * u])
    operator = np.linalg.solve(b, -1j * k * (np.diag([u, -u]) @ b + gradient) + np.diag([0, flow.drag * k**2]))
    return float(np.linalg.eigvals(operator).real.max())

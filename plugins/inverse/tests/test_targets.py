"""Targets: integrals by quadrature, samples, the densities of data, and what is refused."""

import os
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genkit.errors import UsageError
from genkit_inverse.targets import Normal, Target, modes_found, target, whitened
from genkit_inverse.targets.data import LGCP, Cox, Ionosphere, Regression, Sonar, design
from genkit_inverse.targets.mixtures import GMM40, Mixture2D, StudentT
from genkit_inverse.targets.shapes import Brownian, Funnel, ManyWell, Phi4

DATA = pytest.mark.skipif("GENKIT_DATA" not in os.environ, reason="needs the data sets in GENKIT_DATA")
KEY = jax.random.key(0)


def integral(density, *axes):
    """log of the integral by a sum over a grid, in float64."""
    with jax.enable_x64(True):
        x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
        log_p = np.asarray(jax.jit(jax.vmap(density))(x))
    assert log_p.dtype == np.float64
    return np.logaddexp.reduce(log_p) + sum(np.log(a[1] - a[0]) for a in axes)


def grid(end, n):
    return np.linspace(-end, end, n)


@pytest.mark.parametrize(
    ("component", "axes", "log_z"),
    [
        (Mixture2D(), (grid(9, 361), grid(9, 361)), 0.0),
        (GMM40(), (grid(48, 385), grid(48, 385)), 0.0),
        (ManyWell(2), (grid(4, 401), grid(9, 91)), np.log(11784.50927) + 0.5 * np.log(2 * np.pi)),
        (Phi4(2), (grid(2, 33),) * 4, 2.8143),
    ],
)
def test_integrals(component, axes, log_z):
    density = component.load()
    assert integral(density, *axes) == pytest.approx(log_z, abs=5e-5)
    assert density.log_z is None or density.log_z == pytest.approx(log_z)


def test_integrals_of_heavy_tails():
    """Student-t by x = tan u, whose Jacobian is 1 + x^2; the funnel by x_2 = exp(x_1 / 2) u."""
    t = StudentT(dim=1).load()
    assert integral(lambda u: t(jnp.tan(u)) + jnp.log1p(jnp.tan(u[0]) ** 2), grid(np.pi / 2 - 1e-4, 40_001)) == (
        pytest.approx(0, abs=1e-4)
    )
    funnel = Funnel(2)

    def along(u):
        return funnel(jnp.stack([u[0], jnp.exp(u[0] / 2) * u[1]])) + u[0] / 2

    assert integral(along, grid(24, 97), grid(8, 65)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("component", [Mixture2D(), GMM40(3), StudentT(3), Funnel(4), ManyWell(4)])
def test_samples_are_of_the_density(component):
    """Stein: the mean of x . grad log p is -d. All modes are found, and one alone by samples of one."""
    density = component.load()

    @jax.jit
    def look(keys):
        x = jax.vmap(density.draw)(keys)
        return x, jnp.sum(x * jax.vmap(jax.grad(density))(x), 1)

    x, terms = look(jax.random.split(KEY, 4000))
    assert abs(terms.mean() + density.dim) < 4.5 * terms.std() / 4000**0.5
    if density.mode_weights is not None:
        assert modes_found(density, x, jnp.zeros(4000)) == len(density.mode_weights)
        assert np.sum(density.mode_weights) == pytest.approx(density.dim // 2 if component == ManyWell(4) else 1)
        assert modes_found(density, x[:1], jnp.zeros(1)) == (2 if component == ManyWell(4) else 1)


def test_brownian_motion():
    x = np.random.default_rng(0).normal(size=32)
    scales, path = np.log1p(np.exp(x[:2])), x[2:]
    prior = stats.lognorm.logpdf(scales, 2).sum() - np.log1p(np.exp(-x[:2])).sum()
    steps = stats.norm.logpdf(np.diff(path, prepend=0), scale=scales[0]).sum()
    seen = stats.norm.logpdf(Brownian.SEEN, path[[*range(10), *range(20, 30)]], scales[1]).sum()
    assert float(Brownian()(jnp.array(x))) == pytest.approx(prior + steps + seen, rel=1e-5)


def test_regression():
    """Against float64, and log Z of two coefficients by quadrature."""
    rng = np.random.default_rng(0)
    x, y = design(rng.normal(size=(20, 1)) * 3 + 5), (rng.uniform(size=20) < 0.4).astype(np.float32)
    np.testing.assert_allclose(x.mean(0), [1, 0], atol=1e-6)
    assert x[:, 1].std() == pytest.approx(1) and (design(np.ones((3, 1)))[:, 1] == 0).all()
    density, theta = Regression(x, y), rng.normal(size=2)
    p = 1 / (1 + np.exp(-x @ theta))
    exact = stats.norm.logpdf(theta).sum() + np.log(np.where(y == 1, p, 1 - p)).sum()
    assert float(density(jnp.array(theta))) == pytest.approx(exact, rel=1e-5)


@DATA
def test_data():
    for component, shape, ones in ((Sonar(), (208, 61), 111), (Ionosphere(), (351, 35), 225)):
        density = component.load()
        assert density.x.shape == shape and density.y.sum() == ones and density.dim == shape[1]
        constant = density.x[:, 1:].std(0) == 0
        np.testing.assert_allclose(density.x[:, 1:].std(0)[~constant], 1, rtol=1e-4)
        assert constant.sum() == (component == Ionosphere()) and component.path().is_file()
    for size, cells, most in ((40, 111, 3), (32, 103, 4)):
        counts = LGCP(size).load().counts
        assert (counts.sum(), (counts > 0).sum(), counts.max()) == (126, cells, most)


@DATA
def test_cox_process():
    density = LGCP(4).load()
    f = np.random.default_rng(0).normal(size=16) + 4
    cell = np.stack(np.divmod(np.arange(16), 4), -1)
    cov = 1.91 * np.exp(-np.linalg.norm(cell[:, None] - cell[None], axis=-1) / (4 / 33))
    prior = stats.multivariate_normal(np.full(16, np.log(126) - 1.91 / 2), cov).logpdf(f)
    assert isinstance(density, Cox)
    assert float(density(jnp.array(f))) == pytest.approx(prior + (f * density.counts - np.exp(f) / 16).sum(), rel=1e-5)


@target(dim=2, scale=2.0, log_z=1.5)
def banana(x):
    """A banana."""
    return -0.5 * (x[0] ** 2 / 4 + (x[1] - x[0] ** 2) ** 2)


@dataclass(frozen=True)
class Uniform(Target):
    """On [0, 1]^2, from a base that is normalised or not."""

    factor: float = 1.0
    dim: int = 2

    @property
    def base(self):
        """The density itself, times a factor."""
        return self

    def draw(self, key):
        """A draw."""
        return jax.random.uniform(key, (2,))

    def log_prob(self, x):
        """Its log density as a base."""
        return self(x) + jnp.log(self.factor)

    def __call__(self, x):
        """The density."""
        return jnp.where(((x > 0) & (x < 1)).all(), 0.0, -jnp.inf)


def test_own_targets():
    """A function is a component with options; coordinates of the base keep the integral."""
    made = banana(scale=3.0)
    assert (made.dim, made.log_z, banana().scale, banana.__doc__) == (2, 1.5, 2.0, "A banana.")
    begin = whitened(made)
    z = jnp.array([[0.3, -0.2]])
    assert float(begin.log_p(z[0])) == pytest.approx(float(banana()(3 * z[0])) + 2 * np.log(3), rel=1e-5)
    np.testing.assert_allclose(begin.back(z), 3 * z, rtol=1e-6)
    root = np.array([[2.0, 0.0], [0.5, 1.5]], np.float32)
    full = Normal(np.ones(2, np.float32), root)
    exact = stats.multivariate_normal(np.ones(2), root @ root.T).logpdf([0.3, -0.2])
    assert float(full.log_prob(z[0])) == pytest.approx(exact, rel=1e-5)
    assert float(full.log_det) == pytest.approx(np.log(3))
    assert whitened(Uniform()).normal is None


def nan_beyond(x):
    return jnp.where(x[0] > 1, jnp.nan, -0.5 * x @ x)


@pytest.mark.parametrize(
    ("density", "says"),
    [
        (target(dim=2)(nan_beyond)(), "the log density is nan at .* draws of its base; expected a number or -inf"),
        (target(dim=2)(lambda x: -jnp.inf * jnp.ones(()))(), "the density is zero at all of 2000 draws"),
        (target(dim=2, scale=0.0)(lambda x: -x @ x)(), "its base is no normal density"),
        (Uniform(2.0), r"the base's density integrates to exp\(0\.[67]\d+\)"),
    ],
)
def test_refused(density, says):
    with pytest.raises(UsageError, match=says):
        whitened(density)


def test_wrong_options():
    for make, says in (
        (partial(Funnel, 1), "dim=1"), (partial(ManyWell, 3), "dim=3; expected an even number"),
        (partial(Phi4, 1), "size=1"), (partial(StudentT, dof=0), "dof=0"), (partial(GMM40, 0), "dim=0"),
        (partial(LGCP, 0), "size=0"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=says):
            make()

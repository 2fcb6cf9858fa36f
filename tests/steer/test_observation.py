"""Likelihoods of measurements: noise of one std or many, counts, bits; operators by rows and by functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genkit.errors import UsageError
from genkit.steer import Bernoulli, Noise, Normal, Poisson, dense, function, mask, observe

RNG = np.random.default_rng(0)
WIDE, TALL = RNG.normal(size=(2, 6)), RNG.normal(size=(5, 3))
DEFICIENT = np.outer(RNG.normal(size=4), RNG.normal(size=3))
SEEN = np.array([True, False, True, False, False, True])
PAIRS = {
    "wide": (dense(WIDE), WIDE),
    "tall": (dense(TALL), TALL),
    "deficient": (dense(DEFICIENT), DEFICIENT),
    "mask": (mask(SEEN), np.eye(6)[SEEN]),
    "function": (function(lambda x: x @ jnp.asarray(WIDE.T), (6,)), WIDE),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_std_for_each_number(name):
    operator, matrix = PAIRS[name]
    x, y = RNG.normal(size=(3, matrix.shape[1])), RNG.normal(size=len(matrix))
    std = RNG.uniform(0.1, 2, size=len(matrix))
    expected = stats.norm.logpdf(y, x @ matrix.T, std).sum(1)
    with jax.enable_x64(True):
        observation = observe(operator, y, std)
        z = observation.operator.to_basis(jnp.asarray(x))
        np.testing.assert_allclose(observation.log_prob(z), expected, rtol=1e-10)
        if name == "function":
            return
        cov = np.diag(std**2) + 0.4 * matrix @ matrix.T
        expected = [stats.multivariate_normal.logpdf(y, matrix @ one, cov) for one in x]
        np.testing.assert_allclose(observation.log_prob(z, 0.4), expected, rtol=1e-10)


def test_a_known_value_of_two_precisions():
    observation = observe(dense([[1.0, 1.0], [1.0, -0.5]]), [1.0, 2.0], [0.1, 1.0])
    z = observation.operator.to_basis(jnp.array([[0.3, 0.2]]))
    expected = stats.norm.logpdf([1, 2], [0.5, 0.2], [0.1, 1.0]).sum()
    assert float(observation.log_prob(z)[0]) == pytest.approx(expected, abs=1e-4)


def test_a_few_rows_of_a_large_item():
    """No matrix (d, d): the numbers that an operator holds grow with m d."""
    d, matrix = 20_000, RNG.normal(size=(3, 20_000))
    operator = dense(matrix)
    assert sum(np.size(a) for a in jax.tree.leaves(operator)) < 4 * d
    with jax.enable_x64(True):
        x = jnp.asarray(RNG.normal(size=(2, d)))
        z = operator.to_basis(x)
        np.testing.assert_allclose(operator(x), x @ matrix.T, rtol=1e-9)
        np.testing.assert_allclose(operator.from_basis(z), x, atol=1e-10)
        np.testing.assert_allclose((z**2).sum(1), (x**2).sum(1), rtol=1e-10)


def test_counts_and_bits():
    operator = function(lambda x: jnp.exp(x), (3,))
    x, y = jnp.array([[0.1, -0.4, 1.0], [0.0, 0.0, 0.0]]), np.array([2.0, 0.0, 5.0])
    counts = observe(operator, y, Poisson(gain=1.5))
    np.testing.assert_allclose(counts.log_prob(x), stats.poisson.logpmf(y, 1.5 * np.exp(x)).sum(1), rtol=1e-5)
    deviance = 2 * (stats.poisson.logpmf(y, y) - stats.poisson.logpmf(y, 1.5 * np.exp(x))).sum(1)
    np.testing.assert_allclose(counts.chi2(x), deviance, rtol=1e-5)
    std = np.sqrt([2, 1, 5]) / 1.5
    gap = (y / 1.5 - np.exp(x)) / std * std.prod() ** (1 / 3)
    np.testing.assert_allclose(counts.distance(x), np.sqrt((gap**2).sum(1)), rtol=1e-5)
    bits = observe(function(lambda x: x, (3,)), np.array([1, 0, 1]), Bernoulli())
    p = 1 / (1 + np.exp(-np.asarray(x)))
    np.testing.assert_allclose(bits.log_prob(x), np.log(p[:, [0, 2]]).sum(1) + np.log(1 - p[:, 1]), rtol=1e-5)


def test_measurements_are_drawn():
    """Of each law mean and variance; counts about an offset have the likelihood of their rate."""
    mean = jnp.broadcast_to(jnp.array([-0.5, 0.2, 1.0]), (20000, 3))
    rate = 3.0 * (mean[0] + 1)
    p = 1 / (1 + np.exp(-mean[0]))
    for noise, first, second in (
        (Normal(0.3), mean[0], 0.09), (Poisson(gain=3.0, offset=1.0), rate, rate), (Bernoulli(), p, p * (1 - p)),
    ):  # fmt: skip
        y = np.asarray(noise.draw(jax.random.key(0), mean))
        assert (np.abs(y.mean(0) - first) < 5 * np.sqrt(second / len(y))).all()
        np.testing.assert_allclose(y.var(0), np.broadcast_to(second, 3), rtol=0.05)
    counts = np.array([2.0, 0.0, 5.0])
    found = Poisson(gain=3.0, offset=1.0).log_prob(jnp.asarray(counts), mean[:1])
    np.testing.assert_allclose(found, stats.poisson.logpmf(counts, rate).sum(), rtol=1e-5)
    with pytest.raises(UsageError, match="Silent does not draw"):
        Silent().draw(jax.random.key(0), mean)


def test_distance_has_a_slope_at_zero():
    for observation in (observe(mask(SEEN), np.zeros(3), 0.1), observe(function(lambda x: x, (6,)), np.zeros(6), 0.1)):
        slope = jax.grad(lambda z, o=observation: o.distance(z).sum())(jnp.zeros((1, 6)))
        np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("noise", [0.3, np.array([0.3, 0.5])])
def test_linearised_measurements(noise):
    """Of a matrix in its own coordinates, of a function in those of y; the same products at the same item."""
    x, v = jnp.asarray(RNG.normal(size=(2, 4, 6)))
    y = RNG.normal(size=2)
    found = []
    for operator in (dense(WIDE), function(lambda x: x @ jnp.asarray(WIDE.T, x.dtype), (6,))):
        one = observe(operator, y, noise)
        to, back = one.operator.to_basis, one.operator.from_basis
        near = one.linearised(to(x))
        found.append((back(near.back(near.gap)), back(near.back(near.forth(to(v)))), one.distance(to(x))))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_one_std_written_as_many_is_the_same():
    """What does not use the std at all, as DPS, must not depend on how it is written."""
    x, y = jnp.asarray(RNG.normal(size=(4, 6))), RNG.normal(size=2)
    for operator in (dense(WIDE), function(lambda x: x @ jnp.asarray(WIDE.T, x.dtype), (6,))):
        one, many = observe(operator, y, 0.1), observe(operator, y, [0.1, 0.1])
        assert float(many.std) == pytest.approx(0.1)
        a, b = (o.operator.from_basis(jax.grad(lambda z, o=o: o.distance(z).sum())(o.operator.to_basis(x)))
                for o in (one, many))  # fmt: skip
        np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_allclose(*(o.log_prob(o.operator.to_basis(x)) for o in (one, many)), rtol=1e-4)


def test_counts_of_next_to_no_light():
    """Below the floor log(rate) is its tangent; where nothing was counted a negative rate is as good as none."""
    law, y = Poisson(gain=2.0, offset=1.0, floor=0.5), jnp.array([3.0, 0.0])
    for rate, expected in ((0.25, 3 * (np.log(0.5) - 0.5) - 2 * 0.25), (-1.0, 3 * (np.log(0.5) - 3))):
        mean = jnp.full((1, 2), rate / 2 - 1)
        assert float(law.log_prob(y, mean)[0]) == pytest.approx(expected - np.log(6), rel=1e-5)
        slope = jax.grad(lambda m: law.log_prob(y, m).sum())(mean)[0]
        np.testing.assert_allclose(slope, 2 * np.array([3 / 0.5, 0]) - 2 * (rate > 0), rtol=1e-5)
    assert float(law.best(y) - law.log_prob(y, law.value(y)[None])[0]) == pytest.approx(0, abs=1e-5)


def test_half_a_count_is_the_least_floor():
    """Of DAPS's steps, half the variance of one count times the slope: none goes beyond y, as those of less would."""
    rate = jnp.linspace(-2, 60, 400)[:, None]
    for y in (1.0, 4.0, 40.0):
        slope = [
            jax.grad(lambda r, law=law: law.log_prob(jnp.array([y]), r).sum())(rate)  # noqa: B023
            for law in (Poisson(), Poisson(floor=0.4))
        ]
        gone = [np.asarray((rate + s / 2 - y) * jnp.sign(rate - y)) for s in slope]  # below 0 beyond y
        assert gone[0].min() > -1e-4 and gone[1].min() < -0.1


class Silent(Noise):
    """One that says nothing of distances."""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: observe(dense(WIDE), np.zeros(2), -1.0), "must be positive"),
        (lambda: observe(dense(WIDE), np.zeros(2), [0.1, 0.2, 0.3]), r"std of the noise has shape \(3,\)"),
        (lambda: observe(dense(WIDE), np.zeros(2), [0.1, 0.0]), "some std of the noise are 0"),
        (lambda: function(lambda x: x @ jnp.ones(3), (2,)), "does not take two items"),
        (lambda: function(lambda x: x.sum(), (2,)), "expected real numbers"),
        (lambda: observe(function(lambda x: x, (2,)), [1, -2], Poisson()), "has the count -2"),
        (lambda: observe(function(lambda x: x, (2,)), [1, 2.5], Poisson()), "has 2.5; expected counts"),
        *(
            (
                lambda options=options: observe(mask(np.ones(2, bool)), [1, 2], Poisson(**options)),
                f"has {key}={value}; exp",
            )
            for options in ({"gain": 0.0}, {"gain": np.inf}, {"floor": 0.0}, {"floor": 2.0}, {"offset": np.nan})
            for key, value in options.items()
        ),
        (lambda: observe(function(lambda x: x, (2,)), [1, 2], Bernoulli()), "expected bits"),
        (lambda: Silent().distance(jnp.zeros(1), jnp.zeros((1, 1))), "give it a method best"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_normal_noise_by_its_class():
    assert observe(mask(SEEN), np.zeros(3), Normal(0.5)).std == 0.5

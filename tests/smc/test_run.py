"""A model in one call, and what its result says of itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import Model, run, start
from genkit.smc import SCHEMES, Global, Islands, Resample, Tempering, evidence_variance, log_z_variance, smc
from genkit.testing import LinearGaussian

KEY = jax.random.key(0)
LG = LinearGaussian(sy=0.5)
Y = np.sin(np.arange(1, 21))
MODEL = LG.bootstrap(Y)


def mean_and_parents(state):
    return state.mean(), state.ancestors


def test_a_filter_in_one_call():
    """The numbers of `run`, the trace of its steps, filter means and the variance beside the Kalman filter."""
    result = smc(KEY, MODEL, 500, Resample("multinomial"), mean_and_parents)
    state, _ = run(KEY, start(KEY, MODEL, 500), MODEL.stages, Resample("multinomial"))
    assert result.log_z == state.log_z == result.log_zs[-1] and result.log_zs.shape == result.ess.shape == (20,)
    exact, means, _ = LG.kalman_filter(Y)
    sd = float(result.log_z_var) ** 0.5
    assert 0.02 < sd < 0.5 and abs(result.log_z - exact) < 4 * sd
    ((filtered, ancestors),) = result.kept
    assert ancestors.shape == (19, 500) and abs(filtered - means[1:]).max() < 0.15
    np.testing.assert_allclose(result.mean(lambda x: x), filtered[-1], rtol=1e-5)
    assert result.resampled.sum() > 5 and ((result.ess < 250) == jnp.append(result.resampled[1:], False))[:-1].all()


def test_what_it_prints():
    text = str(smc(KEY, MODEL, 500, Resample("multinomial")))
    assert "SMC, 19 steps of 500 particles" in text and "one standard deviation told from the genealogy" in text
    first = np.unique(smc(KEY, MODEL, 500).state.eve).size
    text = str(smc(KEY, MODEL, 500))
    assert "+- ?, which this run does not tell: resample by 'multinomial'" in text
    assert f"{first} of the 500 first particles have descendants" in text and "warning" not in text
    holes = Model(lambda keys: (jnp.arange(4.0), jnp.array([0.0, jnp.nan, 0.0, 0.0])), ())
    with pytest.warns(RuntimeWarning, match="smc: 1 particles met a potential of NaN"):
        result = smc(KEY, holes, 4)
    assert "warning     1 particles met a potential of NaN or +inf" in str(result) and "SMC, 0 steps" in str(result)
    np.testing.assert_allclose(result.log_z, np.log(3 / 4), rtol=1e-6)
    many = jax.vmap(lambda key: smc(key, MODEL, 20))(jax.random.split(KEY, 3))
    assert many.log_z.shape == (3,) and "SMCResult(State(20 particles" in repr(many)


def test_a_variance_that_is_none_is_not_given():
    """After other schemes than multinomial; the estimate of importance sampling holds whatever the scheme."""

    def variances(resample):
        return jax.jit(jax.vmap(lambda key: smc(key, LG.bootstrap(Y[:8]), 50, resample)))(jax.random.split(KEY, 50))

    for scheme in ("multinomial", "systematic", "residual"):
        found = variances(Resample(scheme, 1.0))
        assert (found.log_z_var > 0).any() if scheme == "multinomial" else np.isnan(found.log_z_var).all()
        assert not (found.log_z_var <= 0).any()
    assert (variances(Global(Resample("multinomial", 1.0))).log_z_var > 0).any()
    assert np.isnan(variances(Islands(5, Resample("multinomial", 1.0))).log_z_var).all()
    for resample in (None, Resample(threshold=0.0)):
        state = smc(KEY, MODEL, 50, resample).state
        w = np.exp(np.asarray(state.log_w, np.float64))
        np.testing.assert_allclose(log_z_variance(state, 0, resample), (50 * (w**2).sum() - 1) / 49, rtol=1e-4)
        np.testing.assert_allclose(
            evidence_variance(state.log_w, state.eve, 0), (50 * (w**2).sum() - 1) / 49, rtol=1e-4
        )
    assert np.isnan(smc(KEY, MODEL, 1, Resample("multinomial")).log_z_var)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_of_numpy(scheme):
    log_w = jax.random.normal(KEY, (8,))
    np.testing.assert_array_equal(SCHEMES[scheme](KEY, log_w, np.int64(8)), SCHEMES[scheme](KEY, log_w, 8))
    if not scheme.endswith("killing"):
        np.testing.assert_array_equal(SCHEMES[scheme](KEY, log_w, np.int32(5)), SCHEMES[scheme](KEY, log_w, 5))


def test_numbers_of_numpy_elsewhere():
    whole = smc(KEY, MODEL, 8).log_z
    assert smc(KEY, MODEL, np.int64(8)).log_z == whole
    assert smc(KEY, MODEL, np.int64(8), Islands(np.int64(2))).log_z == smc(KEY, MODEL, 8, Islands(2)).log_z

    def normal(x):
        return -0.5 * x @ x

    def draw(key):
        return jax.random.normal(key, (1,))

    one = Tempering(steps=4).run(KEY, 8, draw, normal, normal).log_z
    assert Tempering(steps=np.int64(4)).run(KEY, np.int64(8), draw, normal, normal).log_z == one

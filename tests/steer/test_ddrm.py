"""DDRM, by what it promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import run, start
from genkit.errors import UsageError
from genkit.steer import DDRM, dense, observe


def test_every_state_of_ddrm_has_the_noise_of_its_level():
    """If the network knew x_0, and over the noise of y: theorem 3.2 and proposition 3.1 of the paper."""
    truth, std = jnp.array([0.7, -1.0, 0.0]), 0.5  # what is not measured begins at zero
    operator = dense(np.array([[1.0, 0.0, 0.0], [0.0, 0.1, 0.0]]))  # noise of y / s: 0.5 and 5

    def one(key):
        noise, own = jax.random.split(key)
        y = operator(truth[None])[0] + std * jax.random.normal(noise, (2,))
        model = DDRM(times=(8.0, 3.0, 1.0, 0.2)).model(know, observe(operator, y, std))
        state = start(own, model, 1)
        return jnp.concatenate([state.p.z, run(own, state, model.stages[:1], keep=state_of)[1][0][:, 0]])

    z = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 40_000))
    assert z.shape == (40_000, 4, 3)
    np.testing.assert_allclose(np.asarray(z).var(0).T, np.broadcast_to([64.0, 9.0, 1.0, 0.04], (3, 4)), rtol=0.04)
    x = np.asarray(operator.from_basis(z.reshape(-1, 3)).reshape(z.shape).mean(0))
    assert (np.abs(x - truth) < 4 * np.array([[8.0], [3.0], [1.0], [0.2]]) / 200).all()


def know(x, t, cond):
    """A network that knows x_0."""
    return jnp.broadcast_to(jnp.array([0.7, -1.0, 0.0]), x.shape)


def state_of(state):
    return state.p.z


@pytest.mark.parametrize(("options", "says"), [({"eta": 1.5}, "eta=1.5"), ({"eta_b": -0.1}, "eta_b=-0.1")])
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        DDRM(**options)

"""Ensembles of one network pass: the loss in closed form, the latent vector, rollouts."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.nn import Net
from genkit_weather import lam
from genkit_weather.datasets.ou import OU
from genkit_weather.graphs import Mesh
from genkit_weather.lam.crps import cosines, fair_crps
from genkit_weather.models.crps import CRPSLAM
from genkit_weather.networks.graph_denoiser import GraphDenoiser
from genkit_weather.networks.unet import LamUNet

DATA = OU(kappa=2.0, train=400, val=10, test=40, cells=8).load()
DOMAIN = lam.domain_of(DATA, lam.Formulation("persistence", fill=False))
DECAY = np.exp(-2.0 / 4)
SPREAD = np.sqrt(1 - DECAY**2)


@dataclass(frozen=True)
class Draw:
    """A network of closed form: the exact mean of the next state plus `share` of its spread times the latent."""

    share: float = 1.0

    def __call__(self, params, x, c_noise, cond):
        assert x is None and c_noise is None
        d = DOMAIN
        now = cond.interior[..., :1] * d.std + d.mean
        change = (DECAY - 1) * now + self.share * SPREAD * cond.latent.reshape(now.shape)
        return (change / d.std - d.residual_mean) / d.residual_std


def generator(share=1.0):
    return lam.Generator(Draw(share), jnp.zeros(()), DOMAIN, 64)


def windows(steps, rows):
    return lam.Windows(DATA.train, DOMAIN, steps).take(np.arange(rows))


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1 / np.sqrt(np.pi)), (0.0, np.sqrt(2 / np.pi))])
def test_a_calibrated_and_a_collapsed_generator_have_their_known_losses(share, expected):
    """.5642 s of a member law equal to the truth's, .7979 s of members that are all the mean."""
    window, how = windows(1, 390), lam.Score(members=2)
    loss = jax.jit(lambda key: lam.crps_loss(key, generator(share), window, how, jnp.ones(1))[0])
    unit = SPREAD / np.asarray(DOMAIN.std * DOMAIN.residual_std)[0]
    assert float(loss(jax.random.key(0))) == pytest.approx(expected * unit, rel=0.012)
    physical = lam.crps_loss(jax.random.key(0), generator(share), window, replace(how, units="data"), jnp.ones(1))[0]
    assert float(physical) == pytest.approx(expected * SPREAD, rel=0.012)


def test_the_score_of_two_members_is_the_published_one_and_fair_for_more():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5, 3)), rng.standard_normal((5, 3))
    published = (np.abs(x[0] - y) + np.abs(x[1] - y) - np.abs(x[0] - x[1])) / 2
    np.testing.assert_allclose(fair_crps(x, y), published, atol=1e-6)
    five = rng.standard_normal((5, 4))
    pairs = np.abs(five[:, None] - five[None]).sum((0, 1)) / (2 * 5 * 4)
    np.testing.assert_allclose(fair_crps(five, 0 * five[0]), np.abs(five).mean(0) - pairs, atol=1e-6)


def test_a_rollout_feeds_each_member_its_own_states():
    """Two steps of the exact generator have the law of the process over two steps."""
    window = windows(2, 390)
    loss, terms = lam.crps_loss(jax.random.key(1), generator(), window, lam.Score(2), jnp.ones(1))
    spreads = np.sqrt(1 - DECAY ** (2 * np.array([1, 2])))
    unit = np.asarray(DOMAIN.std * DOMAIN.residual_std)[0]
    assert float(loss) == pytest.approx(spreads.mean() / np.sqrt(np.pi) / unit, rel=0.012)
    assert terms["crps"] == loss


def test_the_spectral_term_of_white_noise_is_that_of_its_cells():
    """Coefficients of an orthonormal transform of independent cells of one variance have that variance."""
    window = windows(1, 390)
    loss, terms = lam.crps_loss(jax.random.key(2), generator(), window, lam.Score(2, spectral=0.1), jnp.ones(1))
    assert float(terms["spectral"]) == pytest.approx(float(terms["crps"]), rel=0.02)
    assert float(loss) == pytest.approx(float(terms["crps"] + 0.1 * terms["spectral"]), rel=1e-6)
    x = np.random.default_rng(0).standard_normal((3, 6, 5, 2))
    power = np.square(cosines(jnp.asarray(x, jnp.float32))).sum((1, 2))
    np.testing.assert_allclose(power, np.square(x).sum((1, 2)), rtol=1e-5)
    flat = np.asarray(cosines(jnp.ones((1, 6, 5, 1))))
    assert flat[0, 0, 0, 0] == pytest.approx(np.sqrt(30)) and np.abs(flat.ravel()[1:]).max() < 1e-5


def test_members_are_calibrated_and_depend_on_key_start_member_and_lead_alone():
    outlook = lam.Outlook.build(DOMAIN, DATA.test[0], [4, 9, 21], 2)
    (_, x), *_ = lam.rollout(jax.random.key(0), generator(), outlook, 200)
    truth = DATA.test[0].state
    for lead in (1, 2):
        mean = DECAY**lead * truth[[4, 9, 21]]
        away = (x[:, lead - 1] - mean[:, None]) / np.sqrt(1 - DECAY ** (2 * lead))
        assert away.std() == pytest.approx(1, rel=0.02) and abs(away.mean()) < 0.02
    (_, one), *_ = lam.rollout(jax.random.key(0), generator(), replace(outlook, **_row(outlook, 1)), 3, chunk=2)
    np.testing.assert_allclose(one[0], x[1, :, :3], atol=1e-5)
    assert np.abs(x[0, 0, 0] - x[0, 0, 1]).max() > 0.5  # members differ
    steps = x[:, 1] - DECAY * x[:, 0]
    assert abs(np.corrcoef(steps.ravel(), (x[:, 0] - DECAY * truth[[4, 9, 21]][:, None]).ravel())[0, 1]) < 0.02


def _row(outlook, row):
    return {name: getattr(outlook, name)[row : row + 1] for name in ("time", "before", "prev", "frame", "forcing")}


@pytest.mark.parametrize("network", [
    LamUNet(base=4, multipliers=(1,), blocks=1, embedder=4, embedding=8),
    GraphDenoiser(width=6, layers=1, embedding=8, mesh=Mesh("rect_flat", cells=3.0)),
])  # fmt: skip
def test_any_network_takes_the_latent_vector(network):
    sizes = replace(DOMAIN.formulation.sizes(DATA.layout), latent=4)
    net = Net(network, (sizes,))
    params = jax.tree.map(lambda a: a + 0.3, net.init(jax.random.key(0)))
    model = lam.Generator(net, params, DOMAIN, 4)
    inputs = lam.Examples(DATA.train, DOMAIN).take(np.array([3, 3])).inputs
    z = jnp.array([[1.0, 0, -1, 2], [1.0, 0, -1, 2]])
    same, other = model.predict(inputs, z), model.predict(inputs, z.at[1].mul(-1))
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)
    np.testing.assert_allclose(other[0], same[0], atol=1e-6)
    assert float(jnp.abs(other[1] - other[0]).max()) > 1e-4


def test_what_makes_no_sense_is_refused():
    for change, message in [
        ({"latent": 0}, "latent=0 leaves nothing"),
        ({"score": lam.Score(members=1)}, "score.members=1 have no spread"),
        ({"score": lam.Score(spectral=-1.0)}, "must not be negative"),
    ]:
        with pytest.raises(UsageError, match=message):
            CRPSLAM(**change)

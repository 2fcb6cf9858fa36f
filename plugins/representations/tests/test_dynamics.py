"""Learning curves against known values, against the flow and against gradient descent on the matrices."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from genkit.errors import UsageError
from genkit_representations.dynamics import Modes, case, cases, descend, flow, invariant, regression


def one(z0, s, lam, gamma, eta=1.0):
    return Modes((lam,), (s,), (0.0,), (1.0,), (z0,), (gamma,), eta)


@pytest.mark.parametrize(
    ("a", "b", "s", "lam", "rates", "z"),
    [(0.3, 0.1, 2, 0.5, (1, 1), (1.4239835708, 3.9975756421, 3.9999991866)),
     (1, 0.01, 0.7, 1.5, (0.1, 0.1), (0.0738580047, 0.1786256396, 0.2592038686)),
     (0.1, 0.1, 1, 1, (1, 1), (0.0694531597, 0.8029571528, 0.9955255179)),
     (0.5, -0.2, 1.3, 0.9, (0.5, 0.5), (0.0512821562, 0.6617099426, 1.3293221466)),
     (0.3, 0.1, 2, 0.5, (0.5, 2), (1.84419731,))],
)  # fmt: skip
def test_known_curves(a, b, s, lam, rates, z):
    gamma, eta = invariant(a, b, *rates)
    np.testing.assert_allclose(one(a * b, s, lam, gamma, eta).z([1, 3, 5][: len(z)])[:, 0], z, atol=1e-8)


@pytest.mark.parametrize(
    "modes",
    [one(0.03, 2, 0.5, 0.08), one(1e-6, -1.5, 0.7, 1e-9), one(-0.02, 1.0, 1.0, 0.3), one(-0.02, 1.0, 1.0, 0.0),
     one(0.5, 0.0, 1.0, 0.4), one(0.5, 0.0, 1.0, 0.0), one(0.2, 1.0, 0.0, 0.1), one(0.1, 1.0, 1.0, 1e4),
     one(0.1, 1.0, 2.0, 0.7, 0.0), one(0.0, 1.0, 1.0, 0.2), one(0.0, 1.0, 1.0, 0.0)],
)  # fmt: skip
def test_the_closed_form_solves_the_equation(modes):
    """All signs, gamma = 0, s = 0, lam = 0, starts at 0, the linear limit."""
    t = np.array([0.1, 0.5, 2.0])
    if modes.gamma[0] > 100:
        t = t / modes.gamma[0]
    known = solve_ivp(lambda _, z: modes.slope(z), (0, t[-1]), modes.start, "DOP853", t, rtol=1e-12, atol=1e-14).y.T
    np.testing.assert_allclose(modes.z(t), known, rtol=1e-8, atol=1e-11)
    assert modes.z(0.0) == pytest.approx(modes.start[0], abs=1e-12)


EXTREMA = {
    "A_0": [(2.00355988, 0.4902196852), (3.32829409, 0.7873951294)],
    "A_0.2": [(1.04755651, 0.349607568), (1.86608564, 0.5256876859)],
    "A_1": [(0.64031447, 0.198387553), (1.60977084, 0.3629903671)],
    "A_5": [(0.2191108, 0.1239071251), (2.15267166, 0.3400006278)],
    "A_20": [(0.05817679, 0.1168425174)],
    "B": [(1.28640629, 0.4986396434), (2.77849321, 0.6779777652), (36.24450445, 0.18)],
    "B_linear": [(0.5572, 0.442893), (1.4374, 0.485039), (17.9176, 0.18)],
    "C": [(9.67, None)],
    "C_linear": [(0.5865, 0.014059), (1.3118, 0.014811), (16.09, 0.005)],
}


@pytest.mark.parametrize("name", EXTREMA)
def test_extrema_of_the_cases(name):
    """To the digits that are known."""
    found, known = case(name).extrema(), EXTREMA[name]
    assert [e.kind for e in found] == ["min", "max", "min"][: len(known)]
    for e, (t, error) in zip(found, known, strict=True):
        digits = len(str(t).partition(".")[2])
        assert e.t == pytest.approx(t, abs=0.51 * 10**-digits)
        assert error is None or e.error == pytest.approx(error, abs=6e-7 if "linear" in name else 6e-11)


def test_equal_variances_and_equal_singular_values():
    """Linear regression with equal variances has one extremum at most; its error is a quadratic in one exponential."""
    (low,) = case("A_linear").extrema()
    assert low.kind == "min"
    shifted = dataclasses.replace(case("C_linear"), start=(1e-3, 1e-3))
    assert [round(e.t, 4) for e in shifted.extrema()][:2] == [0.5845, 1.3098]
    q = np.exp(-np.linspace(0.1, 3, 7))
    fit = np.polynomial.Polynomial.fit(q, case("A_linear").error(-np.log(q)), 2)
    np.testing.assert_allclose(fit(q), case("A_linear").error(-np.log(q)), atol=1e-13)


def test_extrema_are_where_the_slope_is_zero():
    """And its sign tells which; the ends of the curve are those known; modes overfit or do not."""
    a = case("A_0")
    assert a.error(0.0) == pytest.approx(1.2168025) and a.error_of(a.end) == pytest.approx(0.34)
    t, h = 1.3, 1e-5
    assert a.error_slope(t) == pytest.approx((a.error(t + h) - a.error(t - h)) / (2 * h), rel=1e-8)
    for e in a.extrema():
        assert a.error_slope(e.t) == pytest.approx(0, abs=1e-12)
    assert a.overfits().tolist() == [True, False] and case("B").overfits().tolist() == [True, True]
    assert a.regret() == pytest.approx(0.4902196852 - 0.34) and case("A_20").regret() == 0


def test_the_flow_is_the_closed_form():
    for modes in cases().values():
        times = np.linspace(0, 5, 11)
        np.testing.assert_allclose(flow(modes, times), modes.z(times), atol=1e-9)


@pytest.fixture(scope="module")
def descent():
    """Three modes of four inputs and three outputs, with rates of their own for the layers."""
    a, b, rates = np.array([0.3, 0.2, 0.1]), np.array([0.1, 0.1, -0.1]), (0.5, 2.0)
    gamma, eta = invariant(a, b, *rates)
    modes = Modes((1.0, 0.5, 2.0), (2.0, 1.0, 0.5), (0.0,) * 3, (1.0,) * 3, tuple(a * b), tuple(gamma), eta)
    data = regression(modes, n=200, inputs=4, outputs=3, noise=0.5)
    path = descend(data, data.layers(a, b, hidden=5), 1e-3, 10_000, rates)
    return modes, data, np.einsum("oi,toj,jk->tik", data.u, path, data.v)


def test_gradient_descent_on_the_matrices(descent):
    """The modes stay apart and follow the closed form, to the first order of the step."""
    modes, data, z = descent
    np.testing.assert_allclose(data.x.T @ data.x / 200 @ data.v, data.v * modes.lam, atol=1e-12)
    np.testing.assert_allclose(data.y.T @ data.x / 200 @ data.v, data.u * modes.s, atol=1e-12)
    off = z - np.einsum("tii,ij->tij", z, np.eye(3))
    assert np.abs(off).max() < 1e-12
    t = 1e-3 * np.arange(len(z))
    away = np.abs(np.einsum("tii->ti", z) - modes.z(t))
    assert away.max() < 5e-3 and away[-1].max() < 1e-5


def test_the_deviation_of_steps_is_of_first_order(descent):
    modes, data, z = descent
    half = descend(data, data.layers(np.array([0.3, 0.2, 0.1]), np.array([0.1, 0.1, -0.1]), 5), 2e-3, 1000, (0.5, 2.0))
    coarse = np.abs(np.einsum("oi,toj,ji->ti", data.u, half, data.v) - modes.z(2e-3 * np.arange(1001))).max()
    fine = np.abs(np.einsum("tii->ti", z[:2001]) - modes.z(1e-3 * np.arange(2001))).max()
    assert coarse / fine == pytest.approx(2, rel=0.02)


def test_wrong_modes():
    with pytest.raises(UsageError, match="equal lengths"):
        Modes((1.0,), (1.0, 2.0), (0.0,), (1.0,), (0.1,), (0.0,))
    with pytest.raises(UsageError, match="A_0, A_0.2"):
        case("D")
    with pytest.raises(UsageError, match="stands still"):
        one(0.0, 1.0, 1.0, 0.0).horizon()

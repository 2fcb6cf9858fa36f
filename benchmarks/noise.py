"""Data of the shapes of MEPS, whose values are noise, and the graph over them: speed does not depend on values."""

import numpy as np

from genkit_weather.area import frame_of, interior_of
from genkit_weather.data import Series, WeatherData
from genkit_weather.graphs import Graph, Mesh, limited, normalised

LEADS = 19


def weather(n: int, frame: int) -> WeatherData:
    """n x n cells with a frame of so many, 17 variables, 5 forcing and 4 static fields, enough for `LEADS` steps."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    time = np.datetime64("2022-04-01T00", "s") + np.arange(LEADS + 3) * np.timedelta64(3, "h")
    series = (Series(draw(len(time), n, n, 17), draw(len(time), n, n, 5), time),)
    names = tuple(f"v{i}" for i in range(17))
    return WeatherData(
        series, series, series, draw(n, n, 4), (frame, frame), names, names, names, tuple("abcde"), tuple("stuv"), 3.0
    )


def graphs(n: int, frame: int) -> tuple[Graph, Graph, np.ndarray, np.ndarray]:
    """The classic graph over n x n cells; the same with the frame as its boundary, and the cells inside and in it."""
    places = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).astype(float)
    whole = normalised(Mesh("rect_multiscale", strict=False).build(places.reshape(-1, 2), (n, n)))
    cells = np.arange(n * n).reshape(n, n, 1)
    inside, outside = (f(cells, (frame, frame)).ravel() for f in (interior_of, frame_of))
    return whole, limited(whole, inside, outside), inside, outside

"""The starts from which forecasts have all that they are given."""

from collections.abc import Iterable

from genkit_weather.data import WeatherData
from genkit_weather.host.frame import HostForecasts


def possible_starts(data: WeatherData, number: int, lag: int, leads: int) -> Iterable[int]:
    """Times of a test series that have `lag` before and `leads` after them, and boundary data of a host over these."""
    one = data.test[number]
    if data.around is not None:
        return map(int, data.around.starts("test", number, leads))
    if isinstance(one.host, HostForecasts):
        return map(int, one.host.starts(range(-lag, leads + 1)))
    return range(lag, len(one) - leads)

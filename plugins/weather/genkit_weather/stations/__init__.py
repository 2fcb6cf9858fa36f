"""In-situ verification: observations of stations, forecasts at their places, scores, reports of single cases."""

from genkit_weather.stations.compare import InSitu, at_stations, observed, wind_pairs
from genkit_weather.stations.observations import ERROR, read_stations
from genkit_weather.stations.report import report
from genkit_weather.stations.scores import station_reliability, station_scores, thresholds
from genkit_weather.stations.synthetic import synthetic_stations, write_stations
from genkit_weather.stations.wind import wind_components

__all__ = [
    "ERROR",
    "InSitu",
    "at_stations",
    "observed",
    "read_stations",
    "report",
    "station_reliability",
    "station_scores",
    "synthetic_stations",
    "thresholds",
    "wind_components",
    "wind_pairs",
    "write_stations",
]

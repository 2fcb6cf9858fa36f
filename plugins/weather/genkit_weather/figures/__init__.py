"""Figures of forecasts and their verification; each function returns a matplotlib Figure."""

from genkit_weather.figures.analyses import analysis_maps, analysis_ranks, errors_by_cycle, innovations
from genkit_weather.figures.continuous import coherence, noises, systems_by_lead
from genkit_weather.figures.distance import ablation, spread_by_distance
from genkit_weather.figures.leads import scores_by_lead
from genkit_weather.figures.maps import forecast_maps
from genkit_weather.figures.plume import plume
from genkit_weather.figures.ranks import rank_histogram
from genkit_weather.figures.reliability import reliability
from genkit_weather.figures.spectra import spectra
from genkit_weather.figures.spot import spot
from genkit_weather.figures.stations import station_map, station_scores, station_series
from genkit_weather.figures.style import FORECAST, GREY, INK, OTHERS, printed, unit, with_unit

__all__ = [
    "FORECAST",
    "GREY",
    "INK",
    "OTHERS",
    "ablation",
    "analysis_maps",
    "analysis_ranks",
    "coherence",
    "errors_by_cycle",
    "forecast_maps",
    "innovations",
    "noises",
    "plume",
    "printed",
    "rank_histogram",
    "reliability",
    "scores_by_lead",
    "spectra",
    "spot",
    "spread_by_distance",
    "station_map",
    "station_scores",
    "station_series",
    "systems_by_lead",
    "unit",
    "with_unit",
]

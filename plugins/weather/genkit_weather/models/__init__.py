"""Models of the weather plugin: recipes that train them, and what is trained."""

from genkit_weather.models.area import Area
from genkit_weather.models.trained import WeatherModel

__all__ = ["Area", "WeatherModel"]

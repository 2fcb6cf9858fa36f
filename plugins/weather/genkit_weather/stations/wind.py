"""Wind of observations as the components of a model."""

import numpy as np


def wind_components(speed: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eastward and northward wind (u, v) of a speed and the direction in degrees from which it blows.

    u = -s sin(d), v = -s cos(d): a westerly, d = 270, has u = s. A calm needs no direction.
    """
    angle = np.deg2rad(np.where(speed == 0, 0.0, direction))
    return -speed * np.sin(angle), -speed * np.cos(angle)

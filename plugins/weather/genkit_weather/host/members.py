"""Which series of a second data set belong to which of a first."""

from collections.abc import Sequence

import numpy as np

from genkit.errors import DataError
from genkit_weather.data import Series


def paired(own: Sequence[Series], other: Sequence[Series], what: str) -> list[tuple[Series, ...]]:
    """For each of `own` the series of `other` that may serve it.

    Series (forecasts: of one time of issue) over the same times are members. Those of `other` all serve where there is
    one at each time; else the i-th member serves the i-th of `own`.

    Raises:
        DataError: members that are not as many on both sides; `what` begins the line.
    """
    theirs = _members(other)
    if not own or (theirs is not None and not theirs.any()):
        return [tuple(other)] * len(own)
    ours = _members(own)
    if ours is None or theirs is None or ours.max(initial=-1) != theirs.max():
        raise DataError(
            f"{what}: {_told(theirs)} over the same times, for {_told(ours)} of the area; expected one, or one for "
            "each: choose a member"
        )
    return [tuple(one for one, number in zip(other, theirs, strict=True) if number == m) for m in ours]


def _members(series: Sequence[Series]) -> np.ndarray | None:
    """(n,) the member that each series is, by their order at each time; None where some times lack some of them."""
    if not series:
        return np.zeros(0, int)
    which = np.repeat(np.arange(len(series)), [len(one) for one in series])
    time = np.concatenate([one.time for one in series]).astype("datetime64[s]").astype(int)
    issued = np.array([0 if one.issued is None else one.issued.astype("datetime64[s]").astype(int) for one in series])
    order = np.lexsort((which, time, issued[which]))  # by issue and time, then as they come
    keys = np.stack([issued[which], time])[:, order]
    first = np.flatnonzero(np.r_[True, (np.diff(keys) != 0).any(0)])
    counts = np.diff(np.r_[first, len(order)])
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order)) - np.repeat(first, counts)
    number = np.zeros(len(series), int)
    number[which] = place
    return number if (counts == counts[0]).all() and (place == number[which]).all() else None


def _told(members: np.ndarray | None) -> str:
    if members is None:
        return "a changing number of series"
    return f"{members.max(initial=-1) + 1} series"

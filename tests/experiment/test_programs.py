"""Every experiment's programs would run on a GPU or a TPU, which this machine need not have."""

import pytest

from genkit.errors import DataError
from genkit.plugin import registry
from genkit.testing import check_experiment

EXPERIMENTS = [item.name for item in registry().items("experiments")]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_programs_lower_for_gpus_and_tpus(name):
    try:
        check_experiment(name)
    except AssertionError as error:
        if isinstance(error.__cause__, DataError):  # its data set is not here
            pytest.skip(str(error.__cause__))
        raise

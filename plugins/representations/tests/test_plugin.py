"""What the plugin registers."""

from genkit.testing import check_plugin


def test_the_plugin():
    check_plugin("representations")

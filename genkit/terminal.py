"""The terminal: what users and files say is text there, never markup."""

from typing import Any

from rich.console import Console


def console(**options: Any) -> Console:
    """A console that prints text as it is: ``t2m [degC]`` and ``:smile:`` stay what they are."""
    return Console(markup=False, emoji=False, highlight=False, **options)

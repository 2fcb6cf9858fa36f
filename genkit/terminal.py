"""The terminal: what users and files say is text there, never markup."""

from typing import Any

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the command end as without rich: quietly, with 0."""
        raise BrokenPipeError


def console(**options: Any) -> Console:
    """A console that prints text as it is: ``t2m [degC]`` and ``:smile:`` stay what they are."""
    return _Console(markup=False, emoji=False, highlight=False, **options)

"""Errors meant for the user: one line that says what was wrong, what was expected and what to do."""


class GenkitError(Exception):
    """Something the user can mend; the command line prints its one line and exits with 1."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of all frames."""
        from genkit.notebook import told

        return told(self)


class UsageError(GenkitError):
    """A wrong name, option or value; the command line exits with 2."""


class DataError(GenkitError):
    """Input data that cannot be used: missing file or variable, wrong shape, NaN, unknown unit."""

"""The command line. It finds the command in the registry, parses its options and prints errors as one line."""

from genkit.cli.main import main

__all__ = ["main"]

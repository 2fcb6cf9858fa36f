"""`genkit compare`: the results of runs side by side, those of equal configurations averaged over their seeds."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from genkit.errors import UsageError

SEEDS = 3  # of each configuration, that an interval needs
ITEMS = 20  # that a bootstrap needs: of few its interval is too narrow


@dataclass(frozen=True)
class Compare:
    """Compare the results of two or more runs, show in which options they differ, and which differences are sure.

    Runs that differ in their seeds alone are one column: mean and standard deviation over the seeds. Reads files only,
    so it works without the plugin.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or folders of runs, as of a sweep."""
    only: str = "*"
    """Pattern of the results to show, such as 'rmse/*/6h'."""

    def run(self) -> None:
        """Print the tables."""
        from genkit.experiment import Record, printed, run_folders
        from genkit.terminal import console

        folders = [one for path in self.runs for one in (list(run_folders(path)) or [path])]
        if len(folders) < 2:
            raise UsageError(f"compare needs at least two run folders, got {len(folders)}")
        records = [Record.read(folder) for folder in folders]
        names = list(dict.fromkeys(k for one in records for k in one.results if fnmatch.fnmatch(k, self.only)))
        if not names:
            raise UsageError(f"no result matches {self.only!r}; results.json of a run holds their names")
        groups = grouped(records)
        screen = console()

        def table(title: str, columns: Sequence[str], rows: Sequence[list[str]]) -> None:
            for part in printed(["", *columns], rows, title, screen.width):
                screen.print(part)

        if len(groups) == 1:  # all differ in their seeds alone
            table("results", [*titles([[one] for one in records]), "mean ± sd"], alone(records, names))
            return
        columns = titles(groups)
        table("options that differ", columns, options(groups))
        several = any(len(group) > 1 for group in groups)
        table("results" + several * " (mean ± sd of the seeds)", columns, averages(groups, names))
        if rows := differences(groups, names, of_seeds):
            table("differences from the first column (95 % t interval, equal seeds in pairs)", columns, rows)
        if rows := differences(groups, names, of_items):
            table("differences from the first column on the same items (95 % paired bootstrap)", columns, rows)


def titles(groups: Sequence[Sequence[Any]]) -> list[str]:
    """What tells the folders of groups apart: the path of the first below what all have in common, and how many.

    A sweep names the seed in its folders, which is left out of a group of several.
    """
    paths = [Path(os.path.abspath(group[0].folder)) for group in groups]
    common = os.path.commonpath([path.parent for path in paths])
    names = [str(path.relative_to(common)) for path in paths]
    seed = r"(?<=[^/]),seed=\d+|(?<![^/])seed=\d+(,|$)"
    return [
        f"{re.sub(seed, '', name).rstrip('/') or Path(common).name} ({len(group)} seeds)" if len(group) > 1 else name
        for name, group in zip(names, groups, strict=True)
    ]


def grouped(records: Sequence[Any]) -> list[list[Any]]:
    """Runs of the same configuration together, in the order of their first ones.

    A seed that comes again begins another group, as of another version of the code, which those that follow join.
    """
    groups: list[list[Any]] = []
    for record in records:
        about = record.experiment, record.options
        group = next((one for one in reversed(groups) if (one[0].experiment, one[0].options) == about), None)
        if group is None or record.seed in [one.seed for one in group]:  # a seed counts once
            groups.append([record])
        else:
            group.append(record)
    return groups


def alone(records: Sequence[Any], names: Sequence[str]) -> list[list[str]]:
    """Rows of runs that differ in their seeds alone: each, and what they have in common."""
    from genkit.experiment import cell

    seeds = ["seed", *(str(one.seed) for one in records), ""]
    return [seeds, *([k, *(cell(one.results.get(k)) for one in records), average(records, k)] for k in names)]


def options(groups: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Rows of the options in which the groups differ."""
    configs = [
        {"experiment": group[0].experiment, "seed": " ".join(str(one.seed) for one in group), **group[0].options}
        for group in groups
    ]
    keys = dict.fromkeys(k for c in configs for k in c)
    differ = [k for k in keys if len({str(c.get(k)) for c in configs}) > 1]
    return [[k, *(str(c.get(k, "–")) for c in configs)] for k in differ]


def averages(groups: Sequence[Sequence[Any]], names: Sequence[str]) -> list[list[str]]:
    """Rows of the results, averaged over the seeds of each group."""
    return [[name, *(average(group, name) for group in groups)] for name in names]


def average(group: Sequence[Any], name: str) -> str:
    """Mean and standard deviation (n - 1) of a result over runs; how many have it, where some have not."""
    from genkit.experiment import Estimate, cell

    values = values_of(group, name)
    if len(values) < 2:
        return cell(values[0]) if values else "–"
    some = f" ({len(values)} of {len(group)})" if len(values) < len(group) else ""
    return cell(Estimate(float(np.mean(values)), float(np.std(values, ddof=1)))) + some


def values_of(group: Sequence[Any], name: str) -> list[float]:
    """A result of those runs that have it."""
    return [value for one in group if (value := one.results.get(name)) is not None]


def differences(
    groups: Sequence[Sequence[Any]], names: Sequence[str], test: Callable[[Sequence[Any], Sequence[Any], str], Any]
) -> list[list[str]]:
    """Rows of what `test` says of each group and the first; none of a name for which it says nothing."""
    first, *others = groups
    found = [(name, [test(group, first, name) for group in others]) for name in names]
    return [[name, "–", *(one or "–" for one in row)] for name, row in found if any(row)]


def of_seeds(group: Sequence[Any], first: Sequence[Any], name: str) -> str | None:
    """Difference of the means over seeds, of equal seeds in pairs; None where they are few."""
    from genkit.metrics import t_interval

    a, b = ({one.seed: one.results.get(name) for one in some} for some in (group, first))
    if min(len(a), len(b)) < SEEDS or None in {*a.values(), *b.values()}:
        return None
    paired = set(a) == set(b)
    return _said(t_interval(list(a.values()), [b[s] for s in (a if paired else b)], paired))


def of_items(group: Sequence[Any], first: Sequence[Any], name: str) -> str | None:
    """Difference of scores that were kept item by item, averaged over the seeds; None of few or other items."""
    import jax

    from genkit.metrics import paired_bootstrap

    kept: list[Mapping[str, Any]] = [one.items for one in (*group, *first)]
    if not all(
        name in one and len(one["items"]) >= ITEMS and np.array_equal(one["items"], kept[0]["items"]) for one in kept
    ):
        return None
    a, b = (np.mean([one.items[name] for one in some], 0) for some in (group, first))
    return _said(paired_bootstrap(jax.random.key(0), a, b))


def _said(found: Any) -> str:
    from genkit.experiment import cell

    mean, low, high = (cell(float(v)) for v in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"

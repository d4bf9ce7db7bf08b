"""Show how far a long piece of work is: a bar on a terminal, nothing in a pipe."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from appliance.training.fit_run import Progress as Tell
from appliance.training.fit_run import silent


@contextmanager
def shown(what: str) -> Iterator[Tell]:
    """Give a function to tell (step, share done) to; draws on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    done = TextColumn("{task.percentage:>3.0f} %")
    columns = TextColumn("{task.description}"), BarColumn(), done, TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda step, share: bar.update(task, description=f"{what}: {step}", completed=share)


def part(tell: Tell, start: float, end: float) -> Tell:
    """Give a function that tells of a piece of the work, which goes from one share of the whole to another."""
    return lambda step, share: tell(step, start + (end - start) * share)

"""Write the report of a run as one HTML file one can look at."""

from pathlib import Path


def write(layout, loaded, collector, summary, done, broken, restarts):
    return layout.state / "report.html"

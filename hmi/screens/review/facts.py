"""Read what the review screen shows of a part, and nothing that the person may not see yet. No Qt."""

import sqlite3
import statistics
from collections.abc import Collection, Sequence

import msgspec
from msgspec import Struct

from appliance.decision.review_queue import WAITS
from appliance.labelling.error_matrix import checks
from appliance.labelling.queue import Task, Work, tasks
from appliance.labelling.standing import standing
from appliance.labelling.systematic import Flag, flags
from appliance.schema.clocks import UtcNs
from appliance.schema.finding import Finding, ViewResult
from appliance.schema.label import GOOD, UNSURE, Label, LabelLevel, Shown
from appliance.schema.review import SeededAnswer
from appliance.storage import label_queries, queries, review_queries

_answers = msgspec.msgpack.Decoder(SeededAnswer)


class KeptImage(Struct, frozen=True):
    """Name a picture of a part that is on the disk."""

    camera: str
    path: str
    size: tuple[int, int]
    """(rows, cols) of the frame."""


class PartFacts(Struct, frozen=True):
    """Hold what may be shown of one part for one task."""

    task: Task
    images: tuple[KeptImage, ...] = ()
    views: dict[str, ViewResult] = {}
    """What the model saw, by camera; empty where its answer is hidden."""
    shown: Shown | None = None
    """What a label says was on the screen; None: nothing of the model's answer."""
    labels: tuple[Label, ...] = ()
    """What others said; empty where the task is blind."""

    def finding(self, camera: str) -> Finding | None:
        """Give the strongest finding in a view that has a place; None: there is none, or it is hidden."""
        view = self.views.get(camera)
        placed = [one for one in view.findings if one.box is not None] if view is not None else []
        return max(placed, key=_strength, default=None)


class Progress(Struct, frozen=True):
    """Count what a person answered since an instant."""

    answers: int = 0
    median_s: float = 0.0


def read_part(connection: sqlite3.Connection, task: Task) -> PartFacts:
    """Read one part as the task lets it be seen."""
    newest = {str(row["camera"]): row for row in queries.images(connection, task.part) if row["path"] is not None}
    images = tuple(
        KeptImage(camera, str(row["path"]), (int(str(row["pixel_rows"])), int(str(row["pixel_columns"]))))
        for camera, row in sorted(newest.items())
    )
    labels = () if task.blind else standing(label_queries.labels_of(connection, task.part)).counted
    if task.prediction_hidden:
        return PartFacts(task, images, labels=labels)
    found = queries.inspection(connection, task.part)
    if found is None or found.bundle is None:
        return PartFacts(task, images, labels=labels)
    views = {view.camera: view for view in queries.views_of(found.views)}
    return PartFacts(task, images, views, shown_of(views.values(), found.disposition, found.bundle), labels)


def shown_of(views: Collection[ViewResult], disposition: str, bundle: str) -> Shown:
    """Give what of the model's answer the screen tells: the strongest finding over all views."""
    findings = [one for view in views for one in view.findings]
    best = max(findings, key=_strength, default=None)
    if best is None:
        return Shown(disposition, bundle=bundle)
    return Shown(disposition, best.kind, best.confidence, bundle)


def read_tasks(connection: sqlite3.Connection, person: str, level: LabelLevel, seed: int) -> list[Task]:
    """Read a person's work, most urgent first; the labels only where no part waits for him."""
    waiting = Work(tuple(review_queries.items(connection, WAITS)), ())
    return tasks(person, level, waiting, seed) or tasks(person, level, label_queries.work(connection), seed)


def read_progress(connection: sqlite3.Connection, person: str, since: UtcNs) -> Progress:
    """Count the answers of a person since an instant, those to seeded parts among them."""
    since_then = {"since": since, "person": person}
    told = connection.execute("SELECT seconds FROM labels WHERE utc_ns >= :since AND person = :person", since_then)
    seconds = [float(row[0]) for row in told]
    told = connection.execute("SELECT body FROM seeded_answers WHERE utc_ns >= :since AND person = :person", since_then)
    seconds += [_answers.decode(row[0]).label.seconds for row in told]
    return Progress(len(seconds), statistics.median(seconds) if seconds else 0.0)


def read_flags(connection: sqlite3.Connection, classes: Sequence[str], seed: int) -> list[Flag]:
    """Name the people whose answers show a systematic error, as the error matrix finds it."""
    said = label_queries.all_labels(connection)
    kinds = {label.kind for label in said} - {UNSURE}
    return flags(checks(said, seed, label_queries.seeded_answers(connection)), sorted({GOOD, *classes, *kinds}))


def read_classes(connection: sqlite3.Connection) -> list[str]:
    """Give the defect classes that people have named, the oldest first."""
    rows = connection.execute(
        "SELECT kind FROM labels WHERE kind NOT IN (?, ?) GROUP BY kind ORDER BY min(id)", (GOOD, UNSURE)
    )
    return [str(row[0]) for row in rows]


def _strength(finding: Finding) -> tuple[float, float]:
    return (finding.confidence if finding.confidence is not None else -1.0, finding.score)

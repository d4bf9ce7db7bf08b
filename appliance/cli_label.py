"""Read the commands of the labelling protocol: who is asked what, answers, the audit of people, agreement, snapshots.

As on the screen, a known answer is shown as a review, and nothing tells a random sample or a seeded part.
"""

import argparse
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.cli_models import AddCommand, Commands
from appliance.cli_station import Json, part_of, plain, record_of, station_file, tell, utc
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.label import Label, LabelLevel, Purpose, Region

if TYPE_CHECKING:
    from appliance.config import Loaded
    from appliance.labelling.queue import Task, Work
    from appliance.schema.command import Command
    from appliance.schema.part import PartId

ANSWER_MS = 5000
"""Longest wait for `record`: it answers once the label is on the disk."""
FINDING = 1


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands; station: adds the arguments that name a station."""
    label = commands.add_parser("label", help="label parts, audit labels, measure agreement, freeze a snapshot")
    actions = label.add_subparsers(metavar="ACTION", required=True)
    queue = command(actions, "queue", _queue, "list the work of a person, or how all labelled parts stand")
    queue.add_argument("--person", help="operator id")
    queue.add_argument("--level", type=int, choices=[1, 2, 3], help="default the person's own, 1 where nobody is known")
    submit = command(actions, "submit", _submit, "say what a part is")
    submit.add_argument("part", help="as `label queue` names it")
    submit.add_argument("kind", metavar="CLASS", help="good, a class of the taxonomy, or unsure")
    submit.add_argument("--person", required=True, help="operator id of who says it")
    submit.add_argument("--level", type=int, choices=[1, 2, 3], help="default the level at which it is asked")
    submit.add_argument("--purpose", choices=[one.value for one in Purpose], help="default as the person's queue says")
    submit.add_argument("--reason", default="", help="why, a few words; needed where a standing class is changed")
    submit.add_argument(
        "--box", action="append", default=[], metavar="CAMERA:X,Y,WIDTH,HEIGHT[:CLASS]", help="mark in px; repeatable"
    )
    submit.add_argument("--seconds", type=float, default=0.0, help="time taken, default 0: unknown")
    submit.add_argument("--prediction-shown", action="store_true", help="the model's finding was on the screen")
    audit = command(actions, "audit", _audit, "say how the audit stands and who takes one class for another")
    audit.add_argument("--since", metavar="YYYY-MM-DD", help="checks of answers given from this day on, UTC")
    agreement = command(actions, "agreement", _agreement, "measure agreement between people against the gate")
    snapshot = command(actions, "snapshot", _snapshot, "freeze which labelled images training may use now")
    snapshot.add_argument("--person", required=True, help="operator id of who asks")
    snapshot.add_argument("--why", required=True, help="what for, a few words")
    for parser in (queue, submit, audit, agreement, snapshot):
        station(parser)
    for parser in (queue, audit, agreement):
        parser.add_argument("--json", help="write JSON to this file, - for standard output alone")


def _queue(options: argparse.Namespace) -> int:
    from appliance.labelling.queue import tasks
    from appliance.labelling.wording import overview_lines
    from appliance.storage import label_queries

    with record_of(options) as (loaded, held):
        work = label_queries.work(held)
        if options.person is None:
            return tell(options.json, answer := _overview(loaded, work), overview_lines(answer))
        level = _level(held, options.person, options.level)
        found = tasks(options.person, level, work, loaded.recipe.policy.sample_seed)
    answer = {"person": options.person, "level": int(level), "tasks": [_task_row(task) for task in found]}
    return tell(options.json, answer, _queue_lines(answer))


def _task_row(task: "Task") -> Json:
    """Give what the person may see of a task."""
    shown = Purpose.REVIEW if task.purpose is Purpose.KNOWN_ANSWER else task.purpose
    return {
        "part": str(task.part),
        "purpose": shown.value,
        "occasion": task.occasion.value,
        "level": int(task.level),
        "blind": task.blind,
        "prediction_hidden": task.prediction_hidden,
        "since": utc(task.since),
    }


def _queue_lines(answer: Json) -> Iterator[str]:
    yield f"{len(answer['tasks'])} tasks for {answer['person']} at level {answer['level']}"
    for row in answer["tasks"]:
        hidden = "  prediction hidden" if row["prediction_hidden"] else ""
        yield f"  {row['purpose']:<12} {row['part']}  level {row['level']}  since {row['since']}{hidden}"


def _overview(loaded: "Loaded", work: "Work") -> Json:
    """Count how the labelled parts stand."""
    from appliance.labelling.audits import audit
    from appliance.labelling.queue import next_level
    from appliance.labelling.standing import State, by_part, standing

    standings = {part: standing(those, seeded=part in work.seeded) for part, those in by_part(work.labels).items()}
    states = [found.state for found in standings.values()]
    found = audit((label for label in work.labels if label.part not in work.seeded), loaded.recipe.policy.sample_seed)
    return {
        "waiting": len(work.waiting),
        "labelled": len(states),
        "states": {state.value: states.count(state) for state in State},
        "disputed": [
            {"part": str(part), "state": one.state.value, "level": _asked(next_level(one))}
            for part, one in standings.items()
            if one.state in {State.CONFLICT, State.UNSURE}
        ],
        "audits": {"drawn": found.drawn, "done": found.done},
    }


def _submit(options: argparse.Namespace) -> int:
    from appliance.labelling.queue import tasks
    from appliance.schema.command import SubmitLabel
    from appliance.schema.ids import uuid7
    from appliance.storage import label_queries

    part, now = part_of(options.part), UtcNs(time.time_ns())
    regions = tuple(_region(text, options.kind) for text in options.box)
    with record_of(options) as (loaded, held):
        level = _level(held, options.person, options.level)
        work = label_queries.work(held)
    found = next((one for one in tasks(options.person, level, work, _seed(loaded)) if one.part == part), None)
    purpose = _purpose(options, part, found)
    asked = found.level if found is not None and options.level is None else level
    label = Label(
        label_id=uuid7(now, secrets.randbits(74)),
        part=part,
        level=asked,
        person=options.person,
        kind=options.kind,
        seconds=options.seconds,
        prediction_shown=options.prediction_shown,
        at=now,
        purpose=purpose,
        reason=options.reason,
        regions=regions,
    )
    return _wish(loaded, SubmitLabel(label))


def _purpose(options: argparse.Namespace, part: "PartId", found: "Task | None") -> Purpose:
    if options.purpose is not None:
        return Purpose(options.purpose)
    if found is not None:
        return found.purpose
    if options.reason:
        return Purpose.CORRECTION
    raise ConfigError(
        f"part {part}: {options.person} is not asked about it now, see `label queue --person {options.person}`; to "
        "correct a label give --reason"
    )


def _region(text: str, kind: str) -> Region:
    """Read CAMERA:X,Y,WIDTH,HEIGHT[:CLASS]; ConfigError when it is something else."""
    from appliance.schema.finding import Box

    camera, _, rest = text.partition(":")
    numbers, _, own = rest.partition(":")
    try:
        x, y, width, height = map(float, numbers.split(","))
    except ValueError:
        x = y = width = height = -1.0
    if not camera or not (x >= 0 and y >= 0 and 0 < width < float("inf") and 0 < height < float("inf")):
        raise ConfigError(f"--box {text!r}: is no mark; it looks like top:120,80,32,18 or top:120,80,32,18:scratch")
    return Region(camera, own or kind, Box(x, y, width, height))


def _audit(options: argparse.Namespace) -> int:
    from appliance.labelling.audits import audit
    from appliance.labelling.error_matrix import checks, error_matrix
    from appliance.labelling.systematic import flags, is_fresh
    from appliance.labelling.times import level_times
    from appliance.labelling.wording import audit_lines
    from appliance.storage import label_queries

    since = _since(options.since)
    with record_of(options) as (loaded, held):
        labels = label_queries.all_labels(held)
        found = [one for one in checks(labels, _seed(loaded), label_queries.seeded_answers(held)) if one.at >= since]
        led = _anchoring(held, labels, _seed(loaded))
    classes = {label.kind for label in labels} | {check.truth for check in found}
    raised = flags(found, classes)
    fresh = [flag for flag in raised if is_fresh(flag, UtcNs(time.time_ns()))]
    answer = {
        "audit": plain(audit(labels, _seed(loaded))),
        "error_matrix": [plain(cell) for cell in error_matrix(found)],
        "flags": [plain(flag) | {"text": flag.text, "fresh": flag in fresh} for flag in raised],
        "anchoring": led,
        "times": [plain(one) for one in level_times(labels)],
    }
    tell(options.json, answer, audit_lines(answer))
    return FINDING if fresh else 0


def _anchoring(held: sqlite3.Connection, labels: Iterable[Label], seed: int) -> Json:
    """Compare answers with the model's, of parts that came into review because the model was unsure."""
    from appliance.labelling.anchoring import Answer, anchoring
    from appliance.labelling.draws import hides_prediction
    from appliance.schema.review import Occasion
    from appliance.storage import review_queries

    answers = []
    for label in labels:
        is_hidden = not label.prediction_shown and hides_prediction(seed, label.part, label.person)
        if label.purpose is not Purpose.REVIEW or not (is_hidden or label.prediction_shown):
            continue
        item = review_queries.standing(held, label.part)
        if item is not None and item.origin is Occasion.REVIEW:
            answers.append(Answer(*_compared(label.kind, _model_kind(held, label.part)), shown=label.prediction_shown))
    return plain(anchoring(answers))


def _model_kind(held: sqlite3.Connection, part: "PartId") -> str:
    """Give the class of the model's strongest finding; `good` where it found nothing."""
    from appliance.schema.label import GOOD
    from appliance.storage import queries

    row = queries.inspection(held, part)
    findings = [one for view in queries.views_of(row.views if row else None) for one in view.findings]
    best = max(findings, key=lambda one: (one.confidence or 0.0, one.score), default=None)
    return best.kind if best is not None else GOOD


def _compared(said: str, model: str) -> tuple[str, str]:
    """Give both answers in words that can be compared: an anomaly has no class, so any defect agrees with it."""
    from appliance.schema.label import GOOD, UNSURE

    return (model, model) if model == "anomaly" and said not in {GOOD, UNSURE} else (said, model)


def _agreement(options: argparse.Namespace) -> int:
    from appliance.labelling.audits import independent, kappas
    from appliance.labelling.wording import agreement_lines
    from appliance.learning.agreement import agreement, gate
    from appliance.storage import label_queries

    with record_of(options) as (_, held):
        told = independent(label_queries.all_labels(held))
    found = agreement(told.table)
    whole = gate(found.observed)
    refuted = [name for name, rate in found.per_class.items() if rate.n and rate.high < whole.limit]
    passes = whole.passes and not refuted
    answer = {
        "observed": plain(found.observed),
        "alpha": plain(found.alpha),
        "gate": {**plain(whole), "passes": passes, "refuted_classes": refuted},
        "per_class": {
            name: {"agreement": plain(rate), "alpha": plain(found.per_class_alpha[name]), "gate": plain(gate(rate))}
            for name, rate in found.per_class.items()
        },
        "pairs": [plain(pair) for pair in kappas(told)],
    }
    tell(options.json, answer, agreement_lines(answer))
    return 0 if passes else FINDING


def _snapshot(options: argparse.Namespace) -> int:
    from appliance import config
    from appliance.schema.command import FreezeSnapshot
    from appliance.schema.ids import uuid7

    wish = FreezeSnapshot(options.person, options.why, uuid7(UtcNs(time.time_ns()), secrets.randbits(74)))
    return _wish(config.load(station_file(options)), wish)


def _wish(loaded: "Loaded", command: "Command") -> int:
    """Send a wish to `record`; Refused says why not, LinkError that it did not answer."""
    import zmq

    from appliance.bus.control import ask
    from appliance.schema.command import Accepted

    with zmq.Context() as context:
        reply = ask(context, loaded.runtime, "record", command, ANSWER_MS)
    print((reply.detail if isinstance(reply, Accepted) else "") or "done")  # noqa: T201
    return 0


def _level(held: sqlite3.Connection, person: str, wanted: int | None) -> LabelLevel:
    """Give the level asked for, which may not exceed the person's; the person's own by default."""
    from appliance.storage import people_queries

    known = people_queries.person(held, person)
    if known is None:
        return LabelLevel(wanted or LabelLevel.CONFIRM)
    if wanted is not None and wanted > known.level:
        raise ConfigError(f"--level {wanted}: {person} labels up to level {int(known.level)}; give that or less")
    return LabelLevel(wanted or known.level)


def _seed(loaded: "Loaded") -> int:
    return loaded.recipe.policy.sample_seed


def _since(text: str | None) -> int:
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000 if text else 0
    except ValueError as cause:
        raise ConfigError(f"--since {text!r}: is no day; it looks like 2026-11-22") from cause


def _asked(level: LabelLevel | None) -> int | None:
    return int(level) if level is not None else None

"""Read the commands of the review queue, the random sample and the seeded parts.

What people may see before they decide is chosen here: of a part that waits the model's words are shown only where the
model did not know the part. A random sample or a seeded part looks like any other review.
"""

import argparse
import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from appliance.cli_models import AddCommand, Commands
from appliance.cli_station import Json, part_of, plain, record_of, station_file, tell, utc
from appliance.schema.part import PartId

if TYPE_CHECKING:
    from appliance.decision.escapes import EscapeEstimate, Share
    from appliance.decision.review_queue import Item
    from appliance.schema.command import Command

ANSWER_MS = 5000
"""Longest wait for `record`: it answers once the decision is on the disk."""

UNKNOWN_TEXT = "unknown defect - human review required"
HANDED_ON_TEXT = "somebody could not say - a quality engineer decides"


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands; station: adds the arguments that name a station."""
    review = commands.add_parser("review", help="see and decide the parts that wait for a person")
    actions = review.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, run: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
        parser = command(actions, name, run, what)
        station(parser)
        return parser

    listed = action("list", _list, "list the parts that wait for a person")
    listed.add_argument("--quality", action="store_true", help="as for a quality engineer: unknown parts first")
    shown = action("show", _show, "show what is known of a part; of one that waits only what its reviewer may see")
    shown.add_argument("part", help="as `review list` names it")
    escapes = action("escapes", _escapes, "bound the escapes by the random sample and by seeded parts")
    escapes.add_argument("--bundle", help="sha256:... of the bundle, default the one that judged last; all: of any")
    for parser in (listed, shown, escapes):
        parser.add_argument("--json", help="write JSON to this file, - for standard output alone")
    decide = action("decide", _decide, "decide a part that waits")
    decide.add_argument("part", help="as `review list` names it")
    way = decide.add_mutually_exclusive_group(required=True)
    way.add_argument("--accept", action="store_true", help="the part is good")
    way.add_argument("--reject", metavar="CLASS", help="the part has a defect of this class")
    decide.add_argument("--seconds", type=float, default=0.0, help="time taken, default 0: unknown")
    decide.add_argument("--prediction-shown", action="store_true", help="the model's finding was on the screen")
    quarantine = action("quarantine", _quarantine, "put a part that waits into quarantine")
    reinspect = action("reinspect", _reinspect, "let another person look again, out of quarantine too")
    for parser in (quarantine, reinspect):
        parser.add_argument("part", help="as `review list` or the record names it")
        parser.add_argument("--why", required=True, help="reason, a few words")
    seed = action("seed", _seed, "put a known defect on the line, or into review, to see whether it is found")
    seed.add_argument("kind", metavar="CLASS", help="class of the defect")
    seed.add_argument("--part", help="the part itself; default the next one that enters")
    for parser in (decide, quarantine, reinspect, seed):
        parser.add_argument("--person", required=True, help="operator id of who decides or asks")


def _list(options: argparse.Namespace) -> int:
    from appliance.decision.review_queue import WAITS, for_operators, for_quality
    from appliance.schema.review import Change
    from appliance.storage import review_queries

    with record_of(options) as (loaded, held):
        waiting = review_queries.items(held, WAITS)
        chosen = (for_quality if options.quality else for_operators)(waiting)
        answer = {
            "limit": loaded.recipe.policy.review_limit,
            **plain(review_queries.tally(held)),
            "parts": [_seen(held, item) for item in chosen],
            "unknown": sum(item.needs_quality for item in waiting),
            "quarantine": [_seen(held, item) for item in review_queries.items(held, (Change.QUARANTINED,))],
        }
    return tell(options.json, answer, _list_lines(answer))


def _list_lines(answer: Json) -> Iterator[str]:
    yield (
        f"{answer['waiting']} parts wait for a person (limit {answer['limit']}), {answer['unknown']} of them unknown: "
        f"a quality engineer's; {answer['quarantined']} in quarantine, {answer['decided']} decided"
    )
    for row in answer["parts"]:
        words = [row["occasion"], row["part"], "since", row["since"], row.get("text", ""), *row.get("reasons", ())]
        yield "  " + "  ".join(filter(None, words))
    for row in answer["quarantine"]:
        yield f"  quarantine  {row['part']}  since  {row['since']}  {row['why']}"


def _seen(held: sqlite3.Connection, item: "Item") -> Json:
    """Give what a reviewer may see of a part."""
    from appliance.decision.review_queue import shown_as
    from appliance.schema.review import Occasion
    from appliance.storage import review_queries

    row: Json = {"part": str(item.part), "occasion": shown_as(item).value, "since": utc(item.since)}
    if item.why:
        row["why"] = item.why
    if item.handed_on:
        row["text"] = HANDED_ON_TEXT
    if item.origin is Occasion.UNKNOWN:
        row["text"] = UNKNOWN_TEXT
        row["reasons"] = [reason.value for reason in review_queries.reasons_of(held, item.part)]
    return row


def _show(options: argparse.Namespace) -> int:
    from appliance.schema.errors import ConfigError
    from appliance.schema.review import Change
    from appliance.storage import queries, review_queries

    part = part_of(options.part)
    with record_of(options) as (loaded, held):
        found = queries.inspection(held, part)
        if found is None:
            raise ConfigError(f"part {part}: is not known to station {loaded.config.station.name}; see `review list`")
        item = review_queries.standing(held, part)
        answer: Json = {
            "part": found.part,
            "state": item.change.value if item is not None else "not in review",
            **(_seen(held, item) if item is not None else {}),
            "entered": utc(found.entered_utc_ns) if found.entered_utc_ns else None,
            "lane": found.hand_lane or found.lane,
            "images": [row["path"] for row in queries.images(held, part) if row["path"]],
        }
        if item is None or item.change is Change.DECIDED:
            verdicts = review_queries.manual_verdicts(held, part)
            answer |= {
                "occasion": item.origin.value if item is not None else None,
                "verdict": found.disposition,
                "reasons": list(queries.reasons(found)),
                "score": found.score,
                "manual": [
                    {"accept": one.accept, "kind": one.kind, "person": one.person, "occasion": one.occasion.value}
                    | {"seconds": one.seconds, "at": utc(one.at)}
                    for one in verdicts
                ],
                "sealed": _sealed(held, part),
                "seeded": review_queries.seeds(held).get(part, ("", ""))[0] or None if verdicts else None,
            }
    return tell(options.json, answer, _show_lines(answer))


def _show_lines(answer: Json) -> Iterator[str]:
    for name, value in answer.items():
        if value not in (None, [], ""):
            yield f"{name:<10} {'; '.join(map(str, value)) if isinstance(value, list) else value}"


def _sealed(held: sqlite3.Connection, part: PartId) -> Json | None:
    """Give what the model would have decided in parallel mode; None before a person has."""
    from appliance.storage import review_queries

    for row in review_queries.compared(held, part):
        return {"verdict": row.model.value, "reasons": [reason.value for reason in row.reasons], "score": row.score}
    return None


def _escapes(options: argparse.Namespace) -> int:
    from appliance.decision.escapes import estimate, seed_bound
    from appliance.storage import review_queries

    with record_of(options) as (_, held):
        newest = review_queries.newest_bundle(held)
        bundle = None if options.bundle == "all" else options.bundle or newest
        found = estimate(review_queries.strata(held, bundle))
        bounds = [seed_bound(count) for count in review_queries.seed_counts(held, bundle)]
    answer = {"bundle": bundle, "random_sample": plain(found), "seeded": [plain(bound) for bound in bounds]}
    lines = [
        f"bundle {bundle or 'any'}",
        *_sample_lines(found),
        *(
            f"seeded {bound.kind}: the model accepted {_share(bound.model)}; people accepted {_share(bound.people)}"
            for bound in bounds
        ),
    ]
    if not bounds:
        lines.append("no part was seeded: nothing bounds the escapes of a class; see `review seed`")
    return tell(options.json, answer, lines)


def _sample_lines(found: "EscapeEstimate") -> Iterator[str]:
    yield (
        f"random sample: of {found.parts} parts that the model would accept {found.drawn} were drawn, "
        f"{found.inspected} inspected, {found.found} found defective; {found.missing} wait"
    )
    if found.value is None:
        yield "escape rate: not known, no drawn part was inspected"
    else:
        how = "exact" if found.probabilities == 1 else f"exact, over {found.probabilities} probabilities of the draw"
        yield (
            f"escape rate: {found.value:.3%}, 95 % interval {found.low:.3%} to {found.high:.3%} "
            f"(n = {found.inspected}, {how}; the {found.missing} that wait taken as good below, as defective above)"
        )
    if found.outside:
        yield f"{found.outside} more parts were accepted and in no draw: nothing is known of them"


def _decide(options: argparse.Namespace) -> int:
    from appliance.schema.command import DecidePart

    return _wish(
        options,
        DecidePart(
            part=part_of(options.part),
            accept=options.accept,
            kind="good" if options.accept else options.reject,
            person=options.person,
            seconds=options.seconds,
            prediction_shown=options.prediction_shown,
        ),
    )


def _quarantine(options: argparse.Namespace) -> int:
    from appliance.schema.command import QuarantinePart

    return _wish(options, QuarantinePart(part_of(options.part), options.person, options.why))


def _reinspect(options: argparse.Namespace) -> int:
    from appliance.schema.command import ReinspectPart

    return _wish(options, ReinspectPart(part_of(options.part), options.person, options.why))


def _seed(options: argparse.Namespace) -> int:
    from appliance.schema.command import SeedPart

    part = part_of(options.part) if options.part is not None else None
    return _wish(options, SeedPart(options.kind, options.person, part))


def _wish(options: argparse.Namespace, command: "Command") -> int:
    """Send a wish to `record`; Refused says why not, LinkError that it did not answer."""
    import zmq

    from appliance import config
    from appliance.bus.control import ask
    from appliance.schema.command import Accepted

    loaded = config.load(station_file(options))
    with zmq.Context() as context:
        reply = ask(context, loaded.runtime, "record", command, ANSWER_MS)
    print(reply.detail if isinstance(reply, Accepted) else "done")  # noqa: T201
    return 0


def _share(share: "Share") -> str:
    if share.value is None:
        return "0 of 0"
    return f"{share.k} of {share.n} ({share.value:.1%}, 95 % interval {share.low:.1%} to {share.high:.1%})"

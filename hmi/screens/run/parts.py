"""Word one part: what was decided, why in plain words, how close it was; and its place in the strip. No Qt."""

from collections.abc import Mapping
from typing import Any

from appliance.decision.gauge import gauge_of
from appliance.schema.part import PartId
from appliance.schema.policy import Mode, Policy
from appliance.storage.parallel import Told
from hmi.bundle_facts import BundleFacts
from hmi.header import Speaks
from hmi.screens.run import figures, wording
from hmi.screens.run.shown import Answer, answer_of, mark_of
from hmi.state import SeenPart, StationState

STRIP = 12
"""Last parts offered; the screen shows as many as fit."""


def verdict_fields(
    seen: SeenPart | None,
    answer: Answer | None,
    camera: str,
    mode: Mode | None,
    facts: BundleFacts,
    policy: Policy,
    words: Speaks,
) -> dict[str, Any]:
    """Give the plate of a part with reasons and gauge; `model` is what the model said beside a person's own word."""
    if seen is None:
        nothing = figures.gauge_fields(None, words)
        return {"state": "", "detail": words.tr("No part yet"), "lines": [], "model": "", "gauge": nothing}
    view = answer.view(camera) if answer is not None else None
    gauge = None
    if answer is not None and view is not None and answer.bundle == facts.bundle:
        gauge = gauge_of(view, facts.limits_in(answer.precision), policy)
    return {
        "state": mark_of(seen, mode),
        "detail": named(seen.part, words) + (f" \u00b7 {seen.manual.person}" if seen.manual is not None else ""),
        "lines": lines(seen, answer, mode, words),
        "model": answer.disposition.value if answer is not None and seen.manual is not None else "",
        "gauge": figures.gauge_fields(gauge, words),
    }


def lines(seen: SeenPart, answer: Answer | None, mode: Mode | None, words: Speaks) -> list[str]:
    """Give the reasons in plain words: why it was decided so, which rules broke, what the gate did of its own."""
    found = []
    if answer is not None:
        found += [words.tr(wording.REASON_SAYS[reason]) for reason in answer.reasons]
        found += [line for view in answer.views for line in view.broken_rules]
    if seen.withheld and mode is Mode.PRIMARY:
        found.append(words.tr("What the model saw is shown when a person has decided."))
    gate = seen.actuation
    if gate is not None and gate.cause in wording.CAUSE_SAYS:
        found.append(words.tr(wording.CAUSE_SAYS[gate.cause]))
    return list(dict.fromkeys(found))


def strip_fields(
    state: StationState, told: Mapping[PartId, Told], camera: str, held: PartId | None, words: Speaks
) -> list[dict[str, Any]]:
    """Give the last parts, newest first."""
    entries = []
    for seen in state.parts[:STRIP]:
        answer = answer_of(seen, state.mode, told.get(seen.part))
        entries.append(
            {
                "part": str(seen.part),
                "number": named(seen.part, words),
                "state": mark_of(seen, state.mode),
                "model": answer.disposition.value if answer is not None and seen.manual is not None else "",
                "source": f"part:{seen.part}/{camera}",
                "chosen": seen.part == held,
            }
        )
    return entries


def named(part: PartId, words: Speaks) -> str:
    """Give a part's name for people: its number since the microcontroller's start."""
    return words.tr("Part {n}").format(n=part.number)


def readable(kind: str) -> str:
    """Give a class as people read it; taxonomies write words together."""
    return kind.replace("_", " ")

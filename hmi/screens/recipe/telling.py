"""Put into plain words what is in force, proposed and installed; figures and services' own texts stay as they are."""

from collections.abc import Iterator
from typing import Any, Protocol

from appliance.governance.proposal import Proposal
from appliance.governance.wording import checked
from appliance.schema.bundle import GoodOnlyCalibration
from appliance.schema.policy import Basis, Mode, Policy
from appliance.schema.recipe import Recipe
from hmi.screens.recipe.standing import Figure, Installed, Standing, Version

ID_LETTERS = 23
"""Of a bundle's id: `sha256:` and 16 hex digits are what people compare."""

Lines = Iterator[tuple[str, str]]
"""Icon (empty: none) and text."""


class Speaks(Protocol):
    """Say texts and figures in the language of the screen."""

    def tr(self, text: str) -> str:
        """Give a text in the language of the screen."""

    def number(self, value: float, decimals: int = 0) -> str:
        """Give a number as the language writes it."""

    def percent(self, share: float, decimals: int = 1) -> str:
        """Give a share, 0 to 1, in percent."""

    def moment(self, utc_ns: int) -> str:
        """Give date, hour and minute at the station."""


def decides(recipe: Recipe, words: Speaks) -> str:
    """Say who opens the gate."""
    if recipe.mode is Mode.PRIMARY:
        return words.tr("The model decides and may open the gate")
    return words.tr("People decide each part; the model's answer stays sealed")


def recipe_lines(standing: Standing, words: Speaks, running: str) -> Lines:
    """Say what is in force. running: digest of the recipe that the line works by, empty where it does not say."""
    recipe, tr = standing.loaded.recipe, words.tr
    yield "", decides(recipe, words)
    approval = standing.loaded.approval
    yield ("tick", _signed(standing, words)) if approval is not None else ("", tr("Nobody has signed this version"))
    yield "", tr("Bundle: {bundle}").format(bundle=recipe.bundle)
    yield "", tr("Shadow bundle: {bundle}").format(bundle=recipe.shadow) if recipe.shadow else tr("No shadow bundle")
    yield "", tr("Cameras: {cameras}").format(cameras=", ".join(recipe.views))
    yield "", tr("Rules beside the score: {n}").format(n=words.number(len(recipe.rules)))
    if running and running != standing.digest:
        yield "warning", tr("The line still works by another version: this one holds from the services' next start")


def policy_lines(policy: Policy, words: Speaks) -> Lines:
    """Say how scores become dispositions."""
    tr, risk = words.tr, policy.risk
    if policy.basis is Basis.RISK and risk is not None:
        yield (
            "",
            tr("Accepted up to score {low}, rejected over {high}; a person looks in between").format(
                low=words.number(risk.accept_below, 3), high=words.number(risk.reject_above, 3)
            ),
        )
    elif policy.basis is Basis.CONFIDENCE:
        yield (
            "",
            tr("Accepted over {high} confidence, rejected under {low}; a person looks in between").format(
                low=words.percent(policy.bands.reject_below, 0), high=words.percent(policy.bands.accept_above, 0)
            ),
        )
        for kind, bands in policy.class_bands.items():
            yield "", f"{kind}: {words.percent(bands.reject_below, 0)} - {words.percent(bands.accept_above, 0)}"
    else:
        yield "", tr("Parts are held against the bundle's limits, which were set from good parts alone")
    if policy.novelty == "required":
        yield (
            "",
            tr("Unknown parts are held; at most {share} of known parts are taken for unknown").format(
                share=words.percent(policy.unknown_rate)
            ),
        )
    else:
        yield "warning", tr("Unknown parts are not looked for")
    yield (
        "",
        tr("{share} of the parts that would be accepted go to a person, drawn at random").format(
            share=words.percent(policy.sample_share)
        ),
    )
    yield (
        "",
        tr("At most {n} parts wait for a person, {minutes} min at most; then they go into quarantine").format(
            n=words.number(policy.review_limit), minutes=words.number(policy.review_minutes)
        ),
    )


def promise_lines(standing: Standing, words: Speaks) -> Lines:
    """Say what escape rate is promised, on what ground, and whether that stands."""
    tr, risk = words.tr, standing.loaded.recipe.policy.risk
    if risk is None:
        yield "", tr("No escape rate is promised: the limits do not come from defective parts")
        return
    yield (
        "",
        tr("At most {rate} of defective parts are accepted, with {assurance} assurance").format(
            rate=words.percent(risk.escape_rate), assurance=words.percent(risk.assurance, 0)
        ),
    )
    yield (
        "",
        tr("Ground: {escaped} of {defects} defective parts were accepted, {good} good parts").format(
            escaped=words.number(risk.escaped), defects=words.number(risk.defects), good=words.number(risk.good)
        ),
    )
    if risk.classes:
        yield "", tr("Each by itself: {classes}").format(classes=", ".join(risk.classes))
    if standing.void:
        yield "warning", f"{tr('The promise does not stand')}: {standing.void}"
    else:
        yield "tick", tr("The promise stands")


def parallel_lines(standing: Standing, words: Speaks) -> Lines:
    """Say what parallel mode must have shown, and has."""
    if standing.loaded.recipe.mode is Mode.PRIMARY:
        yield "", words.tr("Parallel mode is over: the model decides")
        return
    if not standing.required:
        yield "question", words.tr("The record cannot be read: it is not known what parallel mode has shown")
    for one in standing.required:
        yield "tick" if one.met else "clock", one.text


def version_state(version: Version, words: Speaks, *, two_persons: bool) -> str:
    """Say in a few words where a version stands."""
    tr = words.tr
    if version.fault:
        return tr("cannot be read")
    place = "in force" if version.in_force else "was in force" if version.was_in_force else "proposed"
    if not version.signed:
        return f"{tr(place)}, {tr('not signed')}"
    if two_persons and len(version.signed) < 2:
        return f"{tr(place)}, {tr('a second person must sign')}"
    return f"{tr(place)}, {tr('signed')}"


def version_lines(version: Version, words: Speaks) -> Lines:
    """Say who proposed a version, why, what it changes and what it is expected to do."""
    tr, proposal = words.tr, version.proposal
    if version.fault:
        yield "warning", version.fault
        return
    if version.recipe is not None:
        yield "", decides(version.recipe, words)
    if proposal is not None:
        yield (
            "",
            tr("Proposed by {person} on {moment}").format(person=proposal.proposer, moment=words.moment(proposal.at)),
        )
        yield "", proposal.why
        yield from predicted_lines(proposal, words)
        if proposal.spot_check is not None:
            yield "check-list", checked(proposal.spot_check)
    if version.approval is not None:
        yield (
            "tick",
            tr("Signed by {people} on {moment}").format(
                people=", ".join(version.signed), moment=words.moment(version.approval.at)
            ),
        )
        yield "", version.approval.meaning
    for change in version.changes:
        yield "", _kept(f"{change.key}: {change.before or '-'} → {change.after or '-'}")


def predicted_lines(proposal: Proposal, words: Speaks) -> Lines:
    """Say what a version is expected to do, and what the numbers rest on."""
    found = proposal.predicted
    for name, count in (
        ("Escapes: defective parts accepted", found.escapes),
        ("Overkill: good parts not accepted", found.overkill),
        ("Review load: parts shown to a person", found.review),
    ):
        value = count.k / count.n if count.n else None
        yield "chart", figure_text(Figure(words.tr(name), value, count.low, count.high, count.k, count.n), words)
    yield "", found.words
    if proposal.missing:
        yield "", f"{words.tr('Missing for the next step')}: {', '.join(proposal.missing)}"


def bundle_lines(found: Installed, words: Speaks) -> Lines:
    """Say what a bundle is and what its data sheet shows."""
    tr = words.tr
    if found.fault or found.manifest is None:
        yield "warning", found.fault
        return
    made = found.manifest
    yield "", found.id[:ID_LETTERS]
    yield "", f"{made.task.value}, {made.precision.value}, {made.runtime}, {made.created}"
    yield (
        "",
        tr("Made from {n} images, {share} of them rendered").format(
            n=words.number(made.data.images), share=words.percent(made.data.synthetic_share)
        ),
    )
    if isinstance(made.calibration, GoodOnlyCalibration):
        yield (
            "",
            tr("Expected overkill {share}, at most {upper} (95 %), from {n} good images").format(
                share=words.percent(made.calibration.overkill_expected),
                upper=words.percent(made.calibration.overkill_upper),
                n=words.number(made.calibration.images),
            ),
        )
    else:
        yield "", tr("No limits from good parts")
    if made.novelty is None:
        yield "warning", tr("Cannot tell unknown parts: accepts nothing where they must be held")
    if found.sheet is None:
        yield "", tr("No data sheet lies with it")
    else:
        for figure in (*found.sheet.decision, *found.sheet.metrics):
            yield "chart", figure_text(figure, words)
        for text in (found.sheet.promise, *found.sheet.limits):
            if text:
                yield "", text
    yield "info", tr("Not signed: bundles carry no signature yet")


def figure_text(figure: Figure, words: Speaks) -> str:
    """Give one figure with its counts and 95 % interval."""
    if figure.value is None:
        return f"{figure.name}: -"
    if figure.k is None or figure.n is None:
        return f"{figure.name}: {words.number(figure.value, 3)}"
    between = ""
    if figure.low is not None and figure.high is not None:
        between = f", 95 %: {words.percent(figure.low)} - {words.percent(figure.high)}"
    return f"{figure.name}: {_kept(f'{words.percent(figure.value)} ({figure.k} / {figure.n}{between})')}"


def _kept(text: str) -> str:
    """Keep figures in their own order inside a language that is written from the right."""
    return f"\u2066{text}\u2069"


def as_rows(lines: Lines) -> list[dict[str, Any]]:
    """Give lines as the screen's list takes them."""
    return [{"icon": icon, "text": text} for icon, text in lines if text]


def _signed(standing: Standing, words: Speaks) -> str:
    approval = standing.loaded.approval
    if approval is None:
        return ""
    people = approval.person if approval.second is None else f"{approval.person}, {approval.second.person}"
    return words.tr("Signed by {people} on {moment}").format(people=people, moment=words.moment(approval.at))

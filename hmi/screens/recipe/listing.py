"""Say what the recipe screen lists: rows of a tab, lines of the chosen one, and which deeds are open to whom. No Qt."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from appliance.governance.approval import MEANINGS
from appliance.governance.rights import Right, may, sign_fault
from appliance.schema.health import Component
from appliance.schema.person import Person
from hmi.screens.recipe import telling
from hmi.screens.recipe.standing import Installed, Standing, Version
from hmi.screens.recipe.telling import Speaks

SECTIONS: Final = {
    "recipe": ("Recipe", "recipe"),
    "policy": ("From score to decision", "check-list"),
    "promise": ("Promise", "info"),
    "parallel": ("Parallel mode", "person"),
}


class Kind(Struct, frozen=True):
    """State one kind of deed: its key on the screen, its icon, and the right it needs."""

    text: str
    icon: str
    right: Right
    unit: str = ""
    """Who is asked; empty: files are changed here."""


KINDS: Final = {
    "approve": Kind("Approve", "key", Right.APPROVE),
    "activate": Kind("Put in force", "tick", Right.ACTIVATE),
    "roll_back": Kind("Go back", "undo", Right.ROLL_BACK),
    "make_key": Kind("Make my signing key", "plus", Right.APPROVE),
    "change_over": Kind("Change over", "reset", Right.CHANGE_RECIPE, "line"),
    "stage": Kind("Make ready", "play", Right.ACTIVATE, "judge"),
    "activate_bundle": Kind("Put in force", "tick", Right.ACTIVATE, "judge"),
    "roll_back_bundle": Kind("Go back", "undo", Right.ROLL_BACK, "judge"),
}


class Sight(Struct, frozen=True):
    """State what the screen looks at, and who does."""

    found: Standing
    tab: str
    chosen: str
    person: Person | None
    has_key: bool
    """A signing key of the person lies here or on a stick."""
    judge: tuple[Component, ...]
    """What `judge` says of itself; empty while it is silent."""
    running: str
    """Digest of the recipe that the line works by; empty where it does not say."""


def active(judge: Sequence[Component]) -> str:
    """Give the id of the bundle that decides; empty where `judge` names none."""
    causes = (one.cause for one in judge if one.name == "bundle")
    return next((cause for cause in causes if cause.startswith("sha256:")), "")


def meaning(sight: Sight) -> str:
    """Give what a signature under the chosen version stands for; empty where there is no such version."""
    version = _version(sight)
    return MEANINGS[version.recipe.mode] if version is not None and version.recipe is not None else ""


def rows(sight: Sight, words: Speaks) -> list[dict[str, Any]]:
    """Give the rows of the tab."""
    found = sight.found
    told: list[tuple[str, str, str, str]]
    match sight.tab:
        case "force":
            recipe = found.loaded.recipe
            name = f"{recipe.number} {recipe.name}, {words.tr('version {n}').format(n=recipe.version)}"
            told = [
                (key, words.tr(text), icon, name if key == "recipe" else "") for key, (text, icon) in SECTIONS.items()
            ]
        case "versions":
            told = [_version_row(one, sight, words) for one in found.versions]
        case "model":
            told = [(one.path, one.path, *_bundle_state(sight, one, words)) for one in found.installed]
        case _:
            told = [_recipe_row(one.file, sight, words) for one in found.others]
    return [
        {"name": name, "text": text, "icon": icon, "caption": caption, "chosen": name == sight.chosen}
        for name, text, icon, caption in told
    ]


def lines(sight: Sight, words: Speaks) -> list[dict[str, Any]]:
    """Give the lines of the chosen row."""
    found, recipe = sight.found, sight.found.loaded.recipe
    match sight.tab:
        case "force":
            told: dict[str, Callable[[], telling.Lines]] = {
                "recipe": lambda: telling.recipe_lines(found, words, sight.running),
                "policy": lambda: telling.policy_lines(recipe.policy, words),
                "promise": lambda: telling.promise_lines(found, words),
                "parallel": lambda: telling.parallel_lines(found, words),
            }
            return telling.as_rows(told[sight.chosen]()) if sight.chosen in told else []
        case "versions":
            version = _version(sight)
            return telling.as_rows(telling.version_lines(version, words)) if version is not None else []
        case "model":
            bundle = next((one for one in found.installed if one.path == sight.chosen), None)
            staging = [("play", one.cause) for one in sight.judge if one.name == "staging"]
            return telling.as_rows(iter([*staging, *telling.bundle_lines(bundle, words)])) if bundle is not None else []
    other = next((one for one in found.others if one.file == sight.chosen), None)
    if other is None or other.recipe is None:
        return telling.as_rows(iter([("warning", other.fault if other is not None else "")]))
    policy = telling.policy_lines(other.recipe.policy, words)
    return telling.as_rows(iter([("", telling.decides(other.recipe, words)), *policy]))


def keys(sight: Sight, words: Speaks) -> list[dict[str, Any]]:
    """Give the keys of the tab, each with why it is off."""
    shown = []
    for kind, forbidden in _deeds(sight):
        key = KINDS[kind]
        why = forbidden if may(sight.person, key.right) else "Your role may not do this"
        shown.append(
            {
                "name": kind,
                "text": words.tr(key.text),
                "icon": key.icon,
                "able": not why,
                "reason": words.tr(why) if why else "",
            }
        )
    return shown


def _deeds(sight: Sight) -> list[tuple[str, str]]:
    """Give the deeds of the tab with what forbids each; empty: nothing does."""
    match sight.tab:
        case "versions":
            return _version_deeds(sight)
        case "model":
            return _bundle_deeds(sight)
        case "recipes":
            other = next((one for one in sight.found.others if one.file == sight.chosen), None)
            if other is None or other.recipe is None:
                return [("change_over", "It cannot be read")]
            here = other.recipe.number == sight.found.loaded.recipe.number
            return [("change_over", "It is in force" if here else "")]
    return []


def _version_deeds(sight: Sight) -> list[tuple[str, str]]:
    found, version = sight.found, _version(sight)
    two = found.loaded.config.approval.two_persons
    if version is None or version.proposal is None:
        sign = put = "This version was not proposed"
    elif version.in_force:
        sign = put = "It is in force"
    else:
        taken = sign_fault(sight.person, version.proposal.proposer, version.signed, two_persons=two)
        sign = "Signed already" if taken else "" if sight.has_key else "You have no signing key"
        put = "" if len(version.signed) >= (2 if two else 1) else "Not signed by all who must"
    earlier = any(done.version == found.loaded.recipe.version for done in found.activations)
    return [
        ("approve", sign),
        ("activate", put),
        ("roll_back", "" if earlier else "No earlier version was in force"),
        ("make_key", ""),
    ]


def _bundle_deeds(sight: Sight) -> list[tuple[str, str]]:
    chosen = next((one for one in sight.found.installed if one.path == sight.chosen), None)
    name = chosen.id if chosen is not None else ""
    absent = "" if sight.judge else "The judge does not answer"
    here = "It is in force" if name and name == active(sight.judge) else ""
    staging = _staging(sight)
    ready = "ready to be activated" in staging and name != "" and name in staging
    broken = "It cannot be read" if chosen is not None and chosen.fault else ""
    return [
        ("stage", absent or here or broken),
        ("activate_bundle", absent or here or ("" if ready else "Make it ready first")),
        ("roll_back_bundle", absent),
    ]


def _version_row(one: Version, sight: Sight, words: Speaks) -> tuple[str, str, str, str]:
    marks = ((one.fault, "warning"), (one.in_force, "tick"), (one.was_in_force, "clock"))
    icon = next((mark for holds, mark in marks if holds), "question")
    two = sight.found.loaded.config.approval.two_persons
    text = words.tr("Version {n}").format(n=one.number)
    return str(one.number), text, icon, telling.version_state(one, words, two_persons=two)


def _recipe_row(file: str, sight: Sight, words: Speaks) -> tuple[str, str, str, str]:
    one = next(other for other in sight.found.others if other.file == file)
    if one.recipe is None:
        return file, file, "warning", words.tr("cannot be read")
    here = one.recipe.number == sight.found.loaded.recipe.number
    text = f"{one.recipe.number} {one.recipe.name}"
    return file, text, "tick" if here else "recipe", words.tr("in force") if here else ""


def _bundle_state(sight: Sight, one: Installed, words: Speaks) -> tuple[str, str]:
    """Give icon and words for where a bundle stands."""
    tr, staging, recipe = words.tr, _staging(sight), sight.found.loaded.recipe
    if one.fault:
        return "warning", tr("cannot be read")
    if one.id == active(sight.judge):
        return "tick", tr("in force")
    if one.id in staging:
        return ("undo", tr("kept to go back to")) if "rollback" in staging else ("play", tr("ready"))
    if one.path == recipe.shadow:
        return "eye", tr("shadow: decides nothing")
    if one.path == recipe.bundle:
        return "recipe", tr("the recipe's own")
    return "box", tr("installed")


def _staging(sight: Sight) -> str:
    return " ".join(one.cause for one in sight.judge if one.name == "staging")


def _version(sight: Sight) -> Version | None:
    return next((one for one in sight.found.versions if str(one.number) == sight.chosen), None)

"""Choose the part on the screen, and what of the model's answer may stand beside it. No Qt.

In parallel mode nothing here depends on the model before a person has decided the part: `answer_of` is the only way to
an answer, and it asks for the manual verdict first.
"""

from msgspec import Struct

from appliance.schema.finding import ViewResult
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition, Reason
from appliance.storage.parallel import Told
from hmi.state import SeenPart, StationState


class Answer(Struct, frozen=True):
    """Give what the model said of a part."""

    disposition: Disposition
    reasons: tuple[Reason, ...]
    views: tuple[ViewResult, ...] = ()
    precision: str = ""
    bundle: str = ""
    """`sha256:...` of what judged; empty: not known."""

    def view(self, camera: str) -> ViewResult | None:
        """Give what was made of one camera's frame; None: nothing."""
        return next((one for one in self.views if one.camera == camera), None)


def answer_of(seen: SeenPart, mode: Mode | None, told: Told | None) -> Answer | None:
    """Give the model's answer as far as people may see it; None: none yet, or not yet for their eyes.

    told: what the record database holds of the part since a person decided it in parallel mode.
    """
    if mode is Mode.PRIMARY and seen.verdict is not None:
        result = seen.result
        views = result.views if result is not None and not seen.withheld else ()
        by = (result.precision, result.bundle) if result is not None else ("", "")
        return Answer(seen.verdict.disposition, seen.verdict.reasons, views, *by)
    if seen.manual is None or told is None or told.compared.part != str(seen.part):
        return None
    return Answer(told.compared.model, told.compared.reasons, told.views, told.compared.precision, told.compared.bundle)


def newest(state: StationState) -> SeenPart | None:
    """Give the part that live shows: the newest that was decided, else the newest with a picture."""
    decided = (one for one in state.parts if (one.verdict is not None or one.manual is not None) and one.frames)
    return next(decided, next((one for one in state.parts if one.frames), None))


def mark_of(seen: SeenPart, mode: Mode | None) -> str:
    """Give the state of a part for its mark: what was decided, by whom it counts; empty: nobody has decided yet.

    Where the verdict was not heard, as of parts on the belt when the touchscreen started, it is the one the gate held.
    """
    if mode is not Mode.PRIMARY or (seen.verdict is None and seen.manual is not None):
        if seen.manual is None:
            return ""
        return Disposition.ACCEPT.value if seen.manual.accept else Disposition.REJECT.value
    if seen.verdict is None:
        return "" if seen.actuation is None else seen.actuation.disposition.value
    return seen.verdict.disposition.value

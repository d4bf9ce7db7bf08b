"""Bring each wish for `record` to the desk that answers it, once it is known who wishes and that this person may."""

from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.command import ChangePerson, FreezeSnapshot, NoteAlarm, NoteDeed, SubmitLabel
from appliance.services import _review_desk
from appliance.services._label_desk import LabelDesk
from appliance.services._people_desk import PeopleDesk
from appliance.services._review_desk import Deed, ReviewDesk
from appliance.storage.record_store import RecordStore

Wish = _review_desk.Wish | SubmitLabel | ChangePerson | NoteAlarm | NoteDeed | FreezeSnapshot


class Desks:
    """Hold the desks of one store. One thread; nothing a wish leads to has happened before it is kept."""

    def __init__(self, store: RecordStore, review: ReviewDesk) -> None:
        """Take the store, and the desk of the parts that wait."""
        self._review = review
        self._people = PeopleDesk(store)
        self._labels = LabelDesk(store, review)

    def answer(self, wish: Wish, now: HostNs, utc: UtcNs) -> Deed:
        """Say what a wish leads to; Refused says why it leads nowhere. Sent again by its id, it leads to nothing."""
        match wish:
            case ChangePerson():
                return self._people.change(wish)
            case NoteDeed():
                return self._people.note_deed(wish)
        person = self._people.check(wish)
        match wish:
            case NoteAlarm():
                return self._people.note_alarm(wish)
            case SubmitLabel():
                return self._labels.submit(wish.label, person, now, utc)
            case FreezeSnapshot():
                return self._labels.freeze(wish)
        return self._review.answer(wish, now, utc)

"""Change the recipe on the PLC's wish: once nothing is pending, with an answer, within a time limit; pure.

JobChange 1 -> nothing pending -> Changeover 1 -> the station answers -> Changeover 0, JobAnswer -> JobChange 0
"""

from appliance.outputs.plc.registers import JobAnswer
from appliance.schema.clocks import HostNs


class JobChange:
    """Follow one JobChange at a time."""

    def __init__(self, limit_ns: int) -> None:
        """Refuse a change that is not done within a limit, whatever holds it up; the old recipe stays."""
        self.number: int | None = None
        """Recipe asked for; None: no change is wanted."""
        self.changing = False
        """The station has to answer."""
        self.answer = JobAnswer.NONE
        """What became of the wish, while JobChange is held."""
        self.due: HostNs | None = None
        self._held = False
        self._limit = limit_ns

    def rise(self, number: int, now: HostNs) -> bool:
        """Take a wish; False while another one is under way."""
        self._held = True
        if self.number is not None:
            return False
        self.number, self.answer = number, JobAnswer.NONE
        self.due = HostNs(now + self._limit)
        return True

    def fall(self) -> None:
        """Take JobChange back: a wish that has not begun is withdrawn, an answer is taken note of."""
        self._held = False
        self.answer = JobAnswer.NONE
        if not self.changing:
            self.forget()

    def begin(self, *, idle: bool) -> None:
        """Begin once no part and no result is pending."""
        if self.number is not None and idle:
            self.changing = True

    def done(self, number: int) -> None:
        """Learn which recipe is active now."""
        if self.number is not None:
            self._end(JobAnswer.DONE if number == self.number else JobAnswer.REFUSED)

    def refuse(self) -> None:
        """Learn that the station does not change."""
        if self.number is not None:
            self._end(JobAnswer.REFUSED)

    def expire(self, now: HostNs) -> None:
        """Give up what is not done in time."""
        if self.due is not None and now >= self.due:
            self._end(JobAnswer.NOT_IN_TIME)

    def renew(self) -> None:
        """Forget a wish of an old session, unless the station is at it."""
        if not self.changing:
            self.forget()
        self._held = False
        self.answer = JobAnswer.NONE

    def forget(self) -> None:
        """Want no change."""
        self.number, self.changing, self.due = None, False, None

    def _end(self, answer: JobAnswer) -> None:
        self.answer = answer if self._held else JobAnswer.NONE
        self.forget()

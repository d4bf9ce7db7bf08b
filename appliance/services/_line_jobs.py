"""Say which parts a client's job covers; pure. A job can hold parts back, and nothing here can let one through."""

from collections.abc import Container

from appliance.schema.command import AbortJob, Accepted, HaltLine, RefusedReply, Reply, StartJob, StopJob
from appliance.schema.line import JobMode

JobWish = StartJob | StopJob | AbortJob | HaltLine

RUNNING = frozenset({JobMode.SINGLE, JobMode.CONTINUOUS})


class Jobs:
    """Keep mode and job of one process of `line`."""

    def __init__(self, epoch: str, *, controlled: bool) -> None:
        """Begin idle where clients control the line, else with every part covered.

        epoch: sets the ids of this process's jobs apart from those of every other one.
        """
        self.mode = JobMode.IDLE if controlled else JobMode.CONTINUOUS
        self.job = ""
        """Id of the job that runs or ran last; empty: none was started by a client."""
        self.held = False
        """Outputs are tried by hand: nothing is covered until that ends."""
        self._epoch = epoch
        self._controlled = controlled
        self._started = 0
        self._single: int | None = None
        """Number of the part that the single job took."""

    @property
    def covers(self) -> bool:
        """Whether a job covers a part that enters now."""
        running = self.mode is JobMode.CONTINUOUS or (self.mode is JobMode.SINGLE and self._single is None)
        return running and not self.held

    @property
    def ordered(self) -> bool:
        """Whether a client's job runs: it may send a part at any time."""
        return self._controlled and self.mode in RUNNING

    def enter(self, number: int, *, replayed: bool) -> str | None:
        """Take the part that enters; give its job's id (empty: every part is covered), None when none covers it.

        replayed: nothing can be decided for it any more; a single job waits for another.
        """
        if not self.covers or (replayed and self.mode is JobMode.SINGLE):
            return None
        if self.mode is JobMode.SINGLE:
            self._single = number
        return self.job if self._controlled else ""

    def settle(self, on_belt: Container[int]) -> None:
        """Learn which parts are on the belt; a single job ends with its part."""
        if self.mode is JobMode.SINGLE and self._single is not None and self._single not in on_belt:
            self._end(JobMode.IDLE)

    def obey(self, wish: JobWish, recipes: Container[str], *, belt_empty: bool) -> Reply:
        """Grant or refuse a wish. recipes: what the active recipe may be called, the empty string included."""
        reason = self._refusal(wish, recipes, belt_empty=belt_empty)
        if reason:
            return RefusedReply(reason)
        match wish:
            case StartJob():
                self._started += 1
                self.job = f"{self._epoch}-{self._started}"
                self._end(JobMode.SINGLE if wish.single else JobMode.CONTINUOUS)
                return Accepted(self.job)
            case StopJob() | AbortJob():
                self._end(JobMode.IDLE)
            case HaltLine():
                self._end(JobMode.HALTED)
        return Accepted(self.job)

    def reset(self) -> bool:
        """Take the line back into operation; False when it was not halted."""
        halted = self.mode is JobMode.HALTED
        if halted:
            self._end(JobMode.IDLE)
        return halted

    def _end(self, mode: JobMode) -> None:
        self.mode, self._single = mode, None

    def _refusal(self, wish: JobWish, recipes: Container[str], *, belt_empty: bool) -> str:
        """Say what speaks against a wish; empty when nothing does."""
        if not self._controlled:
            way = "start nor stop" if isinstance(wish, StartJob | StopJob) else "abort nor halt"
            return f"clients can neither {way} this line; set station.controlled = true in its configuration"
        if self.held and isinstance(wish, StartJob):
            return "outputs are tried by hand; wait for the end of the tests"
        if self.mode is JobMode.HALTED and not isinstance(wish, HaltLine):
            return "the line is halted; reset it first"
        if isinstance(wish, StartJob):
            if self.mode in RUNNING:
                return f"job {self.job} runs; stop it first"
            if wish.recipe not in recipes:
                return f"recipe {wish.recipe!r} is not the active one; prepare it first"
        if isinstance(wish, StopJob) and self.mode not in RUNNING:
            return "no job runs; start one first"
        if isinstance(wish, AbortJob) and self.mode not in RUNNING and belt_empty:
            return "no job runs and no part is on the belt; there is nothing to abort"
        return ""

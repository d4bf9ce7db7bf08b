"""State how the line stands as a whole: what plant interfaces show beside the results."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.clocks import HostNs


class JobMode(StrEnum):
    """Say which parts may be inspected; in every mode but the last two each part is a reject."""

    HALTED = "halted"
    """Taken out of operation until Reset."""
    IDLE = "idle"
    """In operation, no job runs."""
    SINGLE = "single"
    """The next part, then idle again."""
    CONTINUOUS = "continuous"
    """Every part. Where no client controls the line this is how it starts."""


class LineState(Struct, frozen=True, tag=True):
    """State the line's whole condition. Topic `line.state`, written by `line`, at every change and once a second."""

    at: HostNs
    mode: JobMode
    handshake: str
    """Name of the handshake's `State`: offline, not_ready, ready, acquiring, busy, result, error or changeover."""
    ready: bool
    """A part that enters now is inspected."""
    busy: bool = False
    """At least one part is between sensor and gate."""
    job: str = ""
    """Id of the job that runs or ran last; empty: none was started by a client."""
    error: int = 0
    """`ErrorCode` that is latched; 0: none."""
    cause: str = ""
    """Why no part would be inspected, in a technician's words; empty while `ready`."""
    remedy: str = ""
    session: int = 0
    plc_alive: bool = False
    sync_lost: bool = False
    """Parts and gate no longer agree; every part is a reject until the belt was purged."""
    recipe: str = ""
    """Name of the recipe in force."""
    recipe_sha256: str = ""
    recipe_number: int = 0
    recipe_hash: int = 0
    """First 32 bit of the active recipe's SHA-256."""
    parts: int = 0
    """Parts that met the gate since this process began."""
    accepted: int = 0
    rejected: int = 0
    late: int = 0
    words: tuple[int, ...] = ()
    """The status block as the PLC read it at `at`, in the order of its registers; empty where none is served."""

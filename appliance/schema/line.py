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


class Wires(Struct, frozen=True):
    """State what the microcontroller says of its inputs and outputs; every count begins with its boot."""

    at: HostNs
    """When it was told."""
    boot: int
    state: str
    """boot, unconfigured, configured, armed or fault."""
    fault: str
    """Latched fault; `none`."""
    tick: int
    """Its own clock, 1 MHz."""
    clock_error_ns: int
    """Uncertainty of that clock against the computer's; -1: not known yet."""
    encoder: int
    """Counts of the belt's encoder."""
    parts: int
    """Leading edges of the part sensor."""
    gate_edges: int
    """Leading edges of the gate's own sensor."""
    accepts: int
    """Parts that met the gate in the accept lane."""
    rejects: int
    missing: int
    """Parts that the gate's sensor did not see in their window."""
    extra: int
    encoder_errors: int
    strobes_refused: int
    """Camera edges withheld to spare the lamp."""
    damaged: int
    """Frames of the serial line with a wrong checksum."""
    stale: int
    """Frames of another session or boot."""
    dropped: int
    """Frames not sent because the computer did not read."""
    late: int
    """Decisions that came after their window had closed."""
    run_permit: bool
    way_left: int
    """Encoder counts until the belt has run empty; 0: it has, -1: not known."""


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
    control: tuple[int, ...] = ()
    """The control block as the PLC wrote it last, in the order of its registers; empty: it wrote none."""
    wires: Wires | None = None
    """As told last; 10/s while outputs are tested, 1/s else. None: the microcontroller told nothing yet."""
    tested_by: str = ""
    """Who tests the outputs; empty: nobody, and the line works."""
    test: str = ""
    """The test done last, and what came of it."""

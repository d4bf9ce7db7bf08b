"""Write what PLC engineers get, from the register table and runs of the handshake: page, diagrams, test vectors.

`python -m appliance.outputs.plc.generate` writes the files; a test fails while one of them is not up to date.
"""

import argparse
import sys
from pathlib import Path

from appliance.outputs.plc import registers
from appliance.outputs.plc.heartbeat import HEARTBEAT_NS
from appliance.outputs.plc.lateness import LATE_IN_A_ROW
from appliance.outputs.plc.registers import (
    CAUSE_CODES,
    CONTROL,
    CONTROL_ADDRESS,
    CONTROL_COUNT,
    DISPOSITION_CODES,
    PROBLEMS,
    STATUS,
    STATUS_ADDRESS,
    STATUS_COUNT,
    ErrorCode,
    JobAnswer,
    Register,
    State,
)
from appliance.outputs.plc.result_queue import DEPTH
from appliance.outputs.plc.scenarios import SCENARIOS
from appliance.outputs.plc.timing import diagram
from appliance.outputs.plc.variables import camel
from appliance.outputs.plc.vectors import vectors
from appliance.schema.clocks import MS

FOLDER = Path(__file__).parent
PAGE, VECTORS = FOLDER / "REGISTERS.md", FOLDER / "plc_vectors.json"

_INTRODUCTION = f"""# Modbus TCP registers

Generated from `registers.py` by `python -m appliance.outputs.plc.generate`; do not edit.

The appliance is the Modbus TCP server, the PLC the client; any unit identifier is answered. Addresses count from 0 as
on the wire (a tool that counts from 1 shows 40001 for address 0). Function codes: 3 or 4 read, 6, 16, 22 or 23 write;
all of them see the same registers. Access outside the two blocks, and a write to the status block, give exception 2.
Coils and discrete inputs do not exist: exception 1. Exception 6: the appliance does not keep up with your writes;
repeat the write.

Values wider than one register are big endian (ABCD): the lower address holds the more significant word.

**Read the status block in one request** ({STATUS_COUNT} registers from {STATUS_ADDRESS}): one read is consistent
in itself, two are not. Write the control block in one request ({CONTROL_COUNT} registers from {CONTROL_ADDRESS}).

**Connections.** Only the appliance's own computer and the addresses in `plc.allow` get in; others are closed before a
byte is read. Eight at a time; where all are taken, one that sent no request for 1 s makes room, else the newcomer is
closed. A connection without a request for 60 s is cut, and bytes that are no Modbus end theirs. Requests sent ahead are
answered one by one, in order. A PLC takes over at most one result in two of its cycles: 50 a second with a cycle of
10 ms.

## When is a part good?

Only if **all** of this holds in one read; in every other case, a lost connection included, the part is rejected:

1. `ResultValid` = 1, `Pass` = 1 and `Reject` = 0 (00 and 11 mean reject; a block of zeros is never good);
2. `Session` is the one you echo, and `ResultSeq` is not the last one you took in this session;
3. `PartIdEcho` is a part you expect: boot as in `EnteredBoot`, number greater than the last one of that boot and not
   above `EnteredNumber`; where you make the parts yourself (`PlcTriggers`), `PlcPartEcho` is one you asked for;
4. the appliance's heartbeat (bit 15) changed within the last 500 ms.
"""

_SEQUENCE = f"""## Sequence

Start: write the whole control block as zeros; read `Session`; write `SessionEcho` = `Session` and `Enable` = 1; from
then on toggle bit 15 at least every 100 ms. Until `SessionEcho` equals `Session` nothing is obeyed and no result is
shown.

* The appliance toggles its heartbeat every {HEARTBEAT_NS // MS} ms, from the loop that handles parts: if that
  loop hangs, it stops.
* Up to {DEPTH} results wait, oldest first. When all places are taken `TriggerReady` drops; a further result finds no
  place, raises `Error`, is counted in `Overflowed`, leaves a gap in `ResultSeq`, and its part is not good. Nothing is
  overwritten.
* A result that is not acknowledged within the configured time (2 s), or a ResultAck that is not taken back, raises
  `Error`; the result stays. A ResultAck whose `AckSequence` does not name the offered result is ignored.
* Your heartbeat stale for 500 ms: `ResultValid`, `Pass` and `TriggerReady` are 0 until it moves again; results wait.
* {LATE_IN_A_ROW} parts in a row without a verdict in time: `Overload` and `Error`. Stop the line.
* `Error` is cleared by a rising edge of `ErrorReset` only; but `SyncLost` by a purge only: take every part off the
  belt, then a rising edge of `Purged`. TriggerReady comes back once the belt has run empty past the gate.
* `Quarantine` beside `Reject`: keep this part apart from scrap, since a person has to look at it.
* A restart of the appliance gives a new `Session` and an empty queue. Tell a restart of the PLC by `SessionEcho` = 0:
  the appliance begins a new session, clears the queue, and shows Reject for the parts that were on the belt.
* Recipe change: write `RecipeNumber`, then `JobChange` 1, and hold it. `TriggerReady` drops; once no part and no result
  is pending `Changeover` is 1. When `JobAnswer` is not 0 compare `ActiveRecipe` and `RecipeHash32` with what you
  expect, then `JobChange` 0. Refused: `JobRefused`, and the old recipe stays. Not done within 60 s: `JobRefused` too;
  a change that had begun may still end, so compare again before you go on.
* With `plc.trigger = "plc"` (`PlcTriggers` = 1): write `RequestSeq` and `PlcPart`, then `Trigger` 1 while
  `TriggerReady` is 1, and hold it until `TriggerAck` or `MissedTrigger`; then `Trigger` 0. `MissedTrigger` means that
  this part is not inspected: take it for a reject.
* There is no bypass and no way to force Pass.
"""

_TIMING = """## Timing diagrams

Each is drawn from a run of the appliance's own handshake with a PLC whose cycle takes 10 ms. Answers of the appliance
stand a little right of what they answer: one turn of its loop. Times in ms.
"""

_VECTORS = """## Test vectors

`plc_vectors.json` holds the same runs to the word. `status_words` and `control_words` name the words of the two
blocks, `mask` the bits of each status word to compare (not the heartbeat, not the number of the session). Each step
has its instant `at_ms`; what the PLC wrote (`control`, the whole block; nothing where it is absent), or what the
station told the handshake (`happening`, `says`); and the status block right after. Feed your program the `status`
words and see that it judges and writes what is due; or write the `control` words and see that the answers are these.
Put the session that you read into `SessionEcho` where the vectors have 4660.
"""


def files() -> dict[Path, str]:
    """Give every generated file with its text."""
    drawn = {FOLDER / "diagrams" / f"{one.name}.svg": diagram(one) for one in SCENARIOS}
    return {PAGE: page(), VECTORS: vectors(), **drawn}


def page() -> str:
    """Give the page's text."""
    return "\n".join(
        (
            _INTRODUCTION,
            _table("Status block, appliance to PLC (read only)", STATUS),
            _bits("StatusBits", registers.STATUS_BIT_NOTES),
            _bits("StatusBits2", registers.STATUS_BIT2_NOTES),
            _codes("State", State),
            _codes("ErrorCode", ErrorCode),
            _codes("JobAnswer", JobAnswer),
            _errors(),
            _names("Disposition", {code: str(name) for name, code in DISPOSITION_CODES.items()}),
            _names("Cause", {code: str(name) for name, code in CAUSE_CODES.items()}),
            _table("Control block, PLC to appliance", CONTROL),
            _bits("ControlBits", registers.CONTROL_BIT_NOTES),
            _SEQUENCE,
            _TIMING,
            *(f"### {one.title}\n\n{one.text}\n\n![{one.title}](diagrams/{one.name}.svg)\n" for one in SCENARIOS),
            _VECTORS,
        )
    )


def _table(title: str, table: tuple[Register, ...]) -> str:
    rows = [f"## {title}\n", "| address | name | type | unit | meaning |", "|---|---|---|---|---|"]
    for register in table:
        last = register.address + register.type.words - 1
        place = str(register.address) if last == register.address else f"{register.address}-{last}"
        rows.append(f"| {place} | {register.name} | {register.type} | {register.unit} | {register.doc} |")
    return "\n".join(rows) + "\n"


def _bits(
    title: str,
    notes: dict[registers.StatusBit, str] | dict[registers.StatusBit2, str] | dict[registers.ControlBit, str],
) -> str:
    rows = [f"### {title}\n", "| bit | name | meaning |", "|---|---|---|"]
    rows += [f"| {bit.bit_length() - 1} | {camel(bit.name)} | {note} |" for bit, note in notes.items()]
    return "\n".join(rows) + "\n"


def _codes(title: str, codes: type[State] | type[ErrorCode] | type[JobAnswer]) -> str:
    return _names(title, {int(code): code.name.lower() for code in codes})


def _errors() -> str:
    rows = [f"| {int(code)} | {cause} | {remedy} |" for code, (cause, remedy) in PROBLEMS.items()]
    return "\n".join(("| error | cause | remedy |", "|---|---|---|", *rows)) + "\n"


def _names(title: str, names: dict[int, str]) -> str:
    listed = ", ".join(f"{code} {name}" for code, name in sorted(names.items()))
    return f"**{title}**: {listed}\n"


def main() -> int:
    """Write the files, or with `--check` name those that are not up to date."""
    parser = argparse.ArgumentParser(prog="generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not up to date")
    check = parser.parse_args().check
    stale = 0
    for path, text in files().items():
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale += 1
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        print(f"{path}: {'not up to date' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

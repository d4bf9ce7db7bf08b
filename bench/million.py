"""Play a million parts through bad days and count: answers for triggers, late accepts, accepts from faults.

    python -m bench.million [--triggers N] [--processes N] [--minutes M] [--resume] [--seed N]

Each history is a day of 500 to 2,000 parts, drawn from its own seed (bench/histories.py): processes are killed and
frozen, camera and PLC unplugged, the microcontroller reset, the disk filled, the belt stopped, bundles swapped,
messages lost, doubled and late. Real are the services, the firmware core and the handshake; played are camera, model,
bus, disk and plant. bench/results/million.json is written after each chunk; `--resume` goes on with it, if it is of the
same code. `--seed N` plays one history again and prints its account.
"""

import argparse
import hashlib
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from appliance.decision.calibration import upper_bound
from appliance.schema.clocks import HostNs
from appliance.schema.policy import Mode
from appliance.services.judge import JudgeNode
from appliance.services.line import LineNode
from appliance.sim.line_world import HEAD_START, LineWorld
from appliance.sim.person_twin import Habits, PersonNode
from appliance.sim.store_twin import ClockTwin, DiskTwin, make_record
from appliance.sim.world import Unit
from bench.fingerprint import fingerprint
from bench.histories import History, draw
from bench.observed import FORBIDDEN, Account, Observer
from firmware_bridge.build import CORE, build_core

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench" / "results" / "million.json"
BUILD = ROOT / "build" / "million"
PACKAGES = ("appliance", "firmware_bridge", "kernels", "bench")
CHUNK = 20
"""Histories."""


class Told(Struct):
    """State what one history, or a run of them, came to."""

    first_seed: int
    last_seed: int
    histories: int
    account: Account
    troubles: dict[str, int]
    verdicts: dict[str, int]
    causes: dict[str, int]
    facts_kept: int
    disk_full: int
    """Times that `record` was refused by its disk."""
    breaches: list[str]
    """`seed N: what`."""
    cpu_s: float


def play(
    history: History, core: Path, line: type[LineNode] = LineNode, judge: type[JudgeNode] = JudgeNode
) -> tuple[Told, LineWorld]:
    """Play one history to its end; `core`, `line` and `judge` may have a rule turned round."""
    began = time.process_time()
    world = LineWorld(
        core,
        history.parts,
        history.rate_hz,
        history.seed,
        history.trouble,
        line,
        judge,
        policy=history.policy,
        mode=history.mode,
        habits=history.habits or Habits(),
    )
    world.camera.has_encoder = history.has_encoder
    observer, disk = Observer(world), DiskTwin()
    _man(world, history, disk)
    world.play(history.actions)
    account = observer.account()
    excused = {f"part {part}: no actuation" for part in observer.forgotten}
    found = [f"{getattr(account, name)} {name}" for name in FORBIDDEN if getattr(account, name)]
    found += [text for text in world.breaches() if text not in excused]
    told = Told(
        first_seed=history.seed,
        last_seed=history.seed,
        histories=1,
        account=account,
        troubles=_troubles(history),
        verdicts=dict(observer.verdicts),
        causes=dict(Counter(one.cause.value for told in world.actuations.values() for one in told)),
        facts_kept=disk.facts.total(),
        disk_full=disk.refusals,
        breaches=[f"seed {history.seed}: {text}" for text in found],
        cpu_s=time.process_time() - began,
    )
    return told, world


def _man(world: LineWorld, history: History, disk: DiskTwin) -> None:
    """Put a person at the desk, whom a full disk silences, or the real record service with its disk."""
    stage, habits = world.world, history.habits
    if habits is None:
        clock = ClockTwin(lambda: stage.now)
        stage.add(Unit("record", lambda _: make_record(disk, clock)))
    elif history.mode is Mode.PRIMARY:
        mood = random.Random(history.seed)
        stage.add(Unit("record", lambda _: (PersonNode(habits, mood, world.account.is_defective), {})))
    for at_ns, span_ns in history.fills:
        begin = HostNs(stage.now + HEAD_START + at_ns)
        if habits is None:
            stage.at(begin, partial(setattr, disk, "full", True))
            stage.at(HostNs(begin + span_ns), partial(setattr, disk, "full", False))
        else:
            stage.at(begin, partial(stage.freeze, "record", span_ns))


def _troubles(history: History) -> dict[str, int]:
    verbs = Counter(
        f"{action.verb} {action.target}" if action.verb in {"kill", "freeze", "stop"} else action.verb
        for action in history.actions
        if action.verb not in {"replug", "start"}
    )
    return {**verbs, "full disk": len(history.fills), f"day in {history.mode.value} mode": 1}


def play_chunk(core: Path, first: int, count: int, parts: tuple[int, int] | None = None) -> Told:
    """Play `count` histories from the seed `first` on."""
    seeds = range(first, first + count)
    return joined([play(draw(seed, *([parts] if parts else [])), core)[0] for seed in seeds])


def joined(chunks: Sequence[Told]) -> Told:
    """Add up what several runs came to; at least one."""
    account = Account()
    for chunk in chunks:
        account.add(chunk.account)
    return Told(
        first_seed=min(chunk.first_seed for chunk in chunks),
        last_seed=max(chunk.last_seed for chunk in chunks),
        histories=sum(chunk.histories for chunk in chunks),
        account=account,
        troubles=_sum(chunk.troubles for chunk in chunks),
        verdicts=_sum(chunk.verdicts for chunk in chunks),
        causes=_sum(chunk.causes for chunk in chunks),
        facts_kept=sum(chunk.facts_kept for chunk in chunks),
        disk_full=sum(chunk.disk_full for chunk in chunks),
        breaches=[text for chunk in chunks for text in chunk.breaches],
        cpu_s=sum(chunk.cpu_s for chunk in chunks),
    )


def _sum(counts: Iterator[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def code_digest() -> str:
    """Give the SHA-256 of all of our own code that is loaded, and of the firmware core's sources."""
    loaded = {module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES}
    files = {Path(file) for file in loaded if file} | set(CORE.glob("*.[ch]"))
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.is_relative_to(ROOT)):
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def summary(chunks: Sequence[Told], code: str) -> dict[str, Any]:
    """Give what stands in the result file."""
    whole = joined(chunks)
    count = whole.account.triggers
    broken = len({text.partition(":")[0] for text in whole.breaches})
    bounds = {name: upper_bound(getattr(whole.account, name), count) for name in FORBIDDEN}
    return {
        "code": code,
        "histories": whole.histories,
        "account": msgspec.to_builtins(whole.account),
        "upper_bounds": {**bounds, "histories_with_a_breach": upper_bound(broken, whole.histories)},
        "troubles": whole.troubles,
        "verdicts": whole.verdicts,
        "causes": whole.causes,
        "record": {"facts_kept": whole.facts_kept, "refused_by_a_full_disk": whole.disk_full},
        "breaches": whole.breaches[:100],
        "cpu_s": round(whole.cpu_s, 1),
        "triggers_per_cpu_s": round(count / whole.cpu_s, 1) if whole.cpu_s else 0.0,
        "machine": fingerprint(),
        "chunks": msgspec.to_builtins(chunks),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.million")
    parser.add_argument("--triggers", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="stop after this long; --resume goes on")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, help="play this one history and tell its account")
    parser.add_argument("--result", type=Path, default=RESULT)
    options, _ = parser.parse_known_args()
    core = build_core(BUILD)
    _hush()
    if options.seed is not None:
        told, _ = play(draw(options.seed), core)
        print(json.dumps(msgspec.to_builtins(told), indent=2))
        sys.exit(bool(told.breaches))
    code = code_digest()
    chunks = _kept(options.result, code) if options.resume else []
    run(core, code, chunks, options.triggers, options.processes, options.minutes, options.result)
    whole = joined(chunks)
    show(whole)
    sys.exit(bool(whole.breaches))


def run(core: Path, code: str, chunks: list[Told], triggers: int, processes: int, minutes: float, result: Path) -> None:
    """Add chunks until enough parts were played or the time is up, and keep each."""
    until = time.monotonic() + minutes * 60
    done = sum(chunk.account.triggers for chunk in chunks)
    seed = max((chunk.last_seed for chunk in chunks), default=0) + 1
    with _hands(processes) as hands:
        while done < triggers and time.monotonic() < until:
            firsts = range(seed, seed + CHUNK * processes, CHUNK)
            for chunk in hands(play_chunk, [core] * processes, firsts, [CHUNK] * processes):
                chunks.append(chunk)
                done += chunk.account.triggers
            seed += CHUNK * processes
            keep(result, summary(chunks, code))
            print(f"{done:>9} triggers, {sum(len(chunk.breaches) for chunk in chunks)} breaches", flush=True)


@contextmanager
def _hands(processes: int) -> Iterator[Callable[..., Iterable[Told]]]:
    """Give a `map` over so many processes; over this one where one is enough."""
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_hush) as pool:
        yield pool.map


def _hush() -> None:
    """Keep the services' logs out of the way: they tell of every disk that is full."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _kept(result: Path, code: str) -> list[Told]:
    """Give the chunks of a run of the same code; a run of other code proves nothing about this one."""
    if not result.exists():
        return []
    held = json.loads(result.read_text("utf-8"))
    if held["code"] != code:
        sys.exit(f"bench.million: {result} is of other code; run it anew without --resume")
    return msgspec.convert(held["chunks"], list[Told])


def keep(result: Path, told: dict[str, Any]) -> None:
    """Write the result whole or not at all."""
    result.parent.mkdir(exist_ok=True, parents=True)
    draft = result.with_suffix(".part")
    draft.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    draft.replace(result)


def show(whole: Told) -> None:
    account = whole.account
    print(f"\n{whole.histories} histories, {account.triggers} triggers, {account.answers} answers")
    print(f"{account.forgotten} more rejected by the spring, forgotten when the microcontroller restarted")
    bound = 1e6 * upper_bound(0, account.triggers)
    for name in FORBIDDEN:
        count = getattr(account, name)
        print(f"{name.replace('_', ' '):<28} {count:>6}" + (f"   at most {bound:.1f} per million" if not count else ""))
    print(f"{account.accepted} of {account.good} good parts accepted; {sum(whole.troubles.values())} troubles")
    for text in whole.breaches[:20]:
        print(text)


if __name__ == "__main__":
    main()

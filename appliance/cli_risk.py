"""Read the commands that find limits by the risk they keep."""

import argparse
from collections.abc import Callable
from pathlib import Path

from appliance.cli_models import AddCommand, Commands
from appliance.schema.policy import Guarantee, Policy


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:  # noqa: ARG001
    """Add the commands; station: adds the arguments that name a station, which none of these needs."""
    risk = commands.add_parser("risk", help="find limits that keep a promised escape rate, or what is missing for them")
    actions = risk.add_subparsers(metavar="ACTION", required=True)
    _plan_arguments(command(actions, "plan", _plan, "find limits from held-out real parts; 1 where there are none"))
    parts = command(actions, "needed", _needed, "say how many held-out defective parts prove an escape rate")
    parts.add_argument("--escape-rate", type=float, required=True, help="share of defective parts, 0.005 for 0.5 %%")
    _promise_arguments(parts)
    parts.add_argument("--escaped", type=int, default=0, help="so many of them are accepted, default 0")
    parts.add_argument("--json", choices=["-"], help="print JSON")


def _promise_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assurance", type=float, default=0.95, help="probability that the promise is kept, 0.95")
    parser.add_argument(
        "--expected", action="store_true", help="promise the rate on average over calibrations, not of this one"
    )


def _plan_arguments(plan: argparse.ArgumentParser) -> None:
    policy = Policy()
    plan.add_argument("bundle", type=Path, help="folder of the bundle")
    plan.add_argument("--data", type=Path, required=True, help="folder of labelled pictures of real parts")
    plan.add_argument("--split", default="test", help="which pictures of it, default test; those it has seen never are")
    promised = plan.add_mutually_exclusive_group()
    promised.add_argument("--escape-rate", type=float, help="accepted share of defective parts, 0.005 for 0.5 %%")
    promised.add_argument("--escapes-per-million", type=float, help="accepted defects in a million parts of the line")
    plan.add_argument("--defect-rate", type=float, help="share of defective parts on the line, at most")
    plan.add_argument("--line-defects", type=int, help="instead: so many were found defective ...")
    plan.add_argument("--line-parts", type=int, help="... among so many parts of the line")
    _promise_arguments(plan)
    plan.add_argument("--each-class", action="store_true", help="promise it of every class with enough defects")
    plan.add_argument(
        "--overkill", type=float, help="share of good parts that may be rejected without a person looking"
    )
    plan.add_argument("--review-minutes", type=float, help="per shift, for people to look at parts")
    plan.add_argument("--parts-per-shift", type=float)
    plan.add_argument("--seconds-per-review", type=float)
    plan.add_argument(
        "--sample-share",
        type=float,
        default=policy.sample_share,
        help=f"of the accepted parts, shown to a person all the same, default {policy.sample_share:g}",
    )
    plan.add_argument(
        "--unknown-rate",
        type=float,
        default=policy.unknown_rate,
        help=f"of known parts, taken for unknown, default {policy.unknown_rate:g}",
    )
    plan.add_argument("--views", type=int, help="pictures that the line takes of a part; default all that there are")
    plan.add_argument("--seed", type=int, default=0, help="names the pictures drawn by --views, default 0")
    plan.add_argument("--json", help="write the plan as JSON to this file, - for standard output alone")
    plan.add_argument("--policy", type=Path, help="write the policy of a recipe proposal to this TOML file")
    plan.add_argument("--threads", type=int, default=1, help="inference threads, default 1")


def _plan(options: argparse.Namespace) -> int:
    from appliance.evaluation.risk_command import LineCounts, RiskOptions, run_risk_plan
    from appliance.schema.errors import ConfigError

    counts = (options.line_defects, options.line_parts)
    if (counts[0] is None) != (counts[1] is None):
        raise ConfigError("--line-defects and --line-parts: 1 given, both are needed; give what was counted")
    return run_risk_plan(
        RiskOptions(
            bundle=options.bundle,
            data=options.data,
            split=options.split,
            escape_rate=options.escape_rate,
            escapes_per_million=options.escapes_per_million,
            defect_rate=options.defect_rate,
            line_counts=None if counts[0] is None else LineCounts(*counts),
            assurance=options.assurance,
            guarantee=_guarantee(options),
            each_class=options.each_class,
            overkill=options.overkill,
            review_minutes=options.review_minutes,
            parts_per_shift=options.parts_per_shift,
            seconds_per_review=options.seconds_per_review,
            sample_share=options.sample_share,
            unknown_rate=options.unknown_rate,
            views=options.views,
            seed=options.seed,
            json=options.json,
            policy=options.policy,
            threads=options.threads,
        )
    )


def _needed(options: argparse.Namespace) -> int:
    from appliance.decision.risk import Promise
    from appliance.evaluation.risk_command import run_needed

    return run_needed(
        Promise(options.escape_rate, options.assurance, _guarantee(options)), options.escaped, options.json
    )


def _guarantee(options: argparse.Namespace) -> Guarantee:
    return Guarantee.EXPECTED if options.expected else Guarantee.ASSURED

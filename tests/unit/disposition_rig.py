"""Hold a view, limits and policies in which everything is in order, and judge what tests change of them."""

from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.decision.disposition import Judged, judge_view
from appliance.schema.finding import Finding, ViewResult
from appliance.schema.limits import Limits
from appliance.schema.policy import Basis, Policy, RiskLimits
from appliance.schema.verdict import Disposition, Reason

ACCEPT, REVIEW, REJECT = Disposition.ACCEPT, Disposition.REVIEW, Disposition.REJECT
UNKNOWN, NO_VERDICT = Disposition.UNKNOWN, Disposition.NO_VERDICT
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
BUNDLE, PRECISION = "sha256:a", "f32"
VIEW = ViewResult("top", 1, 1, 0.5, None, (), probability=0.01, novelty_p=1.0)
LIMITS = Limits(1.0, 2.0, 0.5, "anomaly", known_parts=999)
RISK = RiskLimits(1.0, 2.0, 0.001, 0.95, 3000, 0, 1000, BUNDLE, PRECISION, "0" * 64)
BY_LIMITS, BY_CONFIDENCE = Policy(), Policy(basis=Basis.CONFIDENCE)
BY_RISK = Policy(basis=Basis.RISK, risk=RISK)
BASES = (BY_LIMITS, BY_CONFIDENCE, BY_RISK)
VIEWS = st.lists(
    st.tuples(st.sampled_from(Disposition), st.lists(st.sampled_from(Reason), min_size=1, max_size=3).map(tuple)),
    max_size=4,
)


def judge(
    view: ViewResult = VIEW,
    policy: Policy = BY_LIMITS,
    limits: Limits = LIMITS,
    bundle: str = BUNDLE,
    precision: str = PRECISION,
    **more: bool,
) -> Judged:
    return judge_view(view, limits, policy, bundle, precision, **more)


def found(kind: str, confidence: float | None) -> ViewResult:
    return replace(VIEW, findings=(Finding(kind, 1.0, confidence),))

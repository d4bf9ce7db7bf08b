"""Registration finds any small move of a view within 0.3 px, in any light, and says when it shows another view."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.imaging.registration import Registrar
from tests.unit.template_pictures import KINDS, SHAPE, drawn, error_px, move, seen

REACH_PX = 8
BOUND_PX = 0.3


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10_000),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    turn_deg=st.floats(-0.5, 0.5),
    scale=st.floats(0.995, 1.005),
    gain=st.floats(0.8, 1.2),
    noise=st.floats(0, 8),
    defects=st.integers(0, 6),
)
def test_a_small_move_is_found(
    kind: str,
    seed: int,
    shift: tuple[float, float],
    turn_deg: float,
    scale: float,
    gain: float,
    noise: float,
    defects: int,
) -> None:
    """A view moved within the reach is registered, no corner off by 0.3 px, whatever the light, noise and defects."""
    template = drawn(kind, seed)
    true = move(SHAPE, *shift, turn_deg, scale)

    found = Registrar(template, REACH_PX).find(seen(template, true, gain, noise, defects, seed))

    assert found.registered
    assert error_px(found.matrix, true, SHAPE) < BOUND_PX


@settings(max_examples=60)
@given(kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)), seed=st.integers(0, 10_000))
def test_another_view_is_refused(kinds: tuple[str, str], seed: int) -> None:
    """A frame of another thing, of the same or another make, is never registered."""
    found = Registrar(drawn(kinds[0], seed), REACH_PX).find(drawn(kinds[1], seed + 1))

    assert not found.registered


@settings(max_examples=30)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000), beyond=st.floats(12, 40), axis=st.integers(0, 1))
def test_a_move_beyond_the_reach_is_refused(kind: str, seed: int, beyond: float, axis: int) -> None:
    """A part that lies further off than the reach is not compared in the wrong place."""
    template = drawn(kind, seed)
    shift = np.roll([beyond, 0.0], axis)

    found = Registrar(template, REACH_PX).find(seen(template, move(SHAPE, *shift)))

    assert not found.registered

"""Who may do what."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.governance.rights import RIGHTS, Right, change_fault, highest_level, label_right, may, sign_fault
from appliance.schema.clocks import UtcNs
from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role, Secret

SECRET = Secret(b"salt", b"digest", 16, 8, 1)
JUDGING = {Right.DECIDE, Right.LABEL_1, Right.LABEL_2, Right.LABEL_3, Right.CORRECT, Right.SEED}
CHANGING = set(Right) - {Right.SEE_FIGURES, Right.SEE_OTHERS, Right.EXPORT, Right.READ_AUDIT}


def person(name: str = "o-anna", role: Role = Role.OPERATOR, level: int = 1, **other: object) -> Person:
    """Give a person who can sign in."""
    fields = {"badge_sha256": "", "secret": SECRET, "language": "en", "active": True, "by": "a-adam", "at": UtcNs(1)}
    return Person("e1", name, name.title(), role, LabelLevel(level), **(fields | other))


ADMIN = person("a-adam", Role.ADMIN)
OTHER_ADMIN = person("a-bea", Role.ADMIN)

people = st.builds(
    person,
    st.sampled_from(["o-anna", "a-adam"]),
    st.sampled_from(Role),
    st.integers(1, 3),
    active=st.booleans(),
    secret=st.sampled_from([None, SECRET]),
)


@given(people, st.sampled_from(Right))
def test_nobody_without_standing_may_anything(one: Person, right: Right) -> None:
    """Whoever is unknown, inactive or without a PIN may nothing; whoever may something has the role for it."""
    allowed = may(one, right)

    assert may(None, right) is False
    assert not (allowed and (not one.active or one.secret is None))
    assert not (allowed and right not in RIGHTS[one.role])


@pytest.mark.parametrize("role", Role)
def test_every_right_of_a_role_is_given(role: Role) -> None:
    """A person with a role and its highest level has every right of the table, and no other."""
    one = person(role=role, level=highest_level(role))

    assert set(RIGHTS[role]) == {right for right in Right if may(one, right)}


@pytest.mark.parametrize("role", [Role.ADMIN, Role.AUDITOR, Role.MAINTENANCE])
def test_duties_are_apart(role: Role) -> None:
    """Admin, auditor and maintenance judge no part and approve nothing."""
    assert not RIGHTS[role] & (JUDGING | {Right.APPROVE, Right.ACTIVATE})


def test_only_the_admin_changes_people_and_the_auditor_changes_nothing() -> None:
    """The list of people is in one role's hand, and the auditor only reads."""
    assert [Role.ADMIN] == [role for role in Role if Right.CHANGE_PEOPLE in RIGHTS[role]]
    assert not RIGHTS[Role.AUDITOR] & CHANGING


@given(st.sampled_from(Role), st.integers(1, 3), st.sampled_from(LabelLevel))
def test_a_level_is_the_persons_own(role: Role, own: int, wanted: LabelLevel) -> None:
    """A level of labelling needs both the role and the person's own level."""
    expected = label_right(wanted) in RIGHTS[role] and wanted <= own

    assert expected == may(person(role=role, level=own), label_right(wanted))


def known(*persons: Person) -> dict[str, Person]:
    """Give a list of people."""
    return {one.person: one for one in (ADMIN, *persons)}


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_only_an_admin_changes_another(role: Role) -> None:
    """A change of another person by anyone but an active admin is refused."""
    by = person("x-xena", role, highest_level(role))
    wish = person("o-new", by="x-xena")

    assert "admin is needed" in change_fault(known(by), wish)
    assert "no active person" in change_fault(known(replace(OTHER_ADMIN, active=False)), person("o-new", by="a-bea"))
    assert "no active person" in change_fault(known(), person("o-new", by="nobody"))
    assert change_fault(known(), person("o-new")) == ""


def test_ones_own_pin_and_nothing_else() -> None:
    """A person changes the own PIN and language; role, level, badge and standing are for another's hand."""
    anna = person()
    new = Secret(b"other", b"digest", 16, 8, 1)
    mine = replace(anna, secret=new, language="de", by="o-anna")

    assert change_fault(known(anna), mine) == ""
    for change in ({"role": Role.LEAD}, {"badge_sha256": "00"}, {"active": False}, {"name": "Another"}):
        assert "own role" in change_fault(known(anna), replace(mine, **change))
    lead = person("l-leo", Role.LEAD, 1)
    assert "own role" in change_fault(known(lead), replace(lead, level=LabelLevel.CLASSIFY, by="l-leo"))
    assert "own role" in change_fault(known(OTHER_ADMIN), replace(ADMIN, role=Role.QUALITY, by="a-adam"))


def test_the_last_admin_stays() -> None:
    """Nobody takes the last admin away, by disabling, by another role or by taking the PIN."""
    for change in ({"active": False}, {"role": Role.OPERATOR}, {"secret": None}):
        wish = replace(ADMIN, by="service:cli", **change)
        assert "last admin" in change_fault(known(), wish)
        assert change_fault(known(OTHER_ADMIN), wish) == ""


def test_what_a_person_must_be() -> None:
    """An id, a name, a known language, a level of the role and a badge of one's own are needed."""
    anna = person(badge_sha256="ab")
    wishes = {
        "is none": person(""),
        "has no name": replace(person("o-new"), name=" "),
        "language": person("o-new", language="fr"),
        "highest of the role": person("o-new", level=2),
        "badge is that of o-anna": person("o-new", badge_sha256="ab"),
    }

    for words, wish in wishes.items():
        assert words in change_fault(known(anna), wish)
    for odd in ("service:record", "../etc", "two words", "-x", "x" * 65):
        assert "is none" in change_fault(known(), person(odd))
    assert change_fault(known(replace(anna, active=False)), person("o-new", badge_sha256="ab")) == ""


@example(person("o-anna", Role.QUALITY), ["o-anna"], True)
@example(person("o-anna", Role.QUALITY), ["q-quin"], True)
@example(person("o-anna", Role.QUALITY), ["q-quin"], False)
@given(people, st.lists(st.sampled_from(["o-anna", "q-quin"]), unique=True, max_size=2), st.booleans())
def test_nobody_signs_twice(one: Person, signed: list[str], two: bool) -> None:
    """A version is signed by people who may approve, each once, and by no more than the station demands."""
    allowed = sign_fault(one, "q-quin", signed, two_persons=two) == ""

    assert allowed == (may(one, Right.APPROVE) and one.person not in signed and len(signed) < (2 if two else 1))
    assert sign_fault(None, "q-quin", signed, two_persons=two) != ""

"""When a held slot may be used: spacing at release, lateness, and slots that move along."""

from pydantic import SecretStr

from routing.held_slots import HeldSlot, HeldSlots, Verdict
from routing.provider_key import ProviderKey

KEY = ProviderKey("aa", SecretStr("s-1234"), "1234", 250, ((165, 30_000),))
OTHER = ProviderKey("bb", SecretStr("s-5678"), "5678", 0)


def slot(seq: int, moment: float, key: ProviderKey = KEY) -> HeldSlot:
    return HeldSlot(key, seq, round(moment * 1e3), moment, moment)


def holding(*slots: HeldSlot) -> HeldSlots:
    held = HeldSlots(0.003, 0.075)
    for each in slots:
        held.add(each)
    return held


def test_a_slot_is_not_used_before_its_moment() -> None:
    held = holding(slot(1, 10.0))
    assert held.judge(held.pop(), 9.999) is Verdict.EARLY


def test_calls_leave_their_spacing_apart_whatever_was_granted() -> None:
    held = holding(slot(1, 10.0), slot(2, 10.253))
    held.let_go(held.pop(), 10.01)
    second = held.pop()
    assert held.judge(second, 10.253) is Verdict.EARLY
    assert round(second.due, 4) == 10.2609, (
        "the spacing and a part of the margin, for what happens on the way"
    )
    assert held.judge(second, 10.2609) is Verdict.LATE


def test_a_call_that_was_sent_late_keeps_the_next_one_away() -> None:
    held = holding(slot(1, 10.0), slot(2, 10.253))
    held.let_go(held.pop(), 10.0)
    held.note_sent(KEY, 10.1)
    second = held.pop()
    assert held.judge(second, 10.253) is Verdict.EARLY
    assert round(second.due, 4) == 10.3509


def test_a_delay_within_the_rest_of_the_margin_is_nothing() -> None:
    held = holding(slot(1, 10.0))
    first = held.pop()
    assert held.judge(first, 10.002) is Verdict.GO
    assert held.judge(first, 10.0025) is Verdict.LATE


def test_a_later_slot_is_late_unless_the_next_one_is_here_too() -> None:
    held = holding(slot(1, 10.0))
    first = held.pop()
    assert held.judge(first, 10.02) is Verdict.LATE
    held.add(slot(2, 10.253))
    assert held.judge(first, 10.02) is Verdict.GO
    assert held.judge(first, 10.04) is Verdict.LATE


def test_slots_can_be_moved_while_all_later_ones_are_ours() -> None:
    held = holding(slot(1, 10.0), slot(2, 10.253), slot(5, 11.0), slot(6, 11.253))
    first, _, third = held.pop(), held.pop(), held.pop()
    assert held.count_tail(first) == 0
    assert held.count_tail(third) == 2
    held.move_tail(third, 100)
    assert [round(each.go_at, 3) for each in (first, third, held.pop())] == [10.0, 11.1, 11.353]
    held.note_overtaken(third)
    assert held.count_tail(third) == 0


def test_numbers_that_begin_anew_are_believed() -> None:
    held = holding(slot(700, 10.0))
    held.let_go(held.pop(), 10.0)
    held.add(slot(1, 50.0))
    assert held.count_tail(held.pop()) == 1


def test_an_unlimited_key_is_never_late() -> None:
    held = holding(slot(1, 10.0, OTHER))
    assert held.judge(held.pop(), 99.0) is Verdict.GO


def test_slots_of_a_key_that_must_rest_are_given_up() -> None:
    held = holding(slot(1, 10.0), slot(1, 10.1, OTHER), slot(2, 10.253))
    assert held.drop_key("aa") == 2
    assert held.pop().key is OTHER


def test_a_secret_is_not_shown() -> None:
    assert "s-1234" not in repr(KEY)
    assert "s-1234" not in repr(slot(1, 10.0))


def test_a_run_of_calls_makes_a_small_delay_good_by_itself() -> None:
    held = holding()
    assert held.recovery_ms(1) == 0, "one call alone makes up for nothing"
    assert 1 <= held.recovery_ms(3) < held.recovery_ms(10)
    assert held.recovery_ms(10_000) == 18, "not more than a quarter of the window's margin"

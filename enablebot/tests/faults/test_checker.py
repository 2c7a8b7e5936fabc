"""The checker finds what is wrong in histories that were made wrong on purpose, and nothing in one that is right."""

from dataclasses import replace

import pytest

from enablebot.tests.faults.checker import Account, Answer, Asked, History, Sent, Shown, Stored, check

ADA = Asked("T0A", "C1", "1.1", "1.1", "Ax1x")
# In Ada's thread, and delivered under two ids.
BEN = Asked("T0A", "C1", "2.1", "1.1", "Ax2x")
EVA = Asked("T0B", "D9", "3.1", "3.1", "Bx3x")


def answered(asked: Asked, ts: str) -> tuple[Stored, Answer, Shown]:
    stored = Stored(f"Ev{asked.ts}", asked.team, "done", "done", None)
    answer = Answer(asked.team, asked.channel, asked.ts, "complete", None, 1, frozenset({ts}))
    return stored, answer, Shown(asked.team, asked.channel, ts, asked.root, f"You asked about {asked.token}.")


def right() -> History:
    ends = [answered(ADA, "1.5"), answered(BEN, "2.5"), answered(EVA, "3.5")]
    sent = [Sent(f"Ev{asked.ts}", *asked.place, acknowledged=True) for asked in (ADA, BEN, EVA)]
    return History(
        asked=[ADA, BEN, EVA],
        sent=[*sent, Sent("EvTwin", *BEN.place, acknowledged=False), Sent("EvOther", "T0A", "C1", "9.9", True)],
        stored=[stored for stored, _, _ in ends],
        answers=[answer for _, answer, _ in ends],
        shown=[shown for _, _, shown in ends],
    )


def faults(history: History) -> list[str]:
    return sorted(check(history).faults)


def test_a_history_in_which_everything_was_answered_once_is_clean() -> None:
    account = check(right())
    assert account.is_clean, str(account)
    assert account.endings == {"answered": 3}


def test_an_acknowledged_question_without_a_trace_is_lost() -> None:
    history = right()
    lost = replace(history, stored=history.stored[1:], answers=history.answers[1:], shown=history.shown[1:])
    assert faults(lost) == ["acknowledged and lost"]
    assert "T0A/C1/1.1" in str(check(lost))


def test_a_question_that_was_never_acknowledged_is_told_apart_from_a_lost_one() -> None:
    history = right()
    refused = replace(
        history,
        sent=[replace(sent, acknowledged=False) for sent in history.sent if sent.ts == ADA.ts] + list(history.sent[1:]),
    )
    assert faults(refused) == ["never acknowledged"]
    account = check(refused, all_acknowledged=False)
    assert (account.is_clean, account.unacknowledged) == (True, 1)


def test_a_second_message_for_one_question_is_found_whoever_wrote_it() -> None:
    history = right()
    again = Shown("T0B", "D9", "3.9", "3.1", "You asked about Bx3x.")
    assert faults(replace(history, shown=[*history.shown, again])) == ["answered twice"]
    twice = replace(history.answers[2], ts=frozenset({"3.9"}))
    both = replace(history, shown=[*history.shown, again], answers=[*history.answers, twice])
    assert len(check(both).faults["answered twice"]) == 2


def test_a_thread_with_two_questions_may_hold_two_messages_and_no_third() -> None:
    history = right()
    third = Shown("T0A", "C1", "2.9", "1.1", "You asked about Ax2x.")
    assert faults(replace(history, shown=[*history.shown, third])) == ["answered twice"]


def test_further_parts_of_a_long_answer_are_no_second_answer() -> None:
    history = right()
    parts = replace(history.answers[2], parts=2, ts=frozenset({"3.5", "3.6"}))
    more = Shown("T0B", "D9", "3.6", "3.1", "and so on")
    long = replace(history, answers=[*history.answers[:2], parts], shown=[*history.shown, more])
    assert faults(long) == []


def test_an_ambiguous_answer_may_be_seen_once_more_and_is_counted() -> None:
    history = right()
    doubt = replace(history.answers[2], state="ambiguous", parts=2, ts=frozenset({"3.6"}))
    note = Shown("T0B", "D9", "3.6", "3.1", "I cannot tell whether my answer reached this conversation.")
    doubtful = replace(history, answers=[*history.answers[:2], doubt], shown=[*history.shown, note])
    account = check(doubtful)
    assert account.is_clean, str(account)
    assert account.endings == {"answered": 2, "ambiguous": 1}


def test_words_of_another_workspace_are_found() -> None:
    history = right()
    told = replace(history.shown[2], text="You asked about Bx3x. Earlier: Ax1x")
    assert faults(replace(history, shown=[*history.shown[:2], told])) == ["in another workspace"]


def test_an_answer_to_another_question_of_the_same_workspace_is_found() -> None:
    history = right()
    told = replace(history.shown[1], text="You asked about Ax1x.")
    wrong = replace(history, shown=[history.shown[0], told, history.shown[2]])
    assert faults(wrong) == ["answer to another question"]


def test_a_message_that_nobody_asked_for_is_found() -> None:
    history = right()
    aside = Shown("T0A", "C1", "7.7", "7.1", "May I add something?")
    assert faults(replace(history, shown=[*history.shown, aside])) == ["said without being asked"]


@pytest.mark.parametrize("state", ["queued", "ready", "claimed"])
def test_an_event_that_still_waits_is_found(state: str) -> None:
    history = right()
    waiting = replace(history.stored[0], state=state, outcome=None)
    stuck = replace(
        history, stored=[waiting, *history.stored[1:]], answers=history.answers[1:], shown=history.shown[1:]
    )
    assert faults(stuck) == ["still waiting"]


def test_an_answer_that_is_complete_in_the_database_only_is_found() -> None:
    history = right()
    assert faults(replace(history, shown=history.shown[:2])) == ["complete, but nothing to see"]


def test_a_failure_has_to_be_said() -> None:
    history = right()
    failed = replace(history.answers[2], state="failed", reason="quota")
    apology = replace(history.shown[2], text="I could not answer.")
    said = replace(history, answers=[*history.answers[:2], failed], shown=[*history.shown[:2], apology])
    assert check(said).endings == {"answered": 2, "failed": 1}
    assert faults(replace(said, shown=history.shown[:2])) == ["failed without a word"]


@pytest.mark.parametrize(
    ("state", "outcome", "ending"), [("set_aside", None, "set aside"), ("done", "expired", "dropped")]
)
def test_what_is_set_aside_or_dropped_needs_a_reason(state: str, outcome: str | None, ending: str) -> None:
    history = right()
    aside = replace(history.stored[0], state=state, outcome=outcome, reason="poison")
    kept = replace(history, stored=[aside, *history.stored[1:]], answers=history.answers[1:], shown=history.shown[1:])
    account: Account = check(kept)
    assert account.is_clean, str(account)
    assert account.endings == {"answered": 2, ending: 1}
    silent = replace(kept, stored=[replace(aside, reason=None), *history.stored[1:]])
    assert faults(silent) == ["acknowledged and lost"]


def test_a_stream_that_nobody_ended_is_found() -> None:
    history = right()
    hanging = replace(history.shown[2], is_open=True)
    assert faults(replace(history, shown=[*history.shown[:2], hanging])) == ["stream left open"]


def test_broken_rules_of_slack_count_unless_the_test_provoked_them() -> None:
    history = replace(right(), violations=["late_acknowledgement: Ev1"])
    assert faults(history) == ["rule of Slack's broken"]
    assert check(history, excused_violations=frozenset({"late_acknowledgement"})).is_clean

"""Bugs of events that are set aside, and of putting them back."""

from enablebot.tests.mutants.mutant import Change, Mutant

_REPLAYS = "enablebot/shared/database/migrations/functions/replays.sql"
_REPLAYED = (
    "enablebot/tests/faults/test_qd09_set_aside.py::"
    "test_what_was_set_aside_is_listed_and_replayed_once_however_often_it_is_asked_for"
)

MUTANTS = (
    Mutant(
        "an event is replayed as often as it is asked for",
        (
            Change(
                _REPLAYS,
                "and i.id = p_id and i.state = 'set_aside' for update;\n  if not found then",
                "and i.id = p_id for update;\n  if not found then",
            ),
        ),
        (_REPLAYED,),
    ),
    Mutant(
        "a replay is not audited",
        (
            Change(
                _REPLAYS,
                "  perform enablebot.inner_append_audit("
                "p_tenant_id, p_actor, 'event.replay', p_id::text, 'ok', null);\n",
                "",
            ),
        ),
        (
            _REPLAYED,
            "enablebot/tests/test_cli_events.py::"
            "test_an_event_that_is_put_back_is_claimed_with_all_its_attempts_and_audited",
        ),
    ),
    Mutant(
        "a replayed answer leaves its apology standing",
        (
            Change(
                _REPLAYS,
                "and a.event_id = p_id and a.state = 'failed';",
                "and a.event_id = p_id and a.state = 'none';",
            ),
        ),
        (_REPLAYED,),
    ),
    Mutant(
        "a replay shows the apology again",
        (
            Change(
                "enablebot/api/answering/service.py",
                '            if draft is not None and draft.reason == "gave_up":\n',
                "            if False:\n",
            ),
        ),
        (_REPLAYED,),
    ),
    Mutant(
        "nobody is told of what is set aside",
        (Change("enablebot/api/settling.py", "        self._metrics.events_set_aside.inc()\n", ""),),
        (_REPLAYED,),
    ),
)

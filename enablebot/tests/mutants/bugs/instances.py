"""Bugs of several instances: leaving, and keeping what the others need."""

from enablebot.tests.mutants.mutant import Change, Mutant

_SESSIONS = "enablebot/shared/database/operations/sessions.py"
_ROLLING = (
    "enablebot/tests/deploy/test_rolling.py::"
    "test_a_rolling_restart_under_load_refuses_nothing_loses_nothing_and_repeats_nothing"
)

MUTANTS = (
    Mutant(
        "ready until it is gone",
        (
            Change(
                "enablebot/shared/health.py",
                '        if self.draining:\n            return Readiness(False, {"process": "draining"})\n',
                "",
            ),
        ),
        (_ROLLING,),
    ),
    Mutant(
        "leaves without giving back",
        (
            Change(
                "enablebot/api/worker.py",
                "        if self._claiming is None:\n            return\n        deadline =",
                "        return\n        deadline =",
            ),
        ),
        (_ROLLING,),
    ),
    Mutant(
        "logins under way kept in memory",
        (
            Change(
                _SESSIONS,
                "\n\nclass SessionCalls(Calls):\n",
                "\n\n_STATES: dict[bytes, tuple[str, str | None]] = {}\n\n\nclass SessionCalls(Calls):\n",
            ),
            Change(
                _SESSIONS,
                '        """Remember one OAuth state for the browser it was given to."""\n',
                "        _STATES[state_hash] = (purpose, return_to)\n",
            ),
            Change(
                _SESSIONS,
                '        found = await self._call("consume_oauth_state", '
                "state_hash=state_hash, browser_hash=browser_hash)\n"
                "        return None if found is None else OAuthStateRow.model_validate(found)\n",
                "        kept = _STATES.pop(state_hash, None)\n"
                "        return None if kept is None else OAuthStateRow(purpose=kept[0], return_to=kept[1])\n",
            ),
        ),
        (
            "enablebot/tests/faults/test_instances.py::"
            "test_what_one_instance_began_another_finishes_and_none_keeps_anything_of_its_own",
        ),
    ),
)

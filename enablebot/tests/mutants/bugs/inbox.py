"""Bugs of the inbox: what is acknowledged, claimed, counted and settled."""

from enablebot.tests.mutants.mutant import Change, Mutant

_FUNCTIONS = "enablebot/shared/database/migrations/functions"
_LEASES = "enablebot/tests/shared/test_database_leases.py"

MUTANTS = (
    Mutant(
        "synchronous_commit off",
        (
            Change(
                "enablebot/shared/database/postgres.py",
                "                max_cached_statement_lifetime=0,\n",
                "                max_cached_statement_lifetime=0,\n"
                '                server_settings={"synchronous_commit": "off"},\n',
            ),
            # Else no service would start, and nobody would see what is lost.
            Change(
                "enablebot/shared/database/readiness.py",
                'if found.synchronous_commit == "off":',
                "if False:",
            ),
        ),
        (
            "enablebot/tests/faults/test_qd03_postgres_restarts.py::"
            "test_a_postgres_that_crashes_under_load_loses_nothing_and_needs_no_restart_of_ours",
        ),
    ),
    Mutant(
        "200 before the commit",
        (
            Change(
                "enablebot/api/slack/acceptance.py",
                "                return Acknowledgement(await self._intake.accept(relevant, body))\n",
                "                __import__('asyncio').ensure_future(self._intake.accept(relevant, body))\n"
                '                return Acknowledgement("accepted")\n',
            ),
        ),
        ("enablebot/tests/api/test_main.py::test_without_the_database_nothing_is_acknowledged",),
    ),
    Mutant(
        "attempts counted after the job",
        (
            Change(
                f"{_FUNCTIONS}/claims.sql",
                "set state = 'claimed', attempts = i.attempts + 1, claim_token",
                "set state = 'claimed', claim_token",
            ),
            Change(
                f"{_FUNCTIONS}/settling.sql",
                "t order by t));\n  v_settled := enablebot.inner_settle(",
                "t order by t));\n  update inbox i set attempts = i.attempts + 1\n"
                "  from unnest(p_tenant_ids, p_ids) as s (tenant_id, id)\n"
                "  where i.tenant_id = s.tenant_id and i.id = s.id;\n"
                "  v_settled := enablebot.inner_settle(",
            ),
        ),
        (
            f"{_LEASES}::"
            "test_what_a_person_waits_for_comes_back_once_more_after_three_lost_claims_and_is_then_set_aside",
        ),
    ),
    Mutant(
        "lease without fencing",
        (
            Change(
                f"{_FUNCTIONS}/settling.sql",
                " and i.claim_token = s.token\n      for update\n    ) i\n    order by i.row, s.place\n",
                "\n      for update\n    ) i\n    order by i.row, s.place\n",
            ),
        ),
        (
            f"{_LEASES}::test_a_claim_whose_lease_ran_out_is_claimed_again_and_the_old_token_is_fenced_off",
            f"{_LEASES}::test_an_event_settles_once",
        ),
    ),
    Mutant(
        "nobody asks for the claim's token",
        (
            Change(
                f"{_FUNCTIONS}/conversations.sql",
                " and i.state = 'claimed' and i.claim_token = p_claim_token\n",
                " and i.state = 'claimed'\n",
            ),
            Change(
                f"{_FUNCTIONS}/settling.sql",
                "and i.claim_token = s.token\n      for update\n    ) i\n    order by i.row",
                "\n      for update\n    ) i\n    order by i.row",
            ),
            Change(
                f"{_FUNCTIONS}/settling.sql",
                "and i.claim_token = s.token\n    for update\n  ) i;\n  perform enablebot.inner_write_lease",
                "\n    for update\n  ) i;\n  perform enablebot.inner_write_lease",
            ),
            Change(
                f"{_FUNCTIONS}/signals.sql",
                "i.id = s.id and i.claim_token = s.token",
                "i.id = s.id and i.state = 'claimed'",
            ),
        ),
        (
            "enablebot/tests/faults/test_qd10_frozen_worker.py::"
            "test_a_worker_that_stood_still_past_its_lease_says_and_writes_nothing_more",
        ),
    ),
)

"""The bugs that this product must never have, and the tests that would notice each."""

from enablebot.tests.mutants.mutant import Change, Mutant, ToCome

_FUNCTIONS = "enablebot/shared/database/migrations/functions"
_SCHEMA = "enablebot/shared/database/migrations/001_create_multi_tenant_schema.sql"
_WALL = "enablebot/shared/database/migrations/002_raise_tenant_wall.sql"
_SESSIONS = "enablebot/shared/database/operations/sessions.py"
_SHARED = "enablebot/tests/shared"
_ROLLING = (
    "enablebot/tests/deploy/test_rolling.py::"
    "test_a_rolling_restart_under_load_refuses_nothing_loses_nothing_and_repeats_nothing"
)

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
                "                asyncio.ensure_future(self._intake.accept(relevant, body))  # noqa: RUF006\n"
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
            f"{_SHARED}/test_database_leases.py::"
            "test_what_a_person_waits_for_comes_back_once_more_after_three_lost_claims_and_is_then_set_aside",
        ),
    ),
    Mutant(
        "no associated data",
        (
            Change(
                "enablebot/shared/encryption/encryption.py",
                '_set_bound(self, tenant_id.int.to_bytes(16, "big") + label + row.encode("utf-8", "surrogatepass"))',
                '_set_bound(self, b"")',
            ),
        ),
        (
            f"{_SHARED}/test_encryption.py::test_no_value_opens_in_any_other_tenant_column_or_row",
            f"{_SHARED}/test_installations.py::test_a_token_is_stored_sealed_for_its_place",
        ),
    ),
    Mutant(
        "tenants declared beyond the transaction",
        (
            Change(
                _WALL,
                "perform set_config('enablebot.tenants', coalesce(p_tenants, '{}')::text, true);",
                "perform set_config('enablebot.tenants', coalesce(p_tenants, '{}')::text, false);",
            ),
        ),
        (
            f"{_SHARED}/test_database_connections.py::test_a_connection_forgets_its_tenants_with_the_transaction",
            f"{_SHARED}/test_database_connections.py::test_two_thousand_transactions_of_many_tenants_never_mix",
            f"{_SHARED}/test_database_connections.py::test_no_sql_declares_tenants_beyond_its_transaction",
        ),
    ),
    Mutant(
        "row-level security not forced",
        (Change(_WALL, "enable row level security, force row level security'", "enable row level security'"),),
        (
            f"{_SHARED}/test_database_catalogue.py::test_the_catalogue_has_no_hole_in_the_wall",
            f"{_SHARED}/test_database_wall.py::test_no_command_on_any_table_reaches_a_tenant_that_is_not_declared",
            f"{_SHARED}/test_database_wall.py::"
            "test_a_function_that_forgot_its_where_returns_the_declared_tenant_s_rows_only",
        ),
    ),
    Mutant(
        "foreign key without the tenant",
        (
            Change(
                _SCHEMA,
                "  primary key (tenant_id, id),\n  unique (tenant_id, lane)\n",
                "  primary key (tenant_id, id),\n  unique (id),\n  unique (tenant_id, lane)\n",
            ),
            Change(
                _SCHEMA,
                "  foreign key (tenant_id, conversation_id) references enablebot.conversations (tenant_id, id)\n);",
                "  foreign key (conversation_id) references enablebot.conversations (id)\n);",
            ),
        ),
        (f"{_SHARED}/test_database_catalogue.py::test_the_catalogue_has_no_hole_in_the_wall",),
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
            f"{_SHARED}/test_database_leases.py::"
            "test_a_claim_whose_lease_ran_out_is_claimed_again_and_the_old_token_is_fenced_off",
            f"{_SHARED}/test_database_leases.py::test_an_event_settles_once",
        ),
    ),
    Mutant(
        "slack_sdk's own retries",
        (Change("enablebot/shared/slack/client.py", "            retry_handlers=[],\n", ""),),
        (f"{_SHARED}/test_slack_client.py::test_a_lost_answer_is_an_unknown_outcome_and_is_never_repeated",),
    ),
    Mutant(
        "links unfurled",
        (Change("enablebot/shared/slack/client.py", '"unfurl_links": False', '"unfurl_links": True'),),
        (f"{_SHARED}/test_slack_client.py::test_posts_and_updates_without_unfurling",),
    ),
    Mutant(
        "audit outside the transaction",
        (
            Change(
                f"{_FUNCTIONS}/installations.sql",
                "  perform enablebot.inner_append_audit("
                "p_tenant_id, p_actor, 'installation.end', p_tenant_id::text, p_reason, null);\n",
                "",
            ),
            Change(
                "enablebot/shared/database/operations/installations.py",
                "        return EndedRow.model_validate(\n"
                '            await self._call("end_installation", tenant_id=tenant_id, event_time=event_time, '
                "reason=reason, actor=actor)\n"
                "        )\n",
                "        ended = EndedRow.model_validate(\n"
                '            await self._call("end_installation", tenant_id=tenant_id, event_time=event_time, '
                "reason=reason, actor=actor)\n"
                "        )\n"
                "        await self._call(\n"
                '            "append_audit", tenant_id=tenant_id, actor=actor, action="installation.end",\n'
                "            object=str(tenant_id), outcome=reason, detail=None,\n"
                "        )\n"
                "        return ended\n",
            ),
        ),
        (f"{_SHARED}/test_audit.py::test_no_row_no_action[end]",),
    ),
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

TO_COME = (ToCome("unlink of a passage forgotten on delete", "with documents (issue 5)"),)

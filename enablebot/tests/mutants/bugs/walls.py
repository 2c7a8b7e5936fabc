"""Bugs of the walls between workspaces, of sealing and of the audit trail."""

from enablebot.tests.mutants.mutant import Change, Mutant

_FUNCTIONS = "enablebot/shared/database/migrations/functions"
_SCHEMA = "enablebot/shared/database/migrations/001_create_multi_tenant_schema.sql"
_WALL = "enablebot/shared/database/migrations/002_raise_tenant_wall.sql"
_SHARED = "enablebot/tests/shared"

MUTANTS = (
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
)

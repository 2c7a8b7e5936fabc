-- The tenant wall: row-level security on every table, enabled and forced, for the tables' owner too.

set local role enablebot_owner;

-- The tenants this transaction works for. Unset, and the '' that a finished transaction leaves behind, mean none.
-- Plain and without a search_path of its own, so that it is inlined into policies; it names pg_catalog only.
create function enablebot.tenants() returns uuid[]
language sql stable parallel safe
return coalesce(
  nullif(pg_catalog.current_setting('enablebot.tenants', true), '')::pg_catalog.uuid[],
  '{}'::pg_catalog.uuid[]
);
comment on function enablebot.tenants() is 'Tenants declared for this transaction';

-- Every function that reaches a tenant's rows calls this first. The setting ends with the transaction.
create function enablebot.work_for(p_tenants uuid[]) returns void
language plpgsql
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform set_config('enablebot.tenants', coalesce(p_tenants, '{}')::text, true);
end
$$;
comment on function enablebot.work_for(uuid[]) is 'Declare the tenants this transaction works for';

-- Not for the services: their functions declare their tenants themselves.
revoke all on function enablebot.tenants(), enablebot.work_for(uuid[]) from public;
grant execute on function enablebot.tenants(), enablebot.work_for(uuid[]) to enablebot_router;

do $$
declare
  v_table name;
  v_column name;
  v_wall text;
begin
  for v_table in select c.relname from pg_class c where c.relnamespace = 'enablebot'::regnamespace and c.relkind = 'r' loop
    execute format('alter table enablebot.%I enable row level security, force row level security', v_table);
    -- Truncate knows no policies, and a trigger could carry rows elsewhere: not even the owner has either.
    execute format('revoke truncate, trigger on enablebot.%I from enablebot_owner', v_table);
    continue when v_table in ('oauth_states', 'schema_migrations', 'schema_functions');

    -- A function that forgets its WHERE sees and changes the declared tenants' rows only; one policy a command, each
    -- with its check, so that no row can be moved to another tenant either. The cast makes this an array test, with
    -- the declared tenants read once a statement instead of once a row.
    v_column := case v_table when 'tenants' then 'id' else 'tenant_id' end;
    v_wall := format('%I = any ((select enablebot.tenants())::uuid[])', v_column);
    execute format('create policy tenant_select on enablebot.%I for select to enablebot_owner using (%s)', v_table, v_wall);
    execute format('create policy tenant_insert on enablebot.%I for insert to enablebot_owner with check (%s)', v_table, v_wall);
    -- The audit trail has neither: nobody changes or deletes its rows.
    continue when v_table = 'audit';
    execute format(
      'create policy tenant_update on enablebot.%I for update to enablebot_owner using (%s) with check (%2$s)', v_table, v_wall);
    execute format('create policy tenant_delete on enablebot.%I for delete to enablebot_owner using (%s)', v_table, v_wall);
  end loop;
end
$$;

-- From here on: every policy that is not bound to a tenant, with what it is for. A test holds this list to these.

-- Migrations belong to no tenant; whoever migrates is a member of the owner.
create policy migrations_select on enablebot.schema_migrations for select to enablebot_owner using (true);
create policy migrations_insert on enablebot.schema_migrations for insert to enablebot_owner with check (true);
create policy migrations_select on enablebot.schema_functions for select to enablebot_owner using (true);
create policy migrations_insert on enablebot.schema_functions for insert to enablebot_owner with check (true);
create policy migrations_update on enablebot.schema_functions for update to enablebot_owner using (true) with check (true);

-- An event names a team, not a tenant: the router looks it up, and which tenants share a credential.
grant select on enablebot.tenants to enablebot_router;
create policy router_select on enablebot.tenants for select to enablebot_router using (true);

-- Whoever comes back from Slack is known by the state and the browser alone.
grant select, insert, delete on enablebot.oauth_states to enablebot_router;
create policy router_select on enablebot.oauth_states for select to enablebot_router using (true);
create policy router_insert on enablebot.oauth_states for insert to enablebot_router with check (true);
create policy router_delete on enablebot.oauth_states for delete to enablebot_router using (true);

-- A cookie names no tenant. Starting a session does, and is not the router's.
grant select, delete, update (last_seen_at, idle_expires_at) on enablebot.sessions to enablebot_router;
create policy router_select on enablebot.sessions for select to enablebot_router using (true);
create policy router_update on enablebot.sessions for update to enablebot_router using (true) with check (true);
create policy router_delete on enablebot.sessions for delete to enablebot_router using (true);

-- A worker asks for whatever waits next, whoever's it is; the sealed body is read for the tenants then claimed.
grant select, delete on enablebot.inbox to enablebot_router;
grant update (state, attempts, claim_token, lease_until, claimed_by) on enablebot.inbox to enablebot_router;
create policy router_select on enablebot.inbox for select to enablebot_router using (true);
-- Out of what is ready, into a claim, and nothing else.
create policy router_update on enablebot.inbox for update to enablebot_router
  using (state = 'ready') with check (state = 'claimed');
-- Pruning by age takes what is settled.
create policy router_delete on enablebot.inbox for delete to enablebot_router using (settled_at is not null);

-- Pruning by age: keys are event ids and timestamps, of everybody.
grant select, delete on enablebot.dedupe_keys to enablebot_router;
create policy router_select on enablebot.dedupe_keys for select to enablebot_router using (true);
create policy router_delete on enablebot.dedupe_keys for delete to enablebot_router using (true);

-- No policy allows changing an audit row; these refuse it to whom policies do not bind: superusers and BYPASSRLS.
create function enablebot.refuse_audit_change() returns trigger
language plpgsql
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  raise exception 'the audit trail is append-only' using errcode = 'insufficient_privilege';
end
$$;
revoke all on function enablebot.refuse_audit_change() from public;

grant trigger on enablebot.audit to enablebot_owner;
create trigger audit_is_append_only before update or delete on enablebot.audit
  for each row execute function enablebot.refuse_audit_change();
create trigger audit_is_never_emptied before truncate on enablebot.audit
  for each statement execute function enablebot.refuse_audit_change();
-- Replicas' sessions skip ordinary triggers, and any superuser can pretend to be one.
alter table enablebot.audit enable always trigger audit_is_append_only;
alter table enablebot.audit enable always trigger audit_is_never_emptied;
revoke update, delete, trigger on enablebot.audit from enablebot_owner;

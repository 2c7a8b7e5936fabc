-- Upkeep, and the questions that start-up asks of a database.

set local role enablebot_router;

-- Each part takes at most p_limit rows, so that no run holds locks for long.
create or replace function enablebot.prune(p_dedupe_days int, p_done_days int, p_limit int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_keys bigint;
  v_events bigint;
  v_states bigint;
  v_sessions bigint;
begin
  -- One at a time: two that met each other's rows in another order would deadlock. The second has nothing to do.
  if not pg_try_advisory_xact_lock(hashtextextended('enablebot.prune', 0)) then
    return jsonb_build_object('dedupe_keys', 0, 'events', 0, 'oauth_states', 0, 'sessions', 0);
  end if;

  delete from dedupe_keys d
  using (
    select k.tenant_id, k.key from dedupe_keys k
    where k.created_at < now() - make_interval(days => p_dedupe_days)
    limit p_limit
  ) o
  where d.tenant_id = o.tenant_id and d.key = o.key;
  get diagnostics v_keys = row_count;

  -- Bodies of events set aside go with them.
  delete from inbox i
  using (
    select s.tenant_id, s.id from inbox s
    where s.settled_at < now() - make_interval(days => p_done_days)
    order by s.settled_at
    limit p_limit
  ) o
  where i.tenant_id = o.tenant_id and i.id = o.id and i.settled_at < now() - make_interval(days => p_done_days);
  get diagnostics v_events = row_count;

  delete from oauth_states o
  where o.state_hash in (
    select e.state_hash from oauth_states e where e.expires_at <= now() order by e.expires_at limit p_limit);
  get diagnostics v_states = row_count;

  delete from sessions s
  using (
    select e.tenant_id, e.id_hash from sessions e
    where e.idle_expires_at <= now() or e.expires_at <= now()
    limit p_limit
  ) o
  where s.tenant_id = o.tenant_id and s.id_hash = o.id_hash and (s.idle_expires_at <= now() or s.expires_at <= now());
  get diagnostics v_sessions = row_count;

  return jsonb_build_object(
    'dedupe_keys', v_keys, 'events', v_events, 'oauth_states', v_states, 'sessions', v_sessions);
end
$$;
revoke all on function enablebot.prune from public;
grant execute on function enablebot.prune to enablebot_api;

set local role enablebot_owner;

-- What the router may not read itself, for tenants that its caller has declared.
create or replace function enablebot.inner_count_data_keys() returns table (master_key_id text, data_keys bigint)
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  return query
    select k.master_key_id, count(*)
    from data_keys k
    where k.tenant_id = any ((select enablebot.tenants())::uuid[]) and k.destroyed_at is null
    group by k.master_key_id;
end
$$;

-- The scopes of an active installation, for a tenant that its caller has declared.
create or replace function enablebot.inner_scopes(p_tenant_id uuid) returns text[]
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  return (select i.scopes from installations i where i.tenant_id = p_tenant_id and i.status = 'active');
end
$$;

revoke all on function enablebot.inner_count_data_keys, enablebot.inner_scopes from public;
grant execute on function enablebot.inner_count_data_keys, enablebot.inner_scopes to enablebot_router;

set local role enablebot_router;

-- Counts by master key id, of everybody: start-up refuses when one of these keys is not configured.
create or replace function enablebot.get_master_key_use() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_tenants constant uuid[] := array(select t.id from tenants t order by t.id);
  v_counts jsonb := '{}';
begin
  -- A few hundred at a time: every row is compared with the declared tenants, however many these are.
  for i in 1 .. cardinality(v_tenants) by 500 loop
    perform enablebot.work_for(v_tenants[i : i + 499]);
    select v_counts || coalesce(jsonb_object_agg(
             k.master_key_id, k.data_keys + coalesce((v_counts ->> k.master_key_id)::bigint, 0)), '{}')
    into v_counts
    from enablebot.inner_count_data_keys() k;
  end loop;
  return (
    select coalesce(jsonb_agg(
      jsonb_build_object('master_key_id', c.key, 'data_keys', c.value::bigint) order by c.key), '[]')
    from jsonb_each_text(v_counts) c
  );
end
$$;

-- The operators' overview, a page at a time: who is here, never what was said.
create or replace function enablebot.list_tenants(p_after uuid, p_limit int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_page uuid[];
begin
  v_page := array(
    select t.id from tenants t where p_after is null or t.id > p_after order by t.id limit p_limit);
  -- The scopes of a workspace that shares its organisation's credential are the organisation's.
  perform enablebot.work_for(array(
    select distinct coalesce(t.credential_tenant_id, t.id) from tenants t where t.id = any (v_page)));
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'tenant_id', t.id, 'kind', t.kind, 'team_id', t.team_id, 'enterprise_id', t.enterprise_id, 'name', t.name,
      'status', case t.status when 'active' then c.status else t.status end,
      'credential_tenant_id', c.id, 'installed_at', c.installed_at, 'created_at', t.created_at,
      'scopes', coalesce(to_jsonb(enablebot.inner_scopes(c.id)), '[]')) order by t.id), '[]')
    from tenants t
    join tenants c on c.id = coalesce(t.credential_tenant_id, t.id)
    where t.id = any (v_page)
  );
end
$$;

revoke all on function enablebot.get_master_key_use, enablebot.list_tenants from public;
grant execute on function enablebot.get_master_key_use to enablebot_api, enablebot_web;
grant execute on function enablebot.list_tenants to enablebot_web;

set local role enablebot_owner;

-- The checksum is over names and checksums of the function files, as migrating computes it.
create or replace function enablebot.schema_version(p_functions text[]) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  return jsonb_build_object(
    'asked_at', clock_timestamp(),
    'synchronous_commit', current_setting('synchronous_commit'),
    'version', (select coalesce(max(m.version), 0) from schema_migrations m),
    'functions_checksum', encode(sha256(convert_to(coalesce(
      (select string_agg(f.name || ':' || f.checksum || E'\n', '' order by f.name) from schema_functions f), ''), 'UTF8')),
      'hex'),
    'missing', (
      select coalesce(jsonb_agg(n.name order by n.place), '[]')
      from unnest(p_functions) with ordinality as n (name, place)
      where not exists (
        select from pg_proc p where p.pronamespace = 'enablebot'::regnamespace and p.proname = n.name))
  );
end
$$;

-- Behind SECURITY DEFINER current_user is this function's owner: who called is the role that was set, or the login.
create or replace function enablebot.login_strength() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_login constant name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
  v_owners constant oid[] := array[
    'enablebot_owner'::regrole, 'enablebot_router'::regrole, 'enablebot_searcher'::regrole];
begin
  return (
    with recursive memberships as (
      select m.roleid from pg_auth_members m join pg_roles r on r.oid = m.member where r.rolname = v_login
      union
      select m.roleid from pg_auth_members m join memberships s on s.roleid = m.member
    ),
    privileges as (
      select format('table %s is granted to %s', c.relname, coalesce(r.rolname, 'public')) as fault
      from pg_class c
      cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
      left join pg_roles r on r.oid = a.grantee
      where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
        and a.grantee <> all (v_owners)
      union
      select format('column %s.%s is granted to %s', c.relname, b.attname, coalesce(r.rolname, 'public'))
      from pg_class c
      join pg_attribute b on b.attrelid = c.oid
      cross join lateral aclexplode(b.attacl) a
      left join pg_roles r on r.oid = a.grantee
      where c.relnamespace = 'enablebot'::regnamespace and a.grantee <> all (v_owners)
      union
      select format('function %s may be executed by %s', p.proname, coalesce(r.rolname, 'public'))
      from pg_proc p
      cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      left join pg_roles r on r.oid = a.grantee
      where p.pronamespace = 'enablebot'::regnamespace
        and (a.grantee = 0 or r.rolname in ('anon', 'authenticated'))
      union
      select format('table %s has row-level security %s', c.relname,
                    case when c.relrowsecurity then 'not forced' else 'off' end)
      from pg_class c
      where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
        and not (c.relrowsecurity and c.relforcerowsecurity)
      union
      select format('%s belongs to %s', c.relname, c.relowner::regrole)
      from pg_class c
      where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
        and c.relowner <> 'enablebot_owner'::regrole
      union
      select format('function %s belongs to %s', p.proname, p.proowner::regrole)
      from pg_proc p
      where p.pronamespace = 'enablebot'::regnamespace and p.proowner <> all (v_owners)
      union
      select format('role %s bypasses the tenant wall', r.rolname)
      from pg_roles r
      where r.oid = any (v_owners) and (r.rolsuper or r.rolbypassrls)
      union
      select format('role %s is a member of %s', g.member::regrole, g.roleid::regrole)
      from pg_auth_members g
      join pg_roles r on r.oid = g.member
      where g.roleid = any (v_owners) and r.rolname in ('enablebot_api', 'enablebot_web', 'anon', 'authenticated')
    )
    select jsonb_build_object(
      'login', v_login,
      'superuser', r.rolsuper,
      'bypass_rls', r.rolsuper or r.rolbypassrls,
      'owner', r.rolsuper or exists (select from memberships m where m.roleid = any (v_owners)),
      'member_of', coalesce(
        (select jsonb_agg(m.roleid::regrole::text order by m.roleid::regrole::text) from memberships m), '[]'),
      'faults', coalesce((select jsonb_agg(p.fault order by p.fault) from privileges p), '[]'))
    from pg_roles r
    where r.rolname = v_login
  );
end
$$;

revoke all on function enablebot.schema_version, enablebot.login_strength from public;
grant execute on function enablebot.schema_version, enablebot.login_strength to enablebot_api, enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.prune, enablebot.get_master_key_use, enablebot.list_tenants, enablebot.schema_version,
      enablebot.login_strength to service_role;
  end if;
end
$$;

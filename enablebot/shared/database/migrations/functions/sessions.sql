-- OAuth states and signed-in people, and what their dashboard shows.

set local role enablebot_router;

create or replace function enablebot.begin_oauth(
  p_state_hash bytea, p_browser_hash bytea, p_purpose text, p_return_to text, p_lifetime_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_expires_at constant timestamptz := clock_timestamp() + make_interval(secs => p_lifetime_seconds);
begin
  -- Whoever begins clears away a few that nobody came back for, so that the table stays small by itself.
  delete from oauth_states o
  where o.state_hash in (
    select e.state_hash from oauth_states e where e.expires_at <= now() order by e.expires_at limit 20);
  insert into oauth_states (state_hash, browser_hash, purpose, return_to, expires_at)
  values (p_state_hash, p_browser_hash, p_purpose, p_return_to, v_expires_at);
  return jsonb_build_object('expires_at', v_expires_at);
end
$$;

-- Deleting is using: of two callbacks with one state, one finds nothing. Another browser's attempt uses nothing up.
create or replace function enablebot.consume_oauth_state(p_state_hash bytea, p_browser_hash bytea) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_state jsonb;
begin
  delete from oauth_states o
  where o.state_hash = p_state_hash and o.browser_hash = p_browser_hash and o.expires_at > clock_timestamp()
  returning jsonb_build_object('purpose', o.purpose, 'return_to', o.return_to) into v_state;
  return v_state;
end
$$;

create or replace function enablebot.find_session(p_session_hash bytea) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_session record;
begin
  select s.* into v_session
  from sessions s
  where s.id_hash = p_session_hash and s.idle_expires_at > v_now and s.expires_at > v_now;
  if not found then
    return null;
  end if;
  -- Once in a while is enough: a page of many requests would otherwise write one row as often.
  if v_now - v_session.last_seen_at > least(interval '1 minute', make_interval(secs => v_session.idle_seconds) / 10) then
    update sessions s
    set last_seen_at = v_now, idle_expires_at = v_now + make_interval(secs => s.idle_seconds)
    where s.tenant_id = v_session.tenant_id and s.id_hash = p_session_hash;
  end if;
  return jsonb_build_object(
    'tenant_id', v_session.tenant_id, 'user_id', v_session.user_id, 'role', v_session.role,
    'expires_at', v_session.expires_at);
end
$$;

create or replace function enablebot.end_session(p_session_hash bytea) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  delete from sessions s where s.id_hash = p_session_hash;
  return jsonb_build_object('ended', found);
end
$$;

set local role enablebot_owner;

create or replace function enablebot.start_session(
  p_tenant_id uuid, p_session_hash bytea, p_user_id text, p_role text, p_idle_seconds int, p_absolute_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_expires_at constant timestamptz := v_now + make_interval(secs => p_absolute_seconds);
begin
  perform enablebot.work_for(array[p_tenant_id]);
  insert into sessions (
    tenant_id, id_hash, user_id, role, idle_seconds, created_at, last_seen_at, idle_expires_at, expires_at)
  values (
    p_tenant_id, p_session_hash, p_user_id, p_role, p_idle_seconds, v_now, v_now,
    v_now + make_interval(secs => p_idle_seconds), v_expires_at);
  perform enablebot.inner_append_audit(p_tenant_id, p_user_id, 'session.start', p_role, 'ok', null);
  return jsonb_build_object('expires_at', v_expires_at);
end
$$;

create or replace function enablebot.get_overview(p_tenant_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_credential uuid;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  select coalesce(t.credential_tenant_id, t.id) into v_credential from tenants t where t.id = p_tenant_id;
  if v_credential is null then
    return null;
  end if;
  -- The tenant's own row says whose installation it shares; that one is declared too.
  perform enablebot.work_for(array[p_tenant_id, v_credential]);
  return jsonb_build_object(
    'tenant', (
      select jsonb_build_object(
        'id', t.id, 'kind', t.kind, 'team_id', t.team_id, 'enterprise_id', t.enterprise_id, 'name', t.name,
        'status', case t.status when 'active' then c.status else t.status end, 'created_at', t.created_at)
      from tenants t
      join tenants c on c.id = v_credential
      where t.id = p_tenant_id),
    'installation', (
      select jsonb_build_object(
        'id', i.id, 'team_id', i.team_id, 'enterprise_id', i.enterprise_id, 'is_org_wide', i.is_org_wide,
        'app_id', i.app_id, 'bot_user_id', i.bot_user_id, 'scopes', to_jsonb(i.scopes), 'installed_by', i.installed_by,
        'installed_at', i.installed_at, 'status', i.status)
      from installations i
      where i.tenant_id = v_credential
      order by i.status = 'active' desc, i.installed_at desc
      limit 1),
    -- Documents are no word from Slack: they come from the dashboard and the API, too, and say themselves how they are.
    'last_event_at', (
      select i.received_at from inbox i
      where i.tenant_id = p_tenant_id and i.kind <> 'document'
      order by i.id desc limit 1),
    'last_answer_at', (
      select max(a.finished_at) from answers a where a.tenant_id = p_tenant_id and a.state = 'complete'),
    -- State by state, so that each count reads its own small index.
    'waiting', (
      select count(*) from inbox i
      where i.tenant_id = p_tenant_id and i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document'))
      + (select count(*) from inbox i where i.tenant_id = p_tenant_id and i.state = 'queued')
      + (select count(*) from inbox i where i.tenant_id = p_tenant_id and i.state = 'held'),
    'answered', (select count(*) from answers a where a.tenant_id = p_tenant_id and a.state = 'complete'),
    'failed', (select count(*) from answers a where a.tenant_id = p_tenant_id and a.state in ('failed', 'ambiguous')),
    'set_aside', (
      select count(*) from inbox i
      where i.tenant_id = p_tenant_id and i.state = 'set_aside' and i.kind <> 'document')
  );
end
$$;

revoke all on function enablebot.start_session, enablebot.get_overview from public;
grant execute on function enablebot.start_session to enablebot_web;
grant execute on function enablebot.get_overview to enablebot_api, enablebot_web;

set local role enablebot_router;
revoke all on function
  enablebot.begin_oauth, enablebot.consume_oauth_state, enablebot.find_session, enablebot.end_session from public;
grant execute on function
  enablebot.begin_oauth, enablebot.consume_oauth_state, enablebot.find_session, enablebot.end_session to enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.begin_oauth, enablebot.consume_oauth_state, enablebot.start_session, enablebot.find_session,
      enablebot.end_session, enablebot.get_overview to service_role;
  end if;
end
$$;

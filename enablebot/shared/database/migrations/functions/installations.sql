-- Tenants, their routes and their installations.

set local role enablebot_owner;

-- The newest key that was not destroyed, for a tenant declared by the caller.
create or replace function enablebot.inner_data_key(p_tenant_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  return (
    select jsonb_build_object(
      'id', k.id, 'master_key_id', k.master_key_id, 'wrapped', translate(encode(k.wrapped, 'base64'), E'\n', ''))
    from data_keys k
    where k.tenant_id = p_tenant_id and k.destroyed_at is null
    order by k.created_at desc, k.id
    limit 1
  );
end
$$;

-- Says whether the tenant is new. A conflict, on its id or its team, leaves everything as it was.
create or replace function enablebot.inner_insert_tenant(
  p_tenant_id uuid, p_kind text, p_team_id text, p_enterprise_id text, p_name text, p_credential_tenant_id uuid,
  p_data_key_id uuid, p_master_key_id text, p_wrapped bytea
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  insert into tenants (id, kind, team_id, enterprise_id, name, credential_tenant_id, status, installed_at)
  values (
    p_tenant_id, p_kind, p_team_id, p_enterprise_id, p_name, p_credential_tenant_id,
    -- Nothing is answered before there is a token to answer with.
    case when p_credential_tenant_id is null then 'uninstalled' else 'active' end,
    case when p_credential_tenant_id is not null then now() end
  )
  on conflict do nothing;
  if not found then
    return false;
  end if;
  insert into data_keys (tenant_id, id, master_key_id, wrapped)
  values (p_tenant_id, p_data_key_id, p_master_key_id, p_wrapped);
  return true;
end
$$;

-- What waited for these tenants to have a token again may be claimed again, each in its place.
create or replace function enablebot.inner_resume(p_tenant_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform from inbox i
  where i.tenant_id = any (p_tenant_ids) and i.state = 'held' order by i.tenant_id, i.id for update;
  update inbox i set state = 'ready' where i.tenant_id = any (p_tenant_ids) and i.state = 'held';
end
$$;

-- A workspace that had an installation of its own now uses its organisation's.
create or replace function enablebot.inner_adopt_credential(
  p_tenant_id uuid, p_credential_tenant_id uuid, p_enterprise_id text
) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_current uuid;
begin
  -- Two org-wide events that both saw the old state take turns; the second finds nothing left to do.
  select t.credential_tenant_id into v_current from tenants t where t.id = p_tenant_id for no key update;
  if v_current is not distinct from p_credential_tenant_id then
    return;
  end if;
  update installations i
  set status = 'replaced', ended_at = now(), ended_reason = 'organisation_credential', bot_token = null, refresh_token = null
  where i.tenant_id = p_tenant_id and i.status = 'active';
  update tenants t
  set credential_tenant_id = p_credential_tenant_id, enterprise_id = p_enterprise_id, status = 'active',
      installed_at = now(), app_id = null, bot_user_id = null
  where t.id = p_tenant_id;
  perform enablebot.inner_resume(array[p_tenant_id]);
  perform enablebot.inner_append_audit(
    p_tenant_id, 'system', 'installation.adopt', p_credential_tenant_id::text, 'ok', null);
end
$$;

set local role enablebot_router;

-- Routing row and data key. The installation a workspace uses may be its organisation's.
create or replace function enablebot.inner_route(p_tenant_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_route jsonb;
begin
  select jsonb_build_object(
    'tenant_id', t.id, 'kind', t.kind, 'team_id', t.team_id, 'enterprise_id', t.enterprise_id,
    'status', case t.status when 'active' then c.status else t.status end,
    'credential_tenant_id', c.id, 'app_id', c.app_id, 'bot_user_id', c.bot_user_id, 'installed_at', c.installed_at)
  into v_route
  from tenants t
  join tenants c on c.id = coalesce(t.credential_tenant_id, t.id)
  where t.id = p_tenant_id;
  if v_route is null then
    return null;
  end if;
  perform enablebot.work_for(array[p_tenant_id]);
  return v_route || jsonb_build_object('data_key', enablebot.inner_data_key(p_tenant_id));
end
$$;

create or replace function enablebot.inner_tenants_sharing(p_tenant_id uuid) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  return array(select t.id from tenants t where t.credential_tenant_id = p_tenant_id order by t.id);
end
$$;

create or replace function enablebot.find_route(p_enterprise_id text, p_team_id text, p_is_org_wide boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_tenant uuid;
  v_credential uuid;
  v_organisation uuid;
  v_status text;
begin
  select t.id, t.credential_tenant_id into v_tenant, v_credential
  from tenants t where t.kind = 'workspace' and t.team_id = p_team_id;

  if p_is_org_wide and v_credential is null then
    select t.id, t.status into v_organisation, v_status
    from tenants t where t.kind = 'organisation' and t.enterprise_id = p_enterprise_id;
    if p_team_id is null then
      return enablebot.inner_route(v_organisation);
    end if;
    if v_status <> 'uninstalled' then
      return jsonb_build_object('unknown_workspace_of', v_organisation);
    end if;
  end if;
  return enablebot.inner_route(v_tenant);
end
$$;

create or replace function enablebot.find_route_of_tenant(p_tenant_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  return enablebot.inner_route(p_tenant_id);
end
$$;

-- Two installs of one workspace may race: both end with the tenant of whoever came first.
create or replace function enablebot.register_tenant(
  p_tenant_id uuid, p_kind text, p_team_id text, p_enterprise_id text, p_name text, p_credential_tenant_id uuid,
  p_data_key_id uuid, p_master_key_id text, p_wrapped bytea
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_is_new boolean;
  v_tenant uuid;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  v_is_new := enablebot.inner_insert_tenant(
    p_tenant_id, p_kind, p_team_id, p_enterprise_id, p_name, p_credential_tenant_id, p_data_key_id, p_master_key_id,
    p_wrapped);

  select t.id into v_tenant
  from tenants t
  where t.kind = p_kind
    and case p_kind when 'workspace' then t.team_id = p_team_id else t.enterprise_id = p_enterprise_id end;
  if v_tenant is null then
    raise exception 'the tenant id is taken by another workspace' using errcode = 'unique_violation';
  end if;
  if not v_is_new and p_credential_tenant_id is not null then
    perform enablebot.work_for(array[v_tenant]);
    perform enablebot.inner_adopt_credential(v_tenant, p_credential_tenant_id, p_enterprise_id);
  end if;
  return enablebot.inner_route(v_tenant);
end
$$;

set local role enablebot_owner;

create or replace function enablebot.save_installation(
  p_tenant_id uuid, p_installation_id uuid, p_enterprise_id text, p_team_id text, p_is_org_wide boolean, p_app_id text,
  p_bot_user_id text, p_bot_id text, p_scopes text[], p_installed_by text, p_bot_token bytea, p_refresh_token bytea,
  p_token_expires_at timestamptz, p_data_key_id uuid, p_actor text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_tenants constant uuid[] := p_tenant_id || enablebot.inner_tenants_sharing(p_tenant_id);
  v_reinstalled boolean;
begin
  perform enablebot.work_for(v_tenants);
  -- Installs and uninstalls of one tenant take turns, so that the later one wins as a whole.
  perform from tenants t where t.id = p_tenant_id for no key update;
  v_reinstalled := exists (select from installations i where i.tenant_id = p_tenant_id);

  update installations i
  set status = 'replaced', ended_at = v_now, ended_reason = 'reinstalled', bot_token = null, refresh_token = null
  where i.tenant_id = p_tenant_id and i.status = 'active';
  insert into installations (
    tenant_id, id, enterprise_id, team_id, is_org_wide, app_id, bot_user_id, bot_id, scopes, installed_by, installed_at,
    status, bot_token, refresh_token, token_expires_at, data_key_id)
  values (
    p_tenant_id, p_installation_id, p_enterprise_id, p_team_id, p_is_org_wide, p_app_id, p_bot_user_id, p_bot_id,
    p_scopes, p_installed_by, v_now, 'active', p_bot_token, p_refresh_token, p_token_expires_at, p_data_key_id);
  update tenants t
  set status = 'active', credential_tenant_id = null, enterprise_id = coalesce(p_enterprise_id, t.enterprise_id),
      app_id = p_app_id, bot_user_id = p_bot_user_id, installed_at = v_now
  where t.id = p_tenant_id;

  perform enablebot.inner_resume(v_tenants);

  perform enablebot.inner_append_audit(
    p_tenant_id, p_actor, 'installation.save', p_installation_id::text,
    case when v_reinstalled then 'reinstalled' else 'installed' end, null);
  return jsonb_build_object('installation_id', p_installation_id, 'reinstalled', v_reinstalled);
end
$$;

create or replace function enablebot.get_installation(p_tenant_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_credential uuid;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  select coalesce(t.credential_tenant_id, t.id) into v_credential from tenants t where t.id = p_tenant_id;
  -- The tenant's own row says whose credential it shares; that one is declared too.
  perform enablebot.work_for(array[p_tenant_id, v_credential]);
  return (
    select jsonb_build_object(
      'id', i.id, 'tenant_id', i.tenant_id, 'team_id', i.team_id, 'enterprise_id', i.enterprise_id,
      'is_org_wide', i.is_org_wide, 'app_id', i.app_id, 'bot_user_id', i.bot_user_id, 'bot_id', i.bot_id,
      'scopes', to_jsonb(i.scopes), 'installed_by', i.installed_by, 'installed_at', i.installed_at, 'status', i.status,
      'bot_token', translate(encode(i.bot_token, 'base64'), E'\n', ''),
      'refresh_token', translate(encode(i.refresh_token, 'base64'), E'\n', ''),
      'token_expires_at', i.token_expires_at, 'data_key_id', i.data_key_id)
    from installations i
    where i.tenant_id = v_credential and i.status = 'active'
  );
end
$$;

create or replace function enablebot.end_installation(
  p_tenant_id uuid, p_event_time timestamptz, p_reason text, p_actor text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_tenants constant uuid[] := p_tenant_id || enablebot.inner_tenants_sharing(p_tenant_id);
  -- Slack's event times are whole seconds and stand for the whole second.
  v_until constant timestamptz := p_event_time + case p_event_time
    when date_trunc('second', p_event_time) then interval '999999 microseconds' else interval '0' end;
  v_status text;
  v_installed_at timestamptz;
begin
  perform enablebot.work_for(v_tenants);
  -- Installs and uninstalls of one tenant take turns, so that the later one wins as a whole.
  select t.status, t.installed_at into v_status, v_installed_at
  from tenants t where t.id = p_tenant_id for no key update;

  if v_status is null or v_status = 'uninstalled' or v_installed_at > v_until then
    return jsonb_build_object('ended', false);
  end if;

  update installations i
  set status = 'ended', ended_at = clock_timestamp(), ended_reason = p_reason, bot_token = null, refresh_token = null
  where i.tenant_id = p_tenant_id and i.status = 'active';
  update tenants t set status = 'uninstalled', credential_tenant_id = null where t.id = p_tenant_id;
  delete from sessions s where s.tenant_id = any (v_tenants);
  perform enablebot.inner_drop_waiting(v_tenants, p_reason);

  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'installation.end', p_tenant_id::text, p_reason, null);
  return jsonb_build_object('ended', true);
end
$$;

-- Slack calls the token dead: it is gone, but what people asked waits until somebody adds the app again.
create or replace function enablebot.pause_installation(
  p_tenant_id uuid, p_installed_at timestamptz, p_reason text, p_actor text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_tenants constant uuid[] := p_tenant_id || enablebot.inner_tenants_sharing(p_tenant_id);
  v_status text;
  v_installed_at timestamptz;
begin
  perform enablebot.work_for(v_tenants);
  -- Installs, pauses and uninstalls of one tenant take turns, so that the later one wins as a whole.
  select t.status, t.installed_at into v_status, v_installed_at
  from tenants t where t.id = p_tenant_id for no key update;
  if v_status is distinct from 'active' or v_installed_at > p_installed_at then
    return jsonb_build_object('paused', false);
  end if;

  update installations i
  set status = 'ended', ended_at = clock_timestamp(), ended_reason = p_reason, bot_token = null, refresh_token = null
  where i.tenant_id = p_tenant_id and i.status = 'active';
  update tenants t set status = 'paused' where t.id = p_tenant_id;
  delete from sessions s where s.tenant_id = any (v_tenants);

  -- Out of the claims' way; what becomes ready from now on is held when a claim meets it.
  perform from inbox i
  where i.tenant_id = any (v_tenants) and i.state = 'ready'
    and i.kind not in ('stop', 'delete', 'lifecycle', 'document')
  order by i.tenant_id, i.id for update;
  update inbox i set state = 'held'
  where i.tenant_id = any (v_tenants) and i.state = 'ready'
    and i.kind not in ('stop', 'delete', 'lifecycle', 'document');

  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'installation.pause', p_tenant_id::text, p_reason, null);
  return jsonb_build_object('paused', true);
end
$$;

revoke all on function
  enablebot.inner_resume, enablebot.inner_data_key, enablebot.inner_insert_tenant, enablebot.inner_adopt_credential,
  enablebot.save_installation, enablebot.get_installation, enablebot.end_installation, enablebot.pause_installation from public;
grant execute on function
  enablebot.inner_data_key, enablebot.inner_insert_tenant, enablebot.inner_adopt_credential to enablebot_router;
grant execute on function
  enablebot.save_installation, enablebot.get_installation, enablebot.end_installation,
  enablebot.pause_installation to enablebot_api, enablebot_web;

set local role enablebot_router;
revoke all on function
  enablebot.inner_route, enablebot.inner_tenants_sharing, enablebot.find_route, enablebot.find_route_of_tenant,
  enablebot.register_tenant from public;
grant execute on function enablebot.inner_tenants_sharing to enablebot_owner;
grant execute on function
  enablebot.find_route, enablebot.find_route_of_tenant, enablebot.register_tenant to enablebot_api, enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.find_route, enablebot.find_route_of_tenant, enablebot.register_tenant, enablebot.save_installation,
      enablebot.get_installation, enablebot.end_installation, enablebot.pause_installation to service_role;
  end if;
end
$$;

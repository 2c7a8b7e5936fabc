-- Keys of the REST API, and requests that their sender may repeat.

set local role enablebot_router;

-- Revoked and expired keys are found too, so that whoever holds one learns why it is refused.
create or replace function enablebot.find_api_key(p_key_hash bytea) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_key record;
  v_state text;
begin
  select k.tenant_id, k.id, k.name, k.scopes, k.expires_at, k.revoked_at, k.last_used_at,
         case t.status when 'active' then c.status else t.status end as workspace
  into v_key
  from api_keys k
  join tenants t on t.id = k.tenant_id
  join tenants c on c.id = coalesce(t.credential_tenant_id, t.id)
  where k.key_hash = p_key_hash;
  if not found then
    return null;
  end if;
  v_state := case
    when v_key.revoked_at is not null then 'revoked'
    when v_key.expires_at <= v_now then 'expired'
    else 'living'
  end;
  -- To the minute, and by one of the requests that come at once: the others do not wait for it.
  if v_state = 'living' and (v_key.last_used_at is null or v_now - v_key.last_used_at >= interval '1 minute') then
    perform from api_keys k where k.tenant_id = v_key.tenant_id and k.id = v_key.id for update skip locked;
    if found then
      update api_keys k set last_used_at = v_now where k.tenant_id = v_key.tenant_id and k.id = v_key.id;
    end if;
  end if;
  return jsonb_build_object(
    'tenant_id', v_key.tenant_id, 'id', v_key.id, 'name', v_key.name, 'scopes', to_jsonb(v_key.scopes),
    'state', v_state, 'workspace', v_key.workspace);
end
$$;

create or replace function enablebot.prune_api_requests(p_hours int, p_limit int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_requests bigint;
begin
  -- One at a time: two that met each other's rows in another order would deadlock. The second has nothing to do.
  if not pg_try_advisory_xact_lock(hashtextextended('enablebot.prune_api_requests', 0)) then
    return jsonb_build_object('requests', 0);
  end if;
  delete from api_requests r
  using (
    select o.tenant_id, o.api_key_id, o.name_hash from api_requests o
    where o.created_at < now() - make_interval(hours => p_hours)
    order by o.created_at
    limit p_limit
  ) o
  where r.tenant_id = o.tenant_id and r.api_key_id = o.api_key_id and r.name_hash = o.name_hash
    and r.created_at < now() - make_interval(hours => p_hours);
  get diagnostics v_requests = row_count;
  return jsonb_build_object('requests', v_requests);
end
$$;

revoke all on function enablebot.find_api_key, enablebot.prune_api_requests from public;
grant execute on function enablebot.find_api_key, enablebot.prune_api_requests to enablebot_api;

set local role enablebot_owner;

create or replace function enablebot.create_api_key(
  p_tenant_id uuid, p_id uuid, p_key_hash bytea, p_name text, p_scopes text[], p_expires_at timestamptz, p_actor text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  perform enablebot.work_for(array[p_tenant_id]);
  insert into api_keys (tenant_id, id, key_hash, name, scopes, created_by, created_at, expires_at)
  values (p_tenant_id, p_id, p_key_hash, p_name, p_scopes, p_actor, v_now, p_expires_at);
  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'api_key.create', p_id::text, 'ok', null);
  return jsonb_build_object('created_at', v_now);
end
$$;

-- Newest first, the ended ones too; a workspace has a handful.
create or replace function enablebot.list_api_keys(p_tenant_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'id', k.id, 'name', k.name, 'scopes', to_jsonb(k.scopes), 'created_by', k.created_by, 'created_at', k.created_at,
      'expires_at', k.expires_at, 'revoked_at', k.revoked_at, 'last_used_at', k.last_used_at,
      'state', case
        when k.revoked_at is not null then 'revoked'
        when k.expires_at <= clock_timestamp() then 'expired'
        else 'living'
      end) order by k.created_at desc, k.id), '[]')
    from api_keys k
    where k.tenant_id = p_tenant_id
  );
end
$$;

create or replace function enablebot.revoke_api_key(p_tenant_id uuid, p_id uuid, p_actor text) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  update api_keys k set revoked_at = clock_timestamp()
  where k.tenant_id = p_tenant_id and k.id = p_id and k.revoked_at is null;
  if not found then
    return jsonb_build_object('revoked', false);
  end if;
  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'api_key.revoke', p_id::text, 'ok', null);
  return jsonb_build_object('revoked', true);
end
$$;

-- One of several senders of the same request gets it: `new` for whoever works on it, `under_way` for the others, and
-- `answered` with the answer for all who come later. Asked again with its own token, it lengthens the lease.
create or replace function enablebot.begin_api_request(
  p_tenant_id uuid, p_api_key_id uuid, p_name_hash bytea, p_token uuid, p_lease_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_lease_until constant timestamptz := clock_timestamp() + make_interval(secs => p_lease_seconds);
  v_request api_requests%rowtype;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  insert into api_requests (tenant_id, api_key_id, name_hash, token, lease_until, created_at)
  values (p_tenant_id, p_api_key_id, p_name_hash, p_token, v_lease_until, clock_timestamp())
  on conflict do nothing;
  if found then
    return jsonb_build_object('outcome', 'new');
  end if;
  -- Held until the end, so that of two heirs of a dead process one comes second.
  select r.* into v_request
  from api_requests r
  where r.tenant_id = p_tenant_id and r.api_key_id = p_api_key_id and r.name_hash = p_name_hash
  for update;
  if v_request.status is not null then
    return jsonb_build_object(
      'outcome', 'answered', 'status', v_request.status, 'data_key_id', v_request.data_key_id,
      'fingerprint', translate(encode(v_request.fingerprint, 'base64'), E'\n', ''),
      'response', translate(encode(v_request.response, 'base64'), E'\n', ''));
  end if;
  if v_request.token = p_token or v_request.lease_until <= clock_timestamp() then
    update api_requests r set token = p_token, lease_until = v_lease_until
    where r.tenant_id = p_tenant_id and r.api_key_id = p_api_key_id and r.name_hash = p_name_hash;
    return jsonb_build_object('outcome', 'new');
  end if;
  -- Also when it was given up at this very moment: whoever asks once more begins it.
  return jsonb_build_object('outcome', 'under_way');
end
$$;

create or replace function enablebot.finish_api_request(
  p_tenant_id uuid, p_api_key_id uuid, p_name_hash bytea, p_token uuid, p_fingerprint bytea, p_status int,
  p_response bytea, p_data_key_id uuid
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  update api_requests r
  set token = null, lease_until = null, fingerprint = p_fingerprint, status = p_status, response = p_response,
      data_key_id = p_data_key_id
  where r.tenant_id = p_tenant_id and r.api_key_id = p_api_key_id and r.name_hash = p_name_hash and r.token = p_token;
  return jsonb_build_object('ended', found);
end
$$;

-- What failed has done nothing, and may be tried under the same name.
create or replace function enablebot.give_up_api_request(
  p_tenant_id uuid, p_api_key_id uuid, p_name_hash bytea, p_token uuid
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  delete from api_requests r
  where r.tenant_id = p_tenant_id and r.api_key_id = p_api_key_id and r.name_hash = p_name_hash and r.token = p_token;
  return jsonb_build_object('ended', found);
end
$$;

revoke all on function
  enablebot.create_api_key, enablebot.list_api_keys, enablebot.revoke_api_key, enablebot.begin_api_request,
  enablebot.finish_api_request, enablebot.give_up_api_request from public;
grant execute on function enablebot.create_api_key, enablebot.list_api_keys, enablebot.revoke_api_key to enablebot_web;
grant execute on function
  enablebot.begin_api_request, enablebot.finish_api_request, enablebot.give_up_api_request to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.find_api_key, enablebot.prune_api_requests, enablebot.create_api_key, enablebot.list_api_keys,
      enablebot.revoke_api_key, enablebot.begin_api_request, enablebot.finish_api_request,
      enablebot.give_up_api_request to service_role;
  end if;
end
$$;

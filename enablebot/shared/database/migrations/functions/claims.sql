-- Accepted events as a worker meets them: claimed, renewed, settled. The order of locks, and why rows are met one by one
-- and without sequential scans, is told in inbox.sql.

set local role enablebot_owner;

-- Ends claims that still hold their token. Used by settling, by the rescue of lost claims and by finished answers; the
-- caller has declared the tenants. Returns the places, in the arguments, of the claims that were ended.
create or replace function enablebot.inner_settle(
  p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_delays double precision[]
) returns bigint[]
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_event record;
  v_outcome text;
  v_state text;
  v_lane text;
  v_live int;
  v_settled bigint[] := '{}';
begin
  -- Lanes first, then events: accepting holds a lane while it adds to it, and must not be waited for with events held.
  perform from (
    select distinct s.tenant_id, e.lane
    from unnest(p_tenant_ids, p_ids) as s (tenant_id, id)
    cross join lateral (select i.lane from inbox i where i.tenant_id = s.tenant_id and i.id = s.id limit 1) e
    where e.lane is not null
    order by s.tenant_id, e.lane
  ) d
  cross join lateral (select from lanes l where l.tenant_id = d.tenant_id and l.lane = d.lane for update) l;

  for v_event in
    select s.*
    from unnest(p_tenant_ids, p_ids, p_tokens, p_outcomes, p_reasons, p_delays)
         with ordinality as s (tenant_id, id, token, outcome, reason, delay, place)
    order by s.tenant_id, s.id, s.place
  loop
    -- A person who waits is told, by one claim more than the three that others have, that nothing came of it.
    select case
      when v_event.outcome = 'retry' and i.attempts >= 3 then 'set_aside'
      when v_event.outcome = 'lost' then case
        when i.attempts < 3 or (i.attempts = 3 and i.kind in ('mention', 'message', 'interaction')) then 'retry'
        else 'set_aside'
      end
      else v_event.outcome
    end
    into v_outcome
    from inbox i
    where i.tenant_id = v_event.tenant_id and i.id = v_event.id and i.claim_token = v_event.token
    for update;
    continue when not found;

    update inbox i
    set state = case
          when v_outcome in ('release', 'retry') then 'ready'
          when v_outcome = 'set_aside' then 'set_aside'
          else 'done'
        end,
        outcome = v_outcome,
        attempts = i.attempts - case v_outcome when 'release' then 1 else 0 end,
        available_at = case
          when v_outcome in ('release', 'retry') then clock_timestamp() + make_interval(secs => greatest(v_event.delay, 0))
          else i.available_at
        end,
        settled_at = case when v_outcome not in ('release', 'retry') then clock_timestamp() end,
        claim_token = null, lease_until = null, reason = v_event.reason
    where i.tenant_id = v_event.tenant_id and i.id = v_event.id
    returning i.state, i.lane into v_state, v_lane;

    v_settled := v_settled || v_event.place;
    if v_state = 'done' then
      delete from event_bodies b where b.tenant_id = v_event.tenant_id and b.event_id = v_event.id;
    end if;
    if v_state <> 'ready' and v_lane is not null then
      update lanes l set live = l.live - 1
      where l.tenant_id = v_event.tenant_id and l.lane = v_lane
      returning l.live into v_live;
      if v_live > 0 then
        update inbox i
        set state = 'ready', available_at = clock_timestamp()
        where i.tenant_id = v_event.tenant_id and i.id = (
          select q.id from inbox q
          where q.tenant_id = v_event.tenant_id and q.lane = v_lane and q.state = 'queued'
          order by q.id
          limit 1);
      end if;
    end if;
  end loop;
  return v_settled;
end
$$;

-- Claims whose lease ran out: back to the queue, or set aside once their claims are spent. Waits for nobody; a claim
-- that is being settled or renewed at this moment is left to it.
create or replace function enablebot.inner_rescue(p_tenant_ids uuid[], p_ids bigint[]) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_lost record;
  v_lane text;
  v_token uuid;
begin
  for v_lost in select s.* from unnest(p_tenant_ids, p_ids) as s (tenant_id, id) order by s.tenant_id, s.id loop
    select i.lane into v_lane from inbox i where i.tenant_id = v_lost.tenant_id and i.id = v_lost.id;
    if v_lane is not null then
      perform from lanes l where l.tenant_id = v_lost.tenant_id and l.lane = v_lane for update skip locked;
      continue when not found;
    end if;
    select i.claim_token into v_token
    from inbox i
    where i.tenant_id = v_lost.tenant_id and i.id = v_lost.id and i.lease_until <= v_now
    for update skip locked;
    continue when not found;
    perform enablebot.inner_settle(
      array[v_lost.tenant_id], array[v_lost.id], array[v_token], array['lost'], array['lease_expired'],
      array[0::double precision]);
  end loop;
end
$$;

-- What a worker needs of the events it has just claimed, in the order given.
create or replace function enablebot.inner_claimed(p_tenant_ids uuid[], p_ids bigint[]) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'tenant_id', i.tenant_id, 'id', i.id, 'event_key', i.event_key, 'kind', i.kind, 'lane', i.lane,
             'attempts', i.attempts, 'received_at', i.received_at, 'claim_token', i.claim_token,
             'lease_until', i.lease_until, 'is_last_word', i.attempts > 3,
             'was_lost', coalesce(i.reason = 'lease_expired', false),
             'waited_seconds', extract(epoch from clock_timestamp() - coalesce(i.replayed_at, i.received_at)), 'body', translate(encode(b.body, 'base64'), E'\n', ''),
             'data_key_id', b.data_key_id) order by s.place), '[]')
    from unnest(p_tenant_ids, p_ids) with ordinality as s (tenant_id, id, place)
    cross join lateral (select i.* from inbox i where i.tenant_id = s.tenant_id and i.id = s.id limit 1) i
    cross join lateral (
      select b.* from event_bodies b where b.tenant_id = s.tenant_id and b.event_id = s.id limit 1) b
  );
end
$$;

create or replace function enablebot.renew_leases(
  p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_lease_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_claim record;
  v_renewed boolean[] := array_fill(false, array[cardinality(p_ids)]);
begin
  perform enablebot.work_for(p_tenant_ids);
  -- In key order, as settling does: two batches that share events wait instead of deadlocking.
  for v_claim in
    select s.*
    from unnest(p_tenant_ids, p_ids, p_tokens) with ordinality as s (tenant_id, id, token, place)
    order by s.tenant_id, s.id, s.place
  loop
    update inbox i
    set lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
    where i.tenant_id = v_claim.tenant_id and i.id = v_claim.id and i.claim_token = v_claim.token;
    v_renewed[v_claim.place] := found;
  end loop;
  return to_jsonb(v_renewed);
end
$$;

create or replace function enablebot.settle_events(
  p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_delays double precision[]
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_settled bigint[];
begin
  if not p_outcomes <@ array['done', 'failed', 'dropped', 'expired', 'retry', 'release', 'set_aside'] then
    raise exception 'unknown outcome' using errcode = 'check_violation';
  end if;
  perform enablebot.work_for(p_tenant_ids);
  v_settled := enablebot.inner_settle(p_tenant_ids, p_ids, p_tokens, p_outcomes, p_reasons, p_delays);
  return (
    select coalesce(jsonb_agg(case when s.place = any (v_settled) then 'settled' else 'stale' end order by s.place), '[]')
    from unnest(p_ids) with ordinality as s (id, place)
  );
end
$$;

-- A workspace without a token waits, and what waits for it is out of the claims' way: 'held' until it is back. The
-- status is looked at under a lock that whoever brings it back waits for, so that nothing is held after that.
create or replace function enablebot.inner_hold_waiting(p_tenant_ids uuid[], p_credential_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_tenant record;
begin
  for v_tenant in select * from unnest(p_tenant_ids, p_credential_ids) as t (id, credential_id) order by t.id loop
    perform from tenants t where t.id = v_tenant.credential_id and t.status = 'paused' for share skip locked;
    continue when not found;
    update inbox i
    set state = 'held'
    where i.tenant_id = v_tenant.id and i.id = any (array(
      select h.id from inbox h
      where h.tenant_id = v_tenant.id and h.state = 'ready' and h.kind not in ('stop', 'delete', 'lifecycle')
      order by h.available_at, h.id
      limit 1000
      for update skip locked));
  end loop;
end
$$;

set local role enablebot_router;

-- Brings back the claims of workers that are gone.
create or replace function enablebot.inner_rescue_lost() returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_tenants uuid[];
  v_ids bigint[];
begin
  select array_agg(l.tenant_id), array_agg(l.id) into v_tenants, v_ids
  from (
    select i.tenant_id, i.id from inbox i
    where i.state = 'claimed' and i.lease_until <= clock_timestamp()
    order by i.lease_until
    limit 100
  ) l;
  if v_ids is not null then
    perform enablebot.work_for(v_tenants);
    perform enablebot.inner_rescue(v_tenants, v_ids);
  end if;
end
$$;

-- Stop, delete and lifecycle events have no lane and no cap, and an index of their own: however much waits for their
-- workspace, they are met at once. In turn over the workspaces, from anywhere, so that no flood of one's delays another's.
create or replace function enablebot.inner_take_urgent(
  p_worker text, p_limit int, p_lease_seconds int, out o_tenant_ids uuid[], out o_ids bigint[]
)
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_start constant uuid := gen_random_uuid();
  v_cursor uuid := v_start;
  v_has_wrapped boolean := false;
  v_tenant uuid;
  v_tenants uuid[] := '{}';
  v_ids bigint[];
  v_before int;
begin
  o_tenant_ids := '{}';
  o_ids := '{}';
  while cardinality(v_tenants) < p_limit loop
    select i.tenant_id into v_tenant
    from inbox i
    where i.state = 'ready' and i.kind in ('stop', 'delete', 'lifecycle') and i.tenant_id > v_cursor
    order by i.tenant_id, i.available_at, i.id
    limit 1;
    if not found or (v_has_wrapped and v_tenant > v_start) then
      exit when v_has_wrapped;
      v_has_wrapped := true;
      v_cursor := '00000000-0000-0000-0000-000000000000';
      continue;
    end if;
    v_cursor := v_tenant;
    v_tenants := v_tenants || v_tenant;
  end loop;

  loop
    v_before := cardinality(o_ids);
    for v_k in 1 .. cardinality(v_tenants) loop
      v_tenant := v_tenants[v_k];
      -- What another transaction holds is passed by, never waited for.
      v_ids := array(
        select i.id
        from inbox i
        where i.tenant_id = v_tenant and i.state = 'ready' and i.kind in ('stop', 'delete', 'lifecycle')
          and i.available_at <= v_now
        order by i.available_at, i.id
        limit ceil((p_limit - cardinality(o_ids))::numeric / (cardinality(v_tenants) - v_k + 1))
        for update skip locked);
      update inbox i
      set state = 'claimed', attempts = i.attempts + 1, claim_token = gen_random_uuid(),
          lease_until = v_now + make_interval(secs => p_lease_seconds), claimed_by = p_worker
      where i.tenant_id = v_tenant and i.id = any (v_ids);
      o_ids := o_ids || v_ids;
      o_tenant_ids := o_tenant_ids || array_fill(v_tenant, array[cardinality(v_ids)]);
    end loop;
    exit when cardinality(o_ids) = v_before or cardinality(o_ids) >= p_limit;
  end loop;
end
$$;

create or replace function enablebot.claim_urgent_events(p_worker text, p_limit int, p_lease_seconds int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_tenant_ids uuid[];
  v_ids bigint[];
begin
  perform enablebot.inner_rescue_lost();
  select u.o_tenant_ids, u.o_ids into v_tenant_ids, v_ids
  from enablebot.inner_take_urgent(p_worker, p_limit, p_lease_seconds) u;
  perform enablebot.work_for(v_tenant_ids);
  return enablebot.inner_claimed(v_tenant_ids, v_ids);
end
$$;

create or replace function enablebot.claim_events(
  p_worker text, p_after_tenant uuid, p_limit int, p_tenant_cap int, p_lease_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_nil constant uuid := '00000000-0000-0000-0000-000000000000';
  v_start constant uuid := coalesce(p_after_tenant, v_nil);
  v_now timestamptz;
  v_cursor uuid := v_start;
  v_has_wrapped boolean := false;
  v_tenant uuid;
  v_available_at timestamptz;
  v_room int;
  v_busy uuid;
  v_tenants uuid[] := '{}';
  v_rooms int[] := '{}';
  v_share int;
  v_id bigint;
  v_ids bigint[];
  v_found bigint[];
  v_found_tenants uuid[];
  v_any_paused boolean;
  v_credential uuid;
  v_paused uuid[] := '{}';
  v_paused_by uuid[] := '{}';
  v_before int;
begin
  perform enablebot.inner_rescue_lost();
  v_now := clock_timestamp();
  select u.o_tenant_ids, u.o_ids into v_found_tenants, v_found
  from enablebot.inner_take_urgent(p_worker, p_limit, p_lease_seconds) u;

  -- From tenant to tenant by the index, one probe each, however many events wait behind each head.
  v_any_paused := exists (select from tenants t where t.status = 'paused');
  while cardinality(v_tenants) < p_limit - cardinality(v_found) and cardinality(v_paused) < 100 loop
    select h.tenant_id, h.available_at, p_tenant_cap - (
             select count(*) from inbox c
             where c.tenant_id = h.tenant_id and c.state = 'claimed' and c.lease_until > v_now
               and c.kind not in ('stop', 'delete', 'lifecycle'))
    into v_tenant, v_available_at, v_room
    from (
      select i.tenant_id, i.available_at
      from inbox i
      where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle') and i.tenant_id > v_cursor
      order by i.tenant_id, i.available_at, i.id
      limit 1
    ) h;
    if not found or (v_has_wrapped and v_tenant > v_start) then
      exit when v_has_wrapped or v_start = v_nil;
      v_has_wrapped := true;
      v_cursor := v_nil;
      continue;
    end if;
    v_cursor := v_tenant;
    continue when v_available_at > v_now or v_room <= 0;
    if v_any_paused then
      select c.id into v_credential
      from tenants t join tenants c on c.id = coalesce(t.credential_tenant_id, t.id)
      where t.id = v_tenant and c.status = 'paused';
      if found then
        v_paused := v_paused || v_tenant;
        v_paused_by := v_paused_by || v_credential;
        continue;
      end if;
    end if;

    -- One claimer a tenant at a time, so that two that count at once cannot exceed its cap together. A tenant that is
    -- being claimed from is passed by; if nothing else waits, its turn is waited for, with no other lock held.
    if pg_try_advisory_xact_lock(hashtextextended(v_tenant::text, 0)) then
      v_tenants := v_tenants || v_tenant;
      v_rooms := v_rooms || v_room;
    else
      v_busy := coalesce(v_busy, v_tenant);
    end if;
  end loop;
  if cardinality(v_paused) > 0 then
    perform enablebot.work_for(v_paused || v_paused_by);
    perform enablebot.inner_hold_waiting(v_paused, v_paused_by);
  end if;
  if v_busy is not null and cardinality(v_found) = 0 and cardinality(v_tenants) = 0 then
    perform pg_advisory_xact_lock(hashtextextended(v_busy::text, 0));
    v_tenants := array[v_busy];
    v_rooms := array[p_tenant_cap];
  end if;

  -- In equal shares, and again while somebody left room that others can use.
  loop
    v_before := cardinality(v_found);
    for v_k in 1 .. cardinality(v_tenants) loop
      v_share := least(v_rooms[v_k],
        ceil((p_limit - cardinality(v_found))::numeric / (cardinality(v_tenants) - v_k + 1)));
      continue when v_share <= 0;
      v_tenant := v_tenants[v_k];
      -- What another transaction holds is passed by, never waited for.
      select coalesce(array_agg(h.id order by h.available_at, h.id), '{}') into v_ids
      from (
        select i.id, i.available_at
        from inbox i
        where i.tenant_id = v_tenant and i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle')
          and i.available_at <= v_now
        order by i.available_at, i.id
        -- Counted again, now that nobody else claims from this tenant.
        limit greatest(0, least(v_share, p_tenant_cap - (
          select count(*) from inbox c
          where c.tenant_id = v_tenant and c.state = 'claimed' and c.lease_until > v_now
            and c.kind not in ('stop', 'delete', 'lifecycle'))))
        for update skip locked
      ) h;
      foreach v_id in array v_ids loop
        update inbox i
        set state = 'claimed', attempts = i.attempts + 1, claim_token = gen_random_uuid(),
            lease_until = v_now + make_interval(secs => p_lease_seconds), claimed_by = p_worker
        where i.tenant_id = v_tenant and i.id = v_id;
      end loop;
      v_rooms[v_k] := case when cardinality(v_ids) < v_share then 0 else v_rooms[v_k] - v_share end;
      v_found := v_found || v_ids;
      v_found_tenants := v_found_tenants || array_fill(v_tenant, array[cardinality(v_ids)]);
    end loop;
    exit when cardinality(v_found) = v_before or cardinality(v_found) >= p_limit;
  end loop;

  perform enablebot.work_for(v_found_tenants);
  return enablebot.inner_claimed(v_found_tenants, v_found);
end
$$;

revoke all on function
  enablebot.inner_rescue_lost, enablebot.inner_take_urgent, enablebot.claim_urgent_events, enablebot.claim_events
from public;
grant execute on function enablebot.claim_urgent_events, enablebot.claim_events to enablebot_api;

set local role enablebot_owner;
revoke all on function
  enablebot.inner_settle, enablebot.inner_rescue, enablebot.inner_claimed, enablebot.inner_hold_waiting,
  enablebot.renew_leases, enablebot.settle_events from public;
grant execute on function
  enablebot.inner_rescue, enablebot.inner_claimed, enablebot.inner_hold_waiting to enablebot_router;
grant execute on function enablebot.renew_leases, enablebot.settle_events to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.claim_urgent_events, enablebot.claim_events, enablebot.renew_leases, enablebot.settle_events
    to service_role;
  end if;
end
$$;

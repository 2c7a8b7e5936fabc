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
    update inbox i
    set state = case v_event.outcome
          when 'release' then 'ready'
          when 'retry' then case when i.attempts < 3 then 'ready' else 'set_aside' end
          when 'set_aside' then 'set_aside'
          else 'done'
        end,
        outcome = case when v_event.outcome = 'retry' and i.attempts >= 3 then 'set_aside' else v_event.outcome end,
        attempts = i.attempts - case v_event.outcome when 'release' then 1 else 0 end,
        available_at = case
          when v_event.outcome in ('release', 'retry')
          then clock_timestamp() + make_interval(secs => greatest(v_event.delay, 0))
          else i.available_at
        end,
        settled_at = case
          when v_event.outcome = 'release' or (v_event.outcome = 'retry' and i.attempts < 3) then null
          else clock_timestamp()
        end,
        claim_token = null, lease_until = null, reason = v_event.reason
    where i.tenant_id = v_event.tenant_id and i.id = v_event.id and i.claim_token = v_event.token
    returning i.state, i.lane into v_state, v_lane;
    continue when not found;

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

-- Claims whose lease ran out: back to the queue, or set aside once three attempts are spent. Waits for nobody; a claim
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
      array[v_lost.tenant_id], array[v_lost.id], array[v_token], array['retry'], array['lease_expired'],
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
             'lease_until', i.lease_until, 'body', translate(encode(b.body, 'base64'), E'\n', ''),
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

set local role enablebot_router;

create or replace function enablebot.claim_events(
  p_worker text, p_after_tenant uuid, p_limit int, p_tenant_cap int, p_lease_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_nil constant uuid := '00000000-0000-0000-0000-000000000000';
  v_start constant uuid := coalesce(p_after_tenant, v_nil);
  v_now timestamptz := clock_timestamp();
  v_lost_tenants uuid[];
  v_lost_ids bigint[];
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
  v_found bigint[] := '{}';
  v_found_tenants uuid[] := '{}';
  v_before int;
begin
  select array_agg(l.tenant_id), array_agg(l.id) into v_lost_tenants, v_lost_ids
  from (
    select i.tenant_id, i.id from inbox i
    where i.state = 'claimed' and i.lease_until <= v_now
    order by i.lease_until
    limit 100
  ) l;
  if v_lost_ids is not null then
    perform enablebot.work_for(v_lost_tenants);
    perform enablebot.inner_rescue(v_lost_tenants, v_lost_ids);
    v_now := clock_timestamp();
  end if;

  -- From tenant to tenant by the index, one probe each, however many events wait behind each head.
  while cardinality(v_tenants) < p_limit loop
    select h.tenant_id, h.available_at, p_tenant_cap - (
             select count(*) from inbox c
             where c.tenant_id = h.tenant_id and c.state = 'claimed' and c.lease_until > v_now)
    into v_tenant, v_available_at, v_room
    from (
      select i.tenant_id, i.available_at
      from inbox i
      where i.state = 'ready' and i.tenant_id > v_cursor
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

    -- One claimer a tenant at a time, so that two that count at once cannot exceed its cap together. A tenant that is
    -- being claimed from is passed by; if nothing else waits, its turn is waited for, with no other lock held.
    if pg_try_advisory_xact_lock(hashtextextended(v_tenant::text, 0)) then
      v_tenants := v_tenants || v_tenant;
      v_rooms := v_rooms || v_room;
    else
      v_busy := coalesce(v_busy, v_tenant);
    end if;
  end loop;
  if v_busy is not null and cardinality(v_tenants) = 0 then
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
        where i.tenant_id = v_tenant and i.state = 'ready' and i.available_at <= v_now
        order by i.available_at, i.id
        -- Counted again, now that nobody else claims from this tenant.
        limit greatest(0, least(v_share, p_tenant_cap - (
          select count(*) from inbox c
          where c.tenant_id = v_tenant and c.state = 'claimed' and c.lease_until > v_now)))
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

revoke all on function enablebot.claim_events from public;
grant execute on function enablebot.claim_events to enablebot_api;

set local role enablebot_owner;
revoke all on function
  enablebot.inner_settle, enablebot.inner_rescue, enablebot.inner_claimed, enablebot.renew_leases,
  enablebot.settle_events from public;
grant execute on function enablebot.inner_rescue, enablebot.inner_claimed to enablebot_router;
grant execute on function enablebot.renew_leases, enablebot.settle_events to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function enablebot.claim_events, enablebot.renew_leases, enablebot.settle_events to service_role;
  end if;
end
$$;

-- Accepted events: in, claimed, renewed, settled.
--
-- Whoever waits for locks takes them in this order, and rows of one table in key order, so that nobody deadlocks:
-- dedupe_keys, lanes, inbox, answers and replies, audit_heads. Claiming never waits for a row: it skips.
--
-- Plans live as long as their connection. One made while the inbox was nearly empty would read all of it, again and
-- again, after a burst. So none may scan a table, and rows are met one by one, by their whole key: joining a batch with
-- the inbox left the planner free to read everything of the batch's tenants instead.

set local role enablebot_owner;

-- Stores a batch as if one by one in the order given, in one statement: 64 events cost little more than one.
create or replace function enablebot.accept_events(
  p_tenant_ids uuid[], p_event_keys text[], p_message_keys text[], p_lanes text[], p_kinds text[], p_joins boolean[],
  p_bodies bytea[], p_data_key_ids uuid[]
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_verdicts jsonb;
begin
  perform enablebot.work_for(p_tenant_ids);
  with events as materialized (
    select *
    from unnest(p_tenant_ids, p_event_keys, p_message_keys, p_lanes, p_kinds, p_joins, p_bodies, p_data_key_ids)
         with ordinality as e (tenant_id, event_key, message_key, lane, kind, joins, body, data_key_id, place)
  ),
  -- Ours if it needs no lane, opens one, or finds it open: stored, or opened earlier in this batch. What is not ours
  -- takes no key: its twin, a mention, may follow and must not look like a duplicate.
  ours as materialized (
    select *
    from (
      select e.*, coalesce(bool_or(e.joins) over (
               partition by e.tenant_id, e.lane order by e.place rows between unbounded preceding and current row
             ), false) as is_opened
      from events e
    ) o
    where o.lane is null or o.is_opened
       -- Not `exists`: that may be answered by reading every lane there is.
       or (select true from lanes l where l.tenant_id = o.tenant_id and l.lane = o.lane)
  ),
  keys as (
    select o.tenant_id, 'event:' || o.event_key as key, o.place from ours o
    union all
    select o.tenant_id, 'message:' || o.message_key, o.place from ours o where o.message_key is not null
  ),
  -- The first event of the batch that carries a key may own it; twins behind it are duplicates.
  first_keys as materialized (
    select k.tenant_id, k.key, min(k.place) as place from keys k group by k.tenant_id, k.key
  ),
  -- In key order: unsorted batches of two processes deadlocked. A key another transaction is about to commit is waited
  -- for, and is a duplicate then.
  fresh_keys as (
    insert into dedupe_keys (tenant_id, key)
    select f.tenant_id, f.key from first_keys f order by f.tenant_id, f.key
    on conflict do nothing
    returning tenant_id, key
  ),
  -- Fresh only if each of its keys is new and first its own.
  accepted as materialized (
    select o.*, row_number() over (partition by o.tenant_id, o.lane order by o.place) as turn
    from ours o
    where not exists (
      select
      from keys k
      join first_keys f on f.tenant_id = k.tenant_id and f.key = k.key
      left join fresh_keys n on n.tenant_id = k.tenant_id and n.key = k.key
      where k.place = o.place and (n.key is null or f.place <> o.place)
    )
  ),
  -- Locks each lane until commit, in key order, so that an event arriving now and a settle that looks for the next
  -- one see each other.
  entered as (
    insert into lanes as l (tenant_id, lane, live)
    select a.tenant_id, a.lane, count(*)
    from accepted a
    where a.lane is not null
    group by a.tenant_id, a.lane
    order by a.tenant_id, a.lane
    on conflict (tenant_id, lane) do update set live = l.live + excluded.live, last_at = now()
    returning l.tenant_id, l.lane, l.live
  ),
  stored as (
    insert into inbox (tenant_id, event_key, lane, kind, state)
    select a.tenant_id, a.event_key, a.lane, a.kind,
           case
             when a.lane is null or (a.turn = 1 and e.live = count(*) over (partition by a.tenant_id, a.lane))
             then 'ready' else 'queued'
           end
    from accepted a
    left join entered e on e.tenant_id = a.tenant_id and e.lane = a.lane
    -- Ids are the order within a lane.
    order by a.place
    returning tenant_id, id, event_key
  ),
  bodies as (
    insert into event_bodies (tenant_id, event_id, body, data_key_id)
    select s.tenant_id, s.id, a.body, a.data_key_id
    from stored s
    join accepted a on a.tenant_id = s.tenant_id and a.event_key = s.event_key
  )
  select coalesce(jsonb_agg(
           case
             when a.place is not null then 'accepted'
             when o.place is not null then 'duplicate'
             else 'not_ours'
           end order by e.place), '[]')
  into v_verdicts
  from events e
  left join ours o on o.place = e.place
  left join accepted a on a.place = e.place;
  return v_verdicts;
end
$$;

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

-- Everything of these tenants that waits or runs, except what ends them: settled as dropped, with its content.
create or replace function enablebot.inner_drop_waiting(p_tenant_ids uuid[], p_reason text) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform from lanes l where l.tenant_id = any (p_tenant_ids) and l.live > 0 order by l.tenant_id, l.lane for update;
  perform from inbox i
  where i.tenant_id = any (p_tenant_ids) and i.state in ('ready', 'queued', 'claimed')
  order by i.tenant_id, i.id for update;

  with dropped as (
    update inbox i
    set state = 'done', outcome = 'dropped', reason = p_reason, settled_at = clock_timestamp(),
        claim_token = null, lease_until = null
    where i.tenant_id = any (p_tenant_ids) and i.state in ('ready', 'queued', 'claimed')
      and not (i.kind in ('lifecycle', 'stop') and i.lane is null)
    returning i.tenant_id, i.id, i.lane
  ),
  left_lanes as (
    update lanes l
    set live = l.live - d.dropped
    from (select o.tenant_id, o.lane, count(*) as dropped from dropped o group by o.tenant_id, o.lane) d
    where l.tenant_id = d.tenant_id and l.lane = d.lane
  ),
  unanswered as (
    update answers a
    set state = 'dropped', reason = p_reason, text = null, data_key_id = null, finished_at = clock_timestamp()
    from dropped d
    where a.tenant_id = d.tenant_id and a.event_id = d.id and a.state = 'open'
  )
  delete from event_bodies b using dropped d where b.tenant_id = d.tenant_id and b.event_id = d.id;
  -- Set aside for somebody to replay: nobody is left to.
  delete from event_bodies b
  using inbox i
  where i.tenant_id = any (p_tenant_ids) and i.state = 'set_aside' and b.tenant_id = i.tenant_id and b.event_id = i.id;
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

create or replace function enablebot.get_inbox_depth() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  -- State by state, so that each count reads its own small index and never the events that are done.
  return jsonb_build_object(
    'ready', (select count(*) from inbox i where i.state = 'ready'),
    'queued', (select count(*) from inbox i where i.state = 'queued'),
    'claimed', (select count(*) from inbox i where i.state = 'claimed'),
    'set_aside', (select count(*) from inbox i where i.state = 'set_aside'),
    'oldest_seconds', coalesce(extract(epoch from clock_timestamp() - least(
      (select min(i.received_at) from inbox i where i.state = 'ready'),
      (select min(i.received_at) from inbox i where i.state = 'queued'),
      (select min(i.received_at) from inbox i where i.state = 'claimed'))), 0)
  );
end
$$;

revoke all on function enablebot.claim_events, enablebot.get_inbox_depth from public;
grant execute on function enablebot.claim_events to enablebot_api;
grant execute on function enablebot.get_inbox_depth to enablebot_api;

set local role enablebot_owner;
revoke all on function
  enablebot.inner_settle, enablebot.inner_rescue, enablebot.inner_claimed, enablebot.inner_drop_waiting,
  enablebot.accept_events, enablebot.renew_leases, enablebot.settle_events from public;
grant execute on function enablebot.inner_rescue, enablebot.inner_claimed to enablebot_router;
grant execute on function enablebot.accept_events, enablebot.renew_leases, enablebot.settle_events to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.accept_events, enablebot.claim_events, enablebot.renew_leases, enablebot.settle_events,
      enablebot.get_inbox_depth to service_role;
  end if;
end
$$;

-- How claims end: settled, renewed, or rescued from workers that are gone. The order of locks, and why no plan may scan a
-- table, is told in inbox.sql.
--
-- A batch is looked up row by row, each by its whole key: a lateral look-up has no other order to be planned in. Where
-- the first of many is wanted, the order asked for is that of one index, and sorting is switched off, so that no other
-- index will do. What was found is locked, so its rows stay where they are, and is written by its place in the table:
-- with all else switched off that can be planned in one way only, too. So a batch costs a handful of statements, and none
-- of them can go astray.

set local role enablebot_owner;

-- `p_rows` are places of rows that the caller holds locked.
create or replace function enablebot.inner_write_settled(
  p_rows tid[], p_outcomes text[], p_reasons text[], p_delays double precision[]
) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  update inbox i
  set state = case
        when s.outcome in ('release', 'retry') then 'ready'
        when s.outcome = 'set_aside' then 'set_aside'
        else 'done'
      end,
      outcome = s.outcome,
      attempts = i.attempts - case s.outcome when 'release' then 1 else 0 end,
      available_at = case
        when s.outcome in ('release', 'retry') then v_now + make_interval(secs => greatest(s.delay, 0))
        else i.available_at
      end,
      settled_at = case when s.outcome not in ('release', 'retry') then v_now end,
      claim_token = null, lease_until = null, reason = s.reason
  from unnest(p_rows, p_outcomes, p_reasons, p_delays) as s (place, outcome, reason, delay)
  where i.ctid = s.place;
end
$$;

-- Content goes, lanes count down, and the lanes that have more waiting are returned.
create or replace function enablebot.inner_write_ended(
  p_bodies tid[], p_lanes tid[], out o_tenant_ids uuid[], out o_lanes text[]
)
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  if cardinality(p_bodies) > 0 then
    delete from event_bodies b using unnest(p_bodies) as s (place) where b.ctid = s.place;
  end if;
  if cardinality(p_lanes) > 0 then
    with left_lanes as (
      update lanes l
      set live = l.live - s.ended
      from (select u.place, count(*)::int as ended from unnest(p_lanes) as u (place) group by u.place) s
      where l.ctid = s.place
      returning l.tenant_id, l.lane, l.live
    )
    select array_agg(l.tenant_id), array_agg(l.lane) into o_tenant_ids, o_lanes
    from left_lanes l
    where l.live > 0;
  end if;
end
$$;

create or replace function enablebot.inner_write_ready(p_rows tid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  update inbox i
  set state = 'ready', available_at = clock_timestamp()
  from unnest(p_rows) as s (place)
  where i.ctid = s.place;
end
$$;

-- Ends claims that still hold their token. Used by settling, by the rescue of lost claims ('lost') and by finished
-- answers; the caller has declared the tenants. Returns the places, in the arguments, of the claims that were ended.
create or replace function enablebot.inner_settle(
  p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_delays double precision[]
) returns bigint[]
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set enable_sort = off
set enable_incremental_sort = off
as $$
declare
  v_lane_rows tid[];
  v_settled bigint[];
  v_rows tid[];
  v_outcomes text[];
  v_reasons text[];
  v_delays double precision[];
  v_bodies tid[];
  v_ended_lanes tid[];
  v_tenants uuid[];
  v_lanes text[];
  v_unread_tenants uuid[];
  v_unread text[];
begin
  -- Lanes first, then events: accepting holds a lane while it adds to it, and must not be waited for with events held.
  select array_agg(d.row order by d.place) into v_lane_rows
  from (
    select e.place, l.row
    from (
      select s.place, s.tenant_id, i.lane
      from unnest(p_tenant_ids, p_ids) with ordinality as s (tenant_id, id, place)
      left join lateral (
        select i.lane from inbox i where i.tenant_id = s.tenant_id and i.id = s.id limit 1
      ) i on true
      order by s.tenant_id, i.lane
    ) e
    left join lateral (
      select l.ctid as row from lanes l where l.tenant_id = e.tenant_id and l.lane = e.lane for update
    ) l on true
  ) d;

  -- In key order, each once however often it is named.
  select array_agg(h.place), array_agg(h.row), array_agg(h.outcome), array_agg(h.reason), array_agg(h.delay),
         array_agg(h.lane_row) filter (where h.outcome not in ('release', 'retry') and h.lane_row is not null),
         array_agg(h.tenant_id) filter (where h.kind = 'document' and h.outcome = 'set_aside'),
         array_agg(h.event_key) filter (where h.kind = 'document' and h.outcome = 'set_aside')
  into v_settled, v_rows, v_outcomes, v_reasons, v_delays, v_ended_lanes, v_unread_tenants, v_unread
  from (
    select distinct on (i.row) i.row, i.kind, i.event_key, s.tenant_id, s.place, s.reason, s.delay, s.lane_row,
           -- A person who waits is told, by one claim more than the three that others have, that nothing came of it.
           case
             when s.outcome = 'retry' and i.attempts >= 3 then 'set_aside'
             when s.outcome = 'lost' then case
               when i.attempts < 3 then 'retry'
               when i.attempts = 3 and i.kind in ('mention', 'message', 'interaction', 'document') then 'retry'
               else 'set_aside'
             end
             else s.outcome
           end as outcome
    from (
      select *
      from unnest(p_tenant_ids, p_ids, p_tokens, p_outcomes, p_reasons, p_delays, v_lane_rows)
           with ordinality as u (tenant_id, id, token, outcome, reason, delay, lane_row, place)
      order by u.tenant_id, u.id, u.place
    ) s
    cross join lateral (
      select i.ctid as row, i.attempts, i.kind, i.event_key
      from inbox i
      where i.tenant_id = s.tenant_id and i.id = s.id and i.claim_token = s.token
      for update
    ) i
    order by i.row, s.place
  ) h;
  if v_settled is null then
    return '{}';
  end if;
  perform enablebot.inner_write_settled(v_rows, v_outcomes, v_reasons, v_delays);
  if v_unread is not null then
    perform enablebot.inner_fail_documents(
      v_unread_tenants, v_unread,
      'EnableBot could not read this document, for reasons on its side. Whoever runs it is told and can try it again.');
  end if;

  select array_agg(b.row) into v_bodies
  from unnest(v_settled, v_outcomes) as s (place, outcome)
  cross join lateral (
    select b.ctid as row from event_bodies b
    where b.tenant_id = p_tenant_ids[s.place] and b.event_id = p_ids[s.place]
    limit 1
  ) b
  where s.outcome not in ('release', 'retry', 'set_aside');
  if v_bodies is null and v_ended_lanes is null then
    return v_settled;
  end if;
  select w.o_tenant_ids, w.o_lanes into v_tenants, v_lanes from enablebot.inner_write_ended(v_bodies, v_ended_lanes) w;

  if v_lanes is not null then
    perform enablebot.inner_write_ready(array(
      select q.row
      from unnest(v_tenants, v_lanes) as s (tenant_id, lane)
      cross join lateral (
        select q.ctid as row from inbox q
        -- Not `lane = …`: the order by lane would mean nothing then, and the primary key could be walked by id instead.
        where q.tenant_id = s.tenant_id and q.lane >= s.lane and q.lane <= s.lane and q.state = 'queued'
        order by q.lane, q.id
        limit 1
      ) q));
  end if;
  return v_settled;
end
$$;

-- Documents whose events, named by their keys, came to their end unread: people are shown that, and why. Where a worker
-- has said already why it failed, that stands.
create or replace function enablebot.inner_fail_documents(p_tenant_ids uuid[], p_event_keys text[], p_reason text)
returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform enablebot.inner_fail_document(d.tenant_id, d.document_id, d.version, p_reason)
  from (
    select e.tenant_id, split_part(e.event_key, ':', 2)::uuid as document_id,
           split_part(e.event_key, ':', 3)::int as version
    from unnest(p_tenant_ids, p_event_keys) as e (tenant_id, event_key)
    -- In key order, as everybody who locks more than one.
    order by 1, 2, 3
  ) d;
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
  v_attempts int;
begin
  for v_lost in select s.* from unnest(p_tenant_ids, p_ids) as s (tenant_id, id) order by s.tenant_id, s.id loop
    select i.lane into v_lane from inbox i where i.tenant_id = v_lost.tenant_id and i.id = v_lost.id;
    if v_lane is not null then
      perform from lanes l where l.tenant_id = v_lost.tenant_id and l.lane = v_lane for update skip locked;
      continue when not found;
    end if;
    select i.claim_token, i.attempts into v_token, v_attempts
    from inbox i
    where i.tenant_id = v_lost.tenant_id and i.id = v_lost.id and i.lease_until <= v_now
    for update skip locked;
    continue when not found;
    perform enablebot.inner_settle(
      array[v_lost.tenant_id], array[v_lost.id], array[v_token], array['lost'], array['lease_expired'],
      -- What was lost once goes on at once. What was lost again may have died of a neighbour: they part, so that they do
      -- not meet in the same worker a third time.
      array[case when v_attempts < 2 then 0 else random() * 2 * v_attempts end]);
  end loop;
end
$$;

create or replace function enablebot.inner_write_lease(p_rows tid[], p_lease_seconds int) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  update inbox i
  set lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
  from (select distinct u.place from unnest(p_rows) as u (place)) s
  where i.ctid = s.place;
end
$$;

create or replace function enablebot.renew_leases(
  p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_lease_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_rows tid[];
  v_places bigint[];
begin
  perform enablebot.work_for(array(select distinct t from unnest(p_tenant_ids) t order by t));
  -- In key order, as settling does: two batches that share events wait instead of deadlocking.
  select array_agg(i.row), array_agg(s.place) into v_rows, v_places
  from (
    select *
    from unnest(p_tenant_ids, p_ids, p_tokens) with ordinality as u (tenant_id, id, token, place)
    order by u.tenant_id, u.id
  ) s
  cross join lateral (
    select i.ctid as row from inbox i
    where i.tenant_id = s.tenant_id and i.id = s.id and i.claim_token = s.token
    for update
  ) i;
  perform enablebot.inner_write_lease(v_rows, p_lease_seconds);
  return (
    select coalesce(jsonb_agg(s.place = any (v_places) is true order by s.place), '[]')
    from unnest(p_ids) with ordinality as s (id, place)
  );
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
  -- Sorted, because every probe of an index sorts them again.
  perform enablebot.work_for(array(select distinct t from unnest(p_tenant_ids) t order by t));
  v_settled := enablebot.inner_settle(p_tenant_ids, p_ids, p_tokens, p_outcomes, p_reasons, p_delays);
  return (
    select coalesce(jsonb_agg(case when s.place = any (v_settled) then 'settled' else 'stale' end order by s.place), '[]')
    from unnest(p_ids) with ordinality as s (id, place)
  );
end
$$;

revoke all on function
  enablebot.inner_write_settled, enablebot.inner_write_ended, enablebot.inner_write_ready, enablebot.inner_settle,
  enablebot.inner_fail_documents, enablebot.inner_rescue, enablebot.inner_write_lease, enablebot.renew_leases,
  enablebot.settle_events from public;
grant execute on function enablebot.inner_rescue to enablebot_router;
grant execute on function enablebot.renew_leases, enablebot.settle_events to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function enablebot.renew_leases, enablebot.settle_events to service_role;
  end if;
end
$$;

-- Accepted events: in, counted, dropped. claims.sql and settling.sql have what a worker does with them.
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

-- Everything of these tenants that waits or runs, except what ends them: settled as dropped, with its content.
create or replace function enablebot.inner_drop_waiting(p_tenant_ids uuid[], p_reason text) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform from lanes l where l.tenant_id = any (p_tenant_ids) and l.live > 0 order by l.tenant_id, l.lane for update;
  perform from inbox i
  where i.tenant_id = any (p_tenant_ids) and i.state in ('ready', 'queued', 'held', 'claimed')
  order by i.tenant_id, i.id for update;

  with dropped as (
    update inbox i
    set state = 'done', outcome = 'dropped', reason = p_reason, settled_at = clock_timestamp(),
        claim_token = null, lease_until = null
    where i.tenant_id = any (p_tenant_ids) and i.state in ('ready', 'queued', 'held', 'claimed')
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

set local role enablebot_router;

create or replace function enablebot.get_inbox_depth() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  -- State by state, so that each count reads its own small index and never the events that are done.
  return jsonb_build_object(
    'asked_at', clock_timestamp(),
    'ready', (
      select count(*) from inbox i where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle')) + (
      select count(*) from inbox i where i.state = 'ready' and i.kind in ('stop', 'delete', 'lifecycle')),
    'held', (select count(*) from inbox i where i.state = 'held'),
    'paused', (select count(*) from tenants t where t.status = 'paused'),
    'queued', (select count(*) from inbox i where i.state = 'queued'),
    'claimed', (select count(*) from inbox i where i.state = 'claimed'),
    'set_aside', (select count(*) from inbox i where i.state = 'set_aside'),
    'oldest_seconds', coalesce(extract(epoch from clock_timestamp() - least(
      (select min(i.received_at) from inbox i
       where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle')),
      (select min(i.received_at) from inbox i where i.state = 'ready' and i.kind in ('stop', 'delete', 'lifecycle')),
      (select min(i.received_at) from inbox i where i.state = 'queued'),
      (select min(i.received_at) from inbox i where i.state = 'claimed'))), 0)
  );
end
$$;

revoke all on function enablebot.get_inbox_depth from public;
-- The web, too: `doctor` looks with its rights.
grant execute on function enablebot.get_inbox_depth to enablebot_api, enablebot_web;

set local role enablebot_owner;
revoke all on function enablebot.inner_drop_waiting, enablebot.accept_events from public;
grant execute on function enablebot.accept_events to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function enablebot.accept_events, enablebot.get_inbox_depth to service_role;
  end if;
end
$$;

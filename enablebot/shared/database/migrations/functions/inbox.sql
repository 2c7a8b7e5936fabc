-- Accepted events: in, counted, dropped. claims.sql and settling.sql have what a worker does with them.
--
-- Whoever waits for locks takes them in this order, and rows of one table in key order, so that nobody deadlocks:
-- dedupe_keys, lanes, inbox, answers and replies, audit_heads. Claiming never waits for a row: it skips.
--
-- Plans live as long as their connection. One made while the inbox was nearly empty would read all of it, again and
-- again, after a burst. So none may scan a table, and rows are met one by one, by their whole key: joining a batch with
-- the inbox left the planner free to read everything of the batch's tenants instead.

set local role enablebot_owner;

-- Stores a batch as if one by one in the order given: 64 events cost little more than one. Most batches hold nothing
-- but new events that open or continue idle conversations; what else there may be is looked into when it is there.
create or replace function enablebot.accept_events(
  p_tenant_ids uuid[], p_event_keys text[], p_message_keys text[], p_lanes text[], p_kinds text[], p_joins boolean[],
  p_bodies bytea[], p_data_key_ids uuid[]
) returns jsonb
language plpgsql security definer
-- Planning these statements anew for each batch would cost more than running them.
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_all constant int := coalesce(cardinality(p_tenant_ids), 0);
  v_ours int[];
  v_accepted int[];
  v_verdicts jsonb;
  v_fresh_tenants uuid[];
  v_fresh_keys text[];
  v_is_idle boolean;
  v_states text[];
  v_ids bigint[];
begin
  perform enablebot.work_for(array(select distinct t.id from unnest(p_tenant_ids) as t (id)));

  -- Ours if it needs no lane, opens one, or finds it open: stored, or opened earlier in this batch. What is not ours
  -- takes no key: its twin, a mention, may follow and must not look like a duplicate.
  if not true = all (p_joins) then
    v_ours := array(
      select e.place
      from unnest(p_tenant_ids, p_lanes, p_joins) with ordinality as e (tenant_id, lane, joins, place)
      where e.joins or e.lane is null
         -- Not `exists`: that may be answered by reading every lane there is.
         or (select true from lanes l where l.tenant_id = e.tenant_id and l.lane = e.lane)
         or exists (
           select from unnest(p_tenant_ids, p_lanes, p_joins) with ordinality as b (tenant_id, lane, joins, place)
           where b.joins and b.place < e.place and b.lane = e.lane and b.tenant_id = e.tenant_id));
    if v_ours = '{}' then
      return to_jsonb(array_fill('not_ours'::text, array[v_all]));
    end if;
  end if;

  -- In key order: unsorted batches of two processes deadlocked. A key another transaction is about to commit is waited
  -- for, and is a duplicate then. A key that comes twice is inserted once.
  with fresh as (
    insert into dedupe_keys (tenant_id, key)
    select k.tenant_id, k.key
    from (
      select e.tenant_id, 'event:' || e.key as key, e.place
      from unnest(p_tenant_ids, p_event_keys) with ordinality as e (tenant_id, key, place)
      union all
      select e.tenant_id, 'message:' || e.key, e.place
      from unnest(p_tenant_ids, p_message_keys) with ordinality as e (tenant_id, key, place)
      where e.key is not null
    ) k
    where v_ours is null or k.place = any (v_ours)
    order by k.tenant_id, k.key
    on conflict do nothing
    returning tenant_id, key
  )
  select array_agg(f.tenant_id), array_agg(f.key) into v_fresh_tenants, v_fresh_keys from fresh f;

  if v_ours is null and cardinality(v_fresh_keys) = v_all + cardinality(array_remove(p_message_keys, null)) then
    v_verdicts := to_jsonb(array_fill('accepted'::text, array[v_all]));
  else
    -- Accepted only if each of its keys is new, and it is the first of the batch to carry it; twins behind it are
    -- duplicates.
    v_accepted := array(
      select j.place
      from (
        select k.place, k.place = min(k.place) over (partition by k.tenant_id, k.key)
               -- Not a join, which a plan made for few rows would do in as many steps as the batch is long, squared.
               and (k.tenant_id, k.key) in (
                 select f.tenant_id, f.key from unnest(v_fresh_tenants, v_fresh_keys) as f (tenant_id, key)) as is_fresh
        from (
          select e.tenant_id, 'event:' || e.key as key, e.place
          from unnest(p_tenant_ids, p_event_keys) with ordinality as e (tenant_id, key, place)
          union all
          select e.tenant_id, 'message:' || e.key, e.place
          from unnest(p_tenant_ids, p_message_keys) with ordinality as e (tenant_id, key, place)
          where e.key is not null
        ) k
        where v_ours is null or k.place = any (v_ours)
      ) j
      group by j.place
      having bool_and(j.is_fresh)
      order by j.place);
    v_verdicts := (
      select coalesce(jsonb_agg(
               case
                 when e.place = any (v_accepted) then 'accepted'
                 when v_ours is null or e.place = any (v_ours) then 'duplicate'
                 else 'not_ours'
               end order by e.place), '[]')
      from generate_series(1, v_all) as e (place));
  end if;
  -- What is left to store. Whoever deleted a message waits for nobody: its lane has said whether it was ours.
  if v_accepted is not null or 'delete' = any (p_kinds) then
    select array_agg(a.tenant_id order by a.place), array_agg(a.event_key order by a.place),
           array_agg(case when a.kind <> 'delete' then a.lane end order by a.place), array_agg(a.kind order by a.place),
           array_agg(a.body order by a.place), array_agg(a.data_key_id order by a.place)
    into p_tenant_ids, p_event_keys, p_lanes, p_kinds, p_bodies, p_data_key_ids
    from unnest(p_tenant_ids, p_event_keys, p_lanes, p_kinds, p_bodies, p_data_key_ids)
         with ordinality as a (tenant_id, event_key, lane, kind, body, data_key_id, place)
    where v_accepted is null or a.place = any (v_accepted);
    if p_tenant_ids is null then
      return v_verdicts;
    end if;
  end if;

  -- Locks each lane until commit, in key order, so that an event arriving now and a settle that looks for the next
  -- one see each other.
  with entered as (
    insert into lanes as l (tenant_id, lane, live)
    select a.tenant_id, a.lane, count(*)
    from unnest(p_tenant_ids, p_lanes) as a (tenant_id, lane)
    where a.lane is not null
    group by a.tenant_id, a.lane
    order by a.tenant_id, a.lane
    on conflict (tenant_id, lane) do update set live = l.live + excluded.live, last_at = now()
    returning l.live
  )
  select coalesce(bool_and(e.live = 1), true) into v_is_idle from entered e;

  if v_is_idle then
    v_states := array_fill('ready'::text, array[cardinality(p_tenant_ids)]);
  else
    -- Only the first of a lane in which nothing else lives goes at once.
    v_states := array(
      select case
               when a.lane is null
                 or (row_number() over (partition by a.tenant_id, a.lane order by a.place) = 1
                     and count(*) over (partition by a.tenant_id, a.lane)
                         = (select l.live from lanes l where l.tenant_id = a.tenant_id and l.lane = a.lane))
               then 'ready' else 'queued'
             end
      from unnest(p_tenant_ids, p_lanes) with ordinality as a (tenant_id, lane, place)
      order by a.place);
  end if;

  -- Ids are the order within a lane: drawn in the order given, with the lanes locked.
  v_ids := array(
    select nextval('enablebot.inbox_id_seq') from generate_series(1, cardinality(p_tenant_ids)));
  insert into inbox (tenant_id, id, event_key, lane, kind, state) overriding system value
  select unnest(p_tenant_ids), unnest(v_ids), unnest(p_event_keys), unnest(p_lanes), unnest(p_kinds), unnest(v_states);
  insert into event_bodies (tenant_id, event_id, body, data_key_id)
  select unnest(p_tenant_ids), unnest(v_ids), unnest(p_bodies), unnest(p_data_key_ids);
  return v_verdicts;
end
$$;

-- Everything of these tenants that waits or runs, except what ends them: settled as dropped, with its content.
create or replace function enablebot.inner_drop_waiting(p_tenant_ids uuid[], p_reason text) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_tenants uuid[];
  v_documents text[];
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
    returning i.tenant_id, i.id, i.lane, i.kind, i.event_key
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
  ),
  forgotten as (
    delete from event_bodies b using dropped d where b.tenant_id = d.tenant_id and b.event_id = d.id
  )
  select array_agg(d.tenant_id order by d.event_key), array_agg(d.event_key order by d.event_key)
  into v_tenants, v_documents
  from dropped d where d.kind = 'document';
  if v_documents is not null then
    perform enablebot.inner_fail_documents(
      v_tenants, v_documents,
      'The app was removed from the workspace before this was read. Add the app again, then re-index the document.');
  end if;
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
      select count(*) from inbox i
      where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document')) + (
      select count(*) from inbox i where i.state = 'ready' and i.kind in ('stop', 'delete', 'lifecycle')),
    'held', (select count(*) from inbox i where i.state = 'held'),
    'paused', (select count(*) from tenants t where t.status = 'paused'),
    'queued', (select count(*) from inbox i where i.state = 'queued' and i.kind <> 'document'),
    'claimed', (select count(*) from inbox i where i.state = 'claimed' and i.kind <> 'document'),
    'set_aside', (select count(*) from inbox i where i.state = 'set_aside'),
    -- Many documents at once take their time; nobody's question waits for them.
    'documents_waiting', (
      select count(*) from inbox i where i.state = 'ready' and i.kind = 'document') + (
      select count(*) from inbox i where i.state = 'queued' and i.kind = 'document'),
    'documents_claimed', (select count(*) from inbox i where i.state = 'claimed' and i.kind = 'document'),
    'oldest_document_seconds', coalesce(extract(epoch from clock_timestamp() - least(
      (select min(coalesce(i.replayed_at, i.received_at)) from inbox i where i.state = 'ready' and i.kind = 'document'),
      (select min(coalesce(i.replayed_at, i.received_at)) from inbox i
       where i.state = 'claimed' and i.kind = 'document'))), 0),
    'oldest_seconds', coalesce(extract(epoch from clock_timestamp() - least(
      (select min(i.received_at) from inbox i
       where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document')),
      (select min(i.received_at) from inbox i where i.state = 'ready' and i.kind in ('stop', 'delete', 'lifecycle')),
      (select min(i.received_at) from inbox i where i.state = 'queued' and i.kind <> 'document'),
      (select min(i.received_at) from inbox i where i.state = 'claimed' and i.kind <> 'document'))), 0)
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

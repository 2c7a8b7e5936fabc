-- Accepted events as a worker meets them: claimed. The order of locks is told in inbox.sql; why look-ups are lateral and
-- writes go by the rows' places, in settling.sql.

set local role enablebot_owner;

-- Nobody outside these files may call it, and nothing in them does any more.
-- squawk-ignore ban-drop-function
drop function if exists enablebot.inner_claimed(uuid[], bigint[]);

-- What a worker needs of events, in the order given, with their sealed contents; the caller has declared the tenants.
create or replace function enablebot.inner_describe(
  p_tenant_ids uuid[], p_ids bigint[], p_event_keys text[], p_kinds text[], p_lanes text[], p_attempts int[],
  p_received_at timestamptz[], p_tokens uuid[], p_lease_until timestamptz, p_were_lost boolean[],
  p_waited double precision[]
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'tenant_id', e.tenant_id, 'id', e.id, 'event_key', e.event_key, 'kind', e.kind, 'lane', e.lane,
             'attempts', e.attempts, 'received_at', e.received_at, 'claim_token', e.token, 'lease_until', p_lease_until,
             'is_last_word', e.attempts > 3, 'was_lost', e.was_lost, 'waited_seconds', e.waited,
             'body', replace(encode(b.body, 'base64'), E'\n', ''), 'data_key_id', b.data_key_id) order by e.place), '[]')
    from unnest(
      p_tenant_ids, p_ids, p_event_keys, p_kinds, p_lanes, p_attempts, p_received_at, p_tokens, p_were_lost, p_waited
    ) with ordinality as e (
      tenant_id, id, event_key, kind, lane, attempts, received_at, token, was_lost, waited, place)
    left join lateral (
      select b.body, b.data_key_id from event_bodies b where b.tenant_id = e.tenant_id and b.event_id = e.id limit 1
    ) b on true
  );
end
$$;

-- A workspace without a token waits, and what waits for it is out of the claims' way: 'held' until it is back. The
-- status is looked at under a lock that whoever brings it back waits for, so that nothing is held after that.
create or replace function enablebot.inner_hold_waiting(p_tenant_ids uuid[], p_credential_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set enable_sort = off
set enable_incremental_sort = off
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
      where h.tenant_id = v_tenant.id and h.state = 'ready' and h.kind not in ('stop', 'delete', 'lifecycle', 'document')
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
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set enable_sort = off
set enable_incremental_sort = off
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

-- Claims rows that the caller holds locked, named by their places, and returns what a worker needs of them.
create or replace function enablebot.inner_write_claimed(p_rows tid[], p_worker text, p_lease_seconds int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_lease_until constant timestamptz := v_now + make_interval(secs => p_lease_seconds);
  v_tenant_ids uuid[];
  v_ids bigint[];
  v_event_keys text[];
  v_kinds text[];
  v_lanes text[];
  v_attempts int[];
  v_received_at timestamptz[];
  v_tokens uuid[];
  v_were_lost boolean[];
  v_waited double precision[];
begin
  with claimed as (
    update inbox i
    set state = 'claimed', attempts = i.attempts + 1, claim_token = gen_random_uuid(), lease_until = v_lease_until,
        claimed_by = p_worker
    from unnest(p_rows) as s (place)
    where i.ctid = s.place
    returning i.*
  )
  select array_agg(c.tenant_id), array_agg(c.id), array_agg(c.event_key), array_agg(c.kind), array_agg(c.lane),
         array_agg(c.attempts), array_agg(c.received_at), array_agg(c.claim_token),
         array_agg(coalesce(c.reason = 'lease_expired', false)),
         array_agg(extract(epoch from v_now - coalesce(c.replayed_at, c.received_at))::double precision)
  into v_tenant_ids, v_ids, v_event_keys, v_kinds, v_lanes, v_attempts, v_received_at, v_tokens, v_were_lost, v_waited
  from claimed c;

  -- Sorted, because every probe of an index sorts them again.
  perform enablebot.work_for(array(select distinct t from unnest(v_tenant_ids) t order by t));
  return enablebot.inner_describe(
    v_tenant_ids, v_ids, v_event_keys, v_kinds, v_lanes, v_attempts, v_received_at, v_tokens, v_lease_until, v_were_lost,
    v_waited);
end
$$;

-- Stop, delete and lifecycle events have no lane and no cap, and an index of their own: however much waits for their
-- workspace, they are met at once. In equal shares over the workspaces, from anywhere, so that no flood of one's delays
-- another's. Locks them and returns their places.
create or replace function enablebot.inner_find_urgent(p_limit int) returns tid[]
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set enable_sort = off
set enable_incremental_sort = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_start constant uuid := gen_random_uuid();
  v_cursor uuid := v_start;
  v_has_wrapped boolean := false;
  v_tenant uuid;
  v_tenants uuid[] := '{}';
begin
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
  if cardinality(v_tenants) = 0 then
    return '{}';
  end if;

  return array(
    select h.row
    from unnest(v_tenants) as t (tenant_id)
    cross join lateral (
      -- What another transaction holds is passed by, never waited for.
      select i.ctid as row
      from inbox i
      where i.tenant_id = t.tenant_id and i.state = 'ready' and i.kind in ('stop', 'delete', 'lifecycle')
        and i.available_at <= v_now
      order by i.available_at, i.id
      limit ceil(p_limit::numeric / cardinality(v_tenants))
      for update skip locked
    ) h
    limit p_limit);
end
$$;

create or replace function enablebot.claim_urgent_events(p_worker text, p_limit int, p_lease_seconds int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.inner_rescue_lost();
  return enablebot.inner_write_claimed(enablebot.inner_find_urgent(p_limit), p_worker, p_lease_seconds);
end
$$;

create or replace function enablebot.claim_events(
  p_worker text, p_after_tenant uuid, p_limit int, p_tenant_cap int, p_lease_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set enable_sort = off
set enable_incremental_sort = off
as $$
declare
  v_nil constant uuid := '00000000-0000-0000-0000-000000000000';
  v_start constant uuid := coalesce(p_after_tenant, v_nil);
  v_any_paused constant boolean := exists (select from tenants t where t.status = 'paused');
  v_now timestamptz;
  v_head record;
  v_credential uuid;
  v_paused uuid[] := '{}';
  v_paused_by uuid[] := '{}';
  v_busy uuid;
  v_tenants uuid[] := '{}';
  v_rows tid[];
  v_left int;
  v_share int;
  v_rest int;
  v_found tid[];
  v_places bigint[];
begin
  perform enablebot.inner_rescue_lost();
  v_now := clock_timestamp();
  v_rows := enablebot.inner_find_urgent(p_limit);
  v_left := p_limit - cardinality(v_rows);

  -- From tenant to tenant by the index, one probe each, however many events wait behind each head: those after the one
  -- that was served last, then those before.
  for v_head in
    with recursive heads as (
      (select i.tenant_id, i.available_at, false as is_wrapped
       from inbox i
       where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document') and i.tenant_id > v_start
       order by i.tenant_id, i.available_at, i.id
       limit 1)
      union all
      select n.tenant_id, n.available_at, false
      from heads h
      cross join lateral (
        select i.tenant_id, i.available_at
        from inbox i
        where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document') and i.tenant_id > h.tenant_id
        order by i.tenant_id, i.available_at, i.id
        limit 1
      ) n
    ),
    wrapped as (
      (select i.tenant_id, i.available_at
       from inbox i
       where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document') and i.tenant_id <= v_start
       order by i.tenant_id, i.available_at, i.id
       limit 1)
      union all
      select n.tenant_id, n.available_at
      from wrapped w
      cross join lateral (
        select i.tenant_id, i.available_at
        from inbox i
        where i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document')
          and i.tenant_id > w.tenant_id and i.tenant_id <= v_start
        order by i.tenant_id, i.available_at, i.id
        limit 1
      ) n
    )
    select a.tenant_id
    from (
      select h.tenant_id, h.available_at from heads h
      union all
      select w.tenant_id, w.available_at from wrapped w
    ) a
    where a.available_at <= v_now and p_tenant_cap > (
      select count(*) from (
        select from inbox c
        where c.tenant_id = a.tenant_id and c.state = 'claimed' and c.lease_until > v_now
          and c.kind not in ('stop', 'delete', 'lifecycle', 'document')
        order by c.lease_until
        limit p_tenant_cap
      ) c)
  loop
    exit when cardinality(v_tenants) >= v_left or cardinality(v_paused) >= 100;
    if v_any_paused then
      select c.id into v_credential
      from tenants t join tenants c on c.id = coalesce(t.credential_tenant_id, t.id)
      where t.id = v_head.tenant_id and c.status = 'paused';
      if found then
        v_paused := v_paused || v_head.tenant_id;
        v_paused_by := v_paused_by || v_credential;
        continue;
      end if;
    end if;
    -- One claimer a tenant at a time, so that two that count at once cannot exceed its cap together. A tenant that is
    -- being claimed from is passed by; if nothing else waits, its turn is waited for, with no event held.
    if pg_try_advisory_xact_lock(hashtextextended(v_head.tenant_id::text, 0)) then
      v_tenants := v_tenants || v_head.tenant_id;
    else
      v_busy := coalesce(v_busy, v_head.tenant_id);
    end if;
  end loop;
  if cardinality(v_paused) > 0 then
    perform enablebot.work_for(v_paused || v_paused_by);
    perform enablebot.inner_hold_waiting(v_paused, v_paused_by);
  end if;
  if v_busy is not null and cardinality(v_rows) = 0 and cardinality(v_tenants) = 0 then
    perform pg_advisory_xact_lock(hashtextextended(v_busy::text, 0));
    v_tenants := array[v_busy];
  end if;

  -- In equal shares. Where somebody has less waiting than its share, the others share what that leaves: looked up anew
  -- from their heads, since what is locked here is not passed by here.
  while cardinality(v_tenants) > 0 loop
    v_share := v_left / cardinality(v_tenants);
    v_rest := v_left % cardinality(v_tenants);
    select array_agg(h.row), array_agg(t.place) into v_found, v_places
    from unnest(v_tenants) with ordinality as t (tenant_id, place)
    cross join lateral (
      -- What another transaction holds is passed by, never waited for.
      select i.ctid as row
      from inbox i
      where i.tenant_id = t.tenant_id and i.state = 'ready' and i.kind not in ('stop', 'delete', 'lifecycle', 'document')
        and i.available_at <= v_now
      order by i.available_at, i.id
      -- Counted now that nobody else claims from this tenant.
      limit least(v_share + (t.place <= v_rest)::int, p_tenant_cap - (
        select count(*) from (
          select from inbox c
          where c.tenant_id = t.tenant_id and c.state = 'claimed' and c.lease_until > v_now
            and c.kind not in ('stop', 'delete', 'lifecycle', 'document')
          order by c.lease_until
          limit p_tenant_cap
        ) c))
      for update skip locked
    ) h;
    exit when v_found is null;
    if cardinality(v_found) = v_left then
      v_rows := v_rows || v_found;
      exit;
    end if;
    with found as (
      select f.row, f.place, count(*) over (partition by f.place) as many
      from unnest(v_found, v_places) as f (row, place)
    ),
    filled as (
      select t.tenant_id, t.place
      from unnest(v_tenants) with ordinality as t (tenant_id, place)
      where exists (select from found f where f.place = t.place and f.many = v_share + (t.place <= v_rest)::int)
    )
    select array(select f.row from found f where f.place not in (select d.place from filled d) order by f.place),
           array(select d.tenant_id from filled d order by d.place)
    into v_found, v_tenants;
    v_rows := v_rows || v_found;
    v_left := v_left - cardinality(v_found);
  end loop;
  return enablebot.inner_write_claimed(v_rows, p_worker, p_lease_seconds);
end
$$;

revoke all on function
  enablebot.inner_rescue_lost, enablebot.inner_write_claimed, enablebot.inner_find_urgent,
  enablebot.claim_urgent_events, enablebot.claim_events from public;
grant execute on function enablebot.claim_urgent_events, enablebot.claim_events to enablebot_api;

set local role enablebot_owner;
revoke all on function
  enablebot.inner_describe, enablebot.inner_hold_waiting from public;
grant execute on function enablebot.inner_describe, enablebot.inner_hold_waiting to enablebot_router;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function enablebot.claim_urgent_events, enablebot.claim_events to service_role;
  end if;
end
$$;

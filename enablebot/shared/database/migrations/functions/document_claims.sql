-- Documents that wait to be read, as a worker claims them: apart from what people ask, with caps of their own, so that
-- neither keeps the other waiting. No workspace's token is needed to read a document: a paused one's are read, too. How
-- claims end is told in settling.sql.

set local role enablebot_router;

-- Locks the next documents and returns their places. Of few workspaces at a time, from anywhere: those of which least is
-- being read come first, and of these whoever waits longest. So one that brought ten thousand documents has what the
-- others leave.
create or replace function enablebot.inner_find_documents(p_limit int, p_tenant_cap int) returns tid[]
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
  v_since timestamptz;
  v_tenants uuid[] := '{}';
  v_sinces timestamptz[] := '{}';
  v_head record;
  v_busy uuid;
  v_chosen uuid[] := '{}';
begin
  -- From tenant to tenant by the index, one probe each.
  for v_probe in 1..1000 loop
    exit when cardinality(v_tenants) >= 100;
    select i.tenant_id, i.available_at into v_tenant, v_since
    from inbox i
    where i.state = 'ready' and i.kind = 'document' and i.tenant_id > v_cursor
    order by i.tenant_id, i.available_at, i.id
    limit 1;
    if not found or (v_has_wrapped and v_tenant > v_start) then
      exit when v_has_wrapped;
      v_has_wrapped := true;
      v_cursor := '00000000-0000-0000-0000-000000000000';
      continue;
    end if;
    v_cursor := v_tenant;
    continue when v_since > v_now;
    v_tenants := v_tenants || v_tenant;
    v_sinces := v_sinces || v_since;
  end loop;

  for v_head in
    select t.tenant_id
    from unnest(v_tenants, v_sinces) as t (tenant_id, since)
    cross join lateral (
      select count(*) as live from (
        select from inbox c
        where c.tenant_id = t.tenant_id and c.state = 'claimed' and c.lease_until > v_now and c.kind = 'document'
        order by c.lease_until
        limit p_tenant_cap
      ) c
    ) l
    where l.live < p_tenant_cap
    order by l.live, t.since, t.tenant_id
  loop
    exit when cardinality(v_chosen) >= p_limit;
    -- One claimer a tenant at a time, so that two that count at once cannot exceed its cap together. Not the lock under
    -- which its questions are claimed.
    if pg_try_advisory_xact_lock(hashtextextended(v_head.tenant_id::text, 2)) then
      v_chosen := v_chosen || v_head.tenant_id;
    else
      v_busy := coalesce(v_busy, v_head.tenant_id);
    end if;
  end loop;
  if cardinality(v_chosen) = 0 then
    if v_busy is null then
      return '{}';
    end if;
    perform pg_advisory_xact_lock(hashtextextended(v_busy::text, 2));
    v_chosen := array[v_busy];
  end if;

  return array(
    select h.row
    from (
      select d.row, d.available_at, l.live + d.turn as turn
      from unnest(v_chosen) as t (tenant_id)
      cross join lateral (
        -- Counted now that nobody else claims from this tenant.
        select count(*) as live from (
          select from inbox c
          where c.tenant_id = t.tenant_id and c.state = 'claimed' and c.lease_until > v_now and c.kind = 'document'
          order by c.lease_until
          limit p_tenant_cap
        ) c
      ) l
      cross join lateral (
        select f.row, f.available_at, row_number() over () as turn
        from (
          -- What another transaction holds is passed by, never waited for.
          select i.ctid as row, i.available_at
          from inbox i
          where i.tenant_id = t.tenant_id and i.state = 'ready' and i.kind = 'document' and i.available_at <= v_now
          order by i.available_at, i.id
          limit least(p_limit, p_tenant_cap - l.live)
          for update skip locked
        ) f
      ) d
    ) h
    order by h.turn, h.available_at
    limit p_limit);
end
$$;

create or replace function enablebot.claim_documents(
  p_worker text, p_limit int, p_tenant_cap int, p_lease_seconds int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.inner_rescue_lost();
  return enablebot.inner_write_claimed(
    enablebot.inner_find_documents(p_limit, p_tenant_cap), p_worker, p_lease_seconds);
end
$$;

revoke all on function enablebot.inner_find_documents, enablebot.claim_documents from public;
grant execute on function enablebot.claim_documents to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function enablebot.claim_documents to service_role;
  end if;
end
$$;

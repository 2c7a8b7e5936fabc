-- Passages in and out, and the counts that say how rare a term is.
--
-- Order of locks: the inbox row of the claim, the document, then terms by their number, then corpora. Whoever drops
-- passages holds the document by then, and so does whoever stages them: a batch is either seen by the drop or refused.
-- Terms that were counted in any other order deadlocked 22 times in 40 documents with four writers (measured).
--
-- No sequential scans, for the reason given in inbox.sql.

set local role enablebot_owner;

-- Counts terms up; the caller has declared the tenant.
create or replace function enablebot.inner_count_terms(p_tenant_id uuid, p_term_ids int[], p_passages int) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  insert into terms as t (tenant_id, term_id, df)
  select p_tenant_id, u.term_id, count(*)::int from unnest(p_term_ids) as u (term_id) group by u.term_id order by u.term_id
  on conflict (tenant_id, term_id) do update set df = t.df + excluded.df;
  insert into corpora as c (tenant_id, n) values (p_tenant_id, p_passages)
  on conflict (tenant_id) do update set n = c.n + excluded.n;
end
$$;

-- Counts terms down, and forgets those that no passage has any more.
create or replace function enablebot.inner_discount_terms(p_tenant_id uuid, p_term_ids int[], p_passages int) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_terms int[];
  v_counts int[];
begin
  select array_agg(g.term_id order by g.term_id), array_agg(g.n order by g.term_id) into v_terms, v_counts
  from (select u.term_id, count(*)::int as n from unnest(p_term_ids) as u (term_id) group by u.term_id) g;

  -- All of them in order before any is written: an update would take them as it finds them.
  perform from terms t
  where t.tenant_id = p_tenant_id and t.term_id = any (v_terms) order by t.term_id for update;
  delete from terms t using unnest(v_terms, v_counts) as u (term_id, n)
  where t.tenant_id = p_tenant_id and t.term_id = u.term_id and t.df <= u.n;
  update terms t set df = t.df - u.n from unnest(v_terms, v_counts) as u (term_id, n)
  where t.tenant_id = p_tenant_id and t.term_id = u.term_id;
  update corpora c set n = c.n - p_passages where c.tenant_id = p_tenant_id;
  delete from corpora c where c.tenant_id = p_tenant_id and c.n = 0;
end
$$;

-- All passages of a version, or with null of every version, with their vectors and counts. The caller has declared the
-- tenant and holds the document.
create or replace function enablebot.inner_drop_passages(p_tenant_id uuid, p_document_id uuid, p_version int) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_terms int[];
  v_passages int;
begin
  with dropped as (
    delete from passages p
    where p.tenant_id = p_tenant_id and p.document_id = p_document_id and p.version = coalesce(p_version, p.version)
    returning p.term_ids
  )
  select
    (select array_agg(u.term_id) from dropped d cross join unnest(d.term_ids) as u (term_id)),
    (select count(*) from dropped)
  into v_terms, v_passages;
  if v_passages > 0 then
    perform enablebot.inner_discount_terms(p_tenant_id, v_terms, v_passages);
  end if;
end
$$;

create or replace function enablebot.stage_passages(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_event_id bigint, p_claim_token uuid, p_positions int[],
  p_texts text[], p_headings text[], p_places text[], p_tokens int[], p_term_ids text[], p_weights text[]
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_terms int[];
  v_passages int;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  -- Holds the document, so that nobody deletes it, or this version of it, with passages coming in behind.
  if not enablebot.inner_hold_version(p_tenant_id, p_document_id, p_version, p_event_id, p_claim_token) then
    return jsonb_build_object('gone', true);
  end if;

  -- An earlier attempt may have stored these already, differently cut if it was another release's.
  with dropped as (
    delete from passages p
    where p.tenant_id = p_tenant_id and p.document_id = p_document_id and p.version = p_version
      and p.position = any (p_positions)
    returning p.term_ids
  )
  select
    (select array_agg(u.term_id) from dropped d cross join unnest(d.term_ids) as u (term_id)),
    (select count(*) from dropped)
  into v_terms, v_passages;
  if v_passages > 0 then
    perform enablebot.inner_discount_terms(p_tenant_id, v_terms, v_passages);
  end if;

  with stored as (
    insert into passages (
      tenant_id, document_id, version, position, text, heading, place, tokens, term_ids, weights)
    select
      p_tenant_id, p_document_id, p_version, s.position, s.text, s.heading::jsonb, s.place::jsonb, s.tokens,
      s.term_ids::int[], s.weights::extensions.sparsevec
    from unnest(p_positions, p_texts, p_headings, p_places, p_tokens, p_term_ids, p_weights)
      as s (position, text, heading, place, tokens, term_ids, weights)
    returning term_ids
  )
  select
    (select array_agg(u.term_id) from stored d cross join unnest(d.term_ids) as u (term_id)),
    (select count(*) from stored)
  into v_terms, v_passages;
  perform enablebot.inner_count_terms(p_tenant_id, v_terms, v_passages);
  return jsonb_build_object('gone', false);
end
$$;

create or replace function enablebot.read_passages(
  p_tenant_id uuid, p_document_id uuid, p_after_position int, p_limit int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return (
    select coalesce(jsonb_agg(to_jsonb(r) order by r.position), '[]')
    from (
      select p.position, p.text, p.heading, p.place, p.tokens
      from documents d
      join passages p on p.tenant_id = d.tenant_id and p.document_id = d.id and p.version = d.live_version
      where d.tenant_id = p_tenant_id and d.id = p_document_id and d.deleted_at is null
        and p.position > p_after_position
      order by p.position
      limit p_limit
    ) r
  );
end
$$;

create or replace function enablebot.list_passages_without_vectors(
  p_tenant_id uuid, p_model text, p_document_id uuid, p_version int, p_after bigint, p_limit int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return (
    select coalesce(jsonb_agg(to_jsonb(r) order by r.id), '[]')
    from (
      select p.id, p.document_id, p.version, d.title, p.heading, p.text
      from passages p
      join documents d on d.tenant_id = p.tenant_id and d.id = p.document_id
      where p.tenant_id = p_tenant_id and p.id > coalesce(p_after, 0) and d.deleted_at is null
        and p.document_id = coalesce(p_document_id, p.document_id)
        and p.version = case when p_document_id is null then d.live_version else p_version end
        and not exists (
          select from passage_vectors v where v.tenant_id = p.tenant_id and v.passage_id = p.id and v.model = p_model)
      order by p.id
      limit p_limit
    ) r
  );
end
$$;

create or replace function enablebot.add_vectors(p_tenant_id uuid, p_model text, p_passage_ids bigint[], p_vectors text[])
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_there bigint[];
  v_added int;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  -- Held, so that what is deleted meanwhile takes its vector along.
  v_there := array(
    select p.id from passages p
    where p.tenant_id = p_tenant_id and p.id = any (p_passage_ids) order by p.id for key share);
  insert into passage_vectors as v (tenant_id, passage_id, model, vector)
  select p_tenant_id, s.id, p_model, extensions.l2_normalize(s.vector::extensions.halfvec)
  from unnest(p_passage_ids, p_vectors) as s (id, vector)
  where s.id = any (v_there)
  order by s.id
  on conflict (tenant_id, passage_id) do update set model = excluded.model, vector = excluded.vector;
  get diagnostics v_added = row_count;
  return jsonb_build_object('added', v_added);
end
$$;

revoke all on function
  enablebot.inner_count_terms, enablebot.inner_discount_terms, enablebot.inner_drop_passages, enablebot.stage_passages,
  enablebot.read_passages, enablebot.list_passages_without_vectors, enablebot.add_vectors from public;
grant execute on function enablebot.inner_drop_passages to enablebot_router;
grant execute on function
  enablebot.stage_passages, enablebot.read_passages, enablebot.list_passages_without_vectors,
  enablebot.add_vectors to enablebot_api;
grant execute on function enablebot.read_passages to enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.stage_passages, enablebot.read_passages, enablebot.list_passages_without_vectors,
      enablebot.add_vectors to service_role;
  end if;
end
$$;

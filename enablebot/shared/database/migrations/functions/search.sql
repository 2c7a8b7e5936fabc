-- The search: which passages fit a question best.
--
-- Ranking is the searcher's, see 006: it is given numbers, filters by tenant in each query, and returns numbers. Who may
-- see what, and every text, is read by the owner, behind the wall.

set local role enablebot_searcher;

-- Passages that have one of the given terms, by the inner product of their weights with the question's: BM25. The
-- tenant is compared in a way no index has, and all other ways are switched off: what remains is the index by term.
create or replace function enablebot.inner_rank_words(
  p_tenant_id uuid, p_rarest int[], p_question extensions.sparsevec, p_limit int
) returns table (passage_id bigint, document_id uuid, version int, score double precision)
language plpgsql stable security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select p.id, p.document_id, p.version, -(p.weights operator(extensions.<#>) p_question)
    from passages p
    where p.term_ids && p_rarest and p.tenant_id is not distinct from p_tenant_id
    order by 4 desc, 1
    limit p_limit;
end
$$;

-- Passages nearest to a question's vector, each of the workspace's compared. Vectors of another model, or of another
-- length under the same name, are passed over.
create or replace function enablebot.inner_rank_meaning(
  p_tenant_id uuid, p_model text, p_question extensions.halfvec, p_limit int
) returns table (passage_id bigint, document_id uuid, version int, score double precision)
language plpgsql stable security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select n.passage_id, p.document_id, p.version, n.score
    from (
      select v.passage_id, -(v.vector operator(extensions.<#>) p_question) as score
      from passage_vectors v
      where v.tenant_id = p_tenant_id and v.model = p_model
        and extensions.vector_dims(v.vector) = extensions.vector_dims(p_question)
      order by 2 desc, 1
      limit p_limit
    ) n
    join passages p on p.tenant_id = p_tenant_id and p.id = n.passage_id;
end
$$;

-- Discovery for re-embedding: whose passages, and how many at least. Reads numbers of everybody's, no text.
create or replace function enablebot.count_passages_without_vectors(p_model text, p_limit int) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(r) order by r.tenant_id), '[]')
    from (
      select c.tenant_id, m.passages
      from corpora c
      cross join lateral (
        select count(*)::int as passages
        from (
          select from passages p
          join documents d on d.tenant_id = p.tenant_id and d.id = p.document_id and d.live_version = p.version
          where p.tenant_id = c.tenant_id and d.deleted_at is null
            and not exists (
              select from passage_vectors v
              where v.tenant_id = p.tenant_id and v.passage_id = p.id and v.model = p_model)
          limit 10000
        ) missing
      ) m
      where c.n > 0 and m.passages > 0
      limit p_limit
    ) r
  );
end
$$;

revoke all on function
  enablebot.inner_rank_words, enablebot.inner_rank_meaning, enablebot.count_passages_without_vectors from public;
grant execute on function enablebot.inner_rank_words, enablebot.inner_rank_meaning to enablebot_owner;
-- The web, too: `doctor` looks with its rights.
grant execute on function enablebot.count_passages_without_vectors to enablebot_api, enablebot_web;

reset role;
set local role enablebot_owner;

-- A question's terms, each weighing as often as it is asked and as much as it is rare here, and the rarest of them, whose
-- passages are ranked: one after the other until these are enough. Of common terms there are many passages and little
-- to be learned; they count where a rarer one led. Of 5,000 passages a thousand are enough to find the ten best that all
-- terms would find, of 65,000 it takes three thousand for 99.6 of a hundred of them (measured, SciFact's questions).
create or replace function enablebot.inner_weigh_question(
  p_tenant_id uuid, p_term_ids int[], p_counts double precision[], p_is_capped boolean,
  out o_question extensions.sparsevec, out o_rarest int[], out o_is_all boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_n int;
  v_enough int;
begin
  select c.n into v_n from corpora c where c.tenant_id = p_tenant_id;
  v_enough := greatest(1000, least(3000, v_n / 20));
  select
    ('{' || string_agg(r.term_id || ':' || r.weight, ',' order by r.term_id) || '}/1000000000')::extensions.sparsevec,
    array_agg(r.term_id order by r.df, r.term_id) filter (where r.is_taken),
    bool_and(r.is_taken)
  into o_question, o_rarest, o_is_all
  from (
    select
      t.term_id, t.df, (q.times * ln(1 + (v_n - t.df + 0.5) / (t.df + 0.5)))::real as weight,
      not p_is_capped or coalesce(
        sum(t.df) over (order by t.df, t.term_id rows between unbounded preceding and 1 preceding), 0) < v_enough
        as is_taken
    from unnest(p_term_ids, p_counts) as q (term_id, times)
    -- Looked up one by one: a join might be planned as reading all of the workspace's terms.
    cross join lateral (
      select t.term_id, t.df from terms t where t.tenant_id = p_tenant_id and t.term_id = q.term_id limit 1
    ) t
  ) r;
end
$$;

-- A document is seen by everybody, or by the channels it is bound to, or in the one conversation it was given for; and
-- only in its live version. Ranking does not know that, so it ranks more than is wanted, and if too little of it may be
-- seen, it ranks as much as there is.
create or replace function enablebot.search_passages(
  p_tenant_id uuid, p_channel text, p_lane text, p_term_ids int[], p_counts double precision[], p_limit int,
  p_model text, p_vector text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  -- Of each list, so many are compared by the other measure, too.
  v_compared constant int := 100;
  v_vector constant extensions.halfvec := extensions.l2_normalize(p_vector::extensions.halfvec);
  v_is_capped boolean := true;
  v_take int := 300;
  v_asked record;
  v_found jsonb;
  v_unembedded int;
  v_ranked int;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  loop
    select w.* into v_asked from enablebot.inner_weigh_question(p_tenant_id, p_term_ids, p_counts, v_is_capped) w;

    with words as materialized (
      select r.* from enablebot.inner_rank_words(p_tenant_id, v_asked.o_rarest, v_asked.o_question, v_take) r
      where v_asked.o_rarest is not null
    ),
    meaning as materialized (
      select r.* from enablebot.inner_rank_meaning(p_tenant_id, p_model, v_vector, v_take) r where v_vector is not null
    ),
    visible as materialized (
      select d.id, d.live_version, d.name, d.title
      from documents d
      where d.tenant_id = p_tenant_id and d.deleted_at is null and (d.lane is null or d.lane = p_lane)
        and d.id = any (array(select w.document_id from words w union select m.document_id from meaning m))
        and (
          not exists (select from document_channels c where c.tenant_id = p_tenant_id and c.document_id = d.id)
          or exists (
            select from document_channels c
            where c.tenant_id = p_tenant_id and c.document_id = d.id and c.channel = p_channel))
    ),
    best_words as (
      select w.passage_id, w.score from words w join visible d on d.id = w.document_id and d.live_version = w.version
      order by w.score desc, w.passage_id limit v_compared
    ),
    best_meaning as (
      select m.passage_id, m.score from meaning m join visible d on d.id = m.document_id and d.live_version = m.version
      order by m.score desc, m.passage_id limit v_compared
    ),
    compared as (
      select
        p.id, p.document_id, p.version,
        coalesce(w.score, -(p.weights operator(extensions.<#>) v_asked.o_question), 0) as words,
        case when v_vector is not null then
          coalesce(m.score, (
            select -(v.vector operator(extensions.<#>) v_vector) from passage_vectors v
            where v.tenant_id = p_tenant_id and v.passage_id = p.id and v.model = p_model
              and extensions.vector_dims(v.vector) = extensions.vector_dims(v_vector)))
        end as meaning
      from (select b.passage_id from best_words b union select b.passage_id from best_meaning b) u
      join passages p on p.tenant_id = p_tenant_id and p.id = u.passage_id
      left join best_words w on w.passage_id = p.id
      left join best_meaning m on m.passage_id = p.id
    ),
    -- What the words are worth: their full half where the best passage leaves the others behind, as the one with an exact
    -- identifier does; less where six say nearly the same, as with chance words of a question that was put otherwise.
    worth as (
      select 0.5 * greatest(0.2, least(1, coalesce((b.best - b.sixth) / nullif(b.best, 0), 0) / 0.6)) as words
      from (
        select max(w.score) as best,
          coalesce((select s.score from best_words s order by s.score desc offset 5 limit 1), 0) as sixth
        from best_words w
      ) b
    ),
    -- Each measure stretched from 0, the least of what is compared, to 1, the best of it.
    fused as (
      select c.*,
        case when v_vector is null then c.words else
          o.words
            * coalesce((c.words - min(c.words) over ()) / nullif(max(c.words) over () - min(c.words) over (), 0), 0)
          + (1 - o.words)
            * coalesce((c.meaning - min(c.meaning) over ()) / nullif(max(c.meaning) over () - min(c.meaning) over (), 0), 0)
        end as score
      from compared c cross join worth o
    ),
    best as (select f.* from fused f order by f.score desc, f.id limit p_limit)
    select
      coalesce(jsonb_agg(jsonb_build_object(
        'document_id', b.document_id, 'version', b.version, 'position', p.position, 'name', d.name, 'title', d.title,
        'text', p.text, 'heading', p.heading, 'place', p.place, 'score', b.score,
        'words', b.words, 'meaning', b.meaning) order by b.score desc, b.id), '[]'),
      (select count(*) filter (where c.meaning is null) from compared c),
      (select count(*) from words)
    into v_found, v_unembedded, v_ranked
    from best b
    join visible d on d.id = b.document_id
    join passages p on p.tenant_id = p_tenant_id and p.id = b.id;

    exit when not v_is_capped or jsonb_array_length(v_found) >= p_limit or (v_ranked < v_take and v_asked.o_is_all);
    v_is_capped := false;
    v_take := 20000;
  end loop;
  return jsonb_build_object(
    'found', v_found, 'unembedded', case when v_vector is not null then v_unembedded else 0 end);
end
$$;

revoke all on function enablebot.inner_weigh_question, enablebot.search_passages from public;
grant execute on function enablebot.search_passages to enablebot_api, enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.search_passages, enablebot.count_passages_without_vectors to service_role;
  end if;
end
$$;

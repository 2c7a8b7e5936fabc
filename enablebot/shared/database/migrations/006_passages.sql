-- Passages of documents and the indexes that find them.

-- pgvector, in the schema where Supabase has it. Our functions' search paths stay closed: they name it by this schema.
do $$
declare
  v_schema name;
  v_version text;
begin
  select n.nspname, e.extversion into v_schema, v_version
  from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector';
  if v_schema is null then
    begin
      create schema if not exists extensions;
      create extension vector with schema extensions;
    exception when insufficient_privilege then
      raise exception 'this database has no pgvector, and this login may not create it'
        using errcode = 'object_not_in_prerequisite_state',
              hint = format(
                'As a superuser, in this database: create schema if not exists extensions authorization %I; '
                'create extension vector schema extensions;', current_user);
    end;
    select e.extversion into v_version from pg_extension e where e.extname = 'vector';
  elsif v_schema <> 'extensions' then
    raise exception 'pgvector is in the schema %, and EnableBot looks for it in the schema extensions', v_schema
      using errcode = 'object_not_in_prerequisite_state',
            hint = 'create schema if not exists extensions; alter extension vector set schema extensions;';
  end if;
  -- The types that passages need came with this version.
  if string_to_array(substring(v_version from '^[0-9.]+'), '.')::int[] < array[0, 7] then
    raise exception 'pgvector is at version %, and EnableBot needs 0.7 or newer', v_version
      using errcode = 'object_not_in_prerequisite_state',
            hint = 'Install a newer pgvector on the server, then: alter extension vector update;';
  end if;
end
$$;

-- Ranks passages: a role of its own, as the router is, because what it is for needs policies of its own. See below.
do $$
declare
  v_attempt int;
begin
  for v_attempt in 1..20 loop
    begin
      if to_regrole('enablebot_searcher') is null then
        create role enablebot_searcher nologin;
      end if;
      if not pg_has_role(current_user, 'enablebot_searcher', 'usage') then
        grant enablebot_searcher to current_user;
      end if;
      exit;
    exception
      -- As in 001: another database's migration may do the same at this moment.
      when duplicate_object or unique_violation or internal_error then
        if v_attempt = 20 then
          raise;
        end if;
        perform pg_sleep(0.05);
    end;
  end loop;
end
$$;

do $$
begin
  grant usage on schema extensions to enablebot_owner, enablebot_searcher;
  if not has_schema_privilege('enablebot_owner', 'extensions', 'usage')
    or not has_schema_privilege('enablebot_searcher', 'extensions', 'usage') then
    raise exception 'EnableBot may not use the schema extensions, where pgvector is'
      using errcode = 'insufficient_privilege',
            hint = 'As its owner: grant usage on schema extensions to enablebot_owner, enablebot_searcher;';
  end if;
end
$$;

alter default privileges for role enablebot_searcher revoke execute on functions from public;

set local role enablebot_owner;

grant usage on schema enablebot to enablebot_searcher;
grant create on schema enablebot to enablebot_searcher;

create table enablebot.passages (
  tenant_id uuid not null,
  id bigint generated always as identity,
  document_id uuid not null,
  version int not null,
  position int not null check (position >= 0),
  text text not null,
  heading jsonb not null check (jsonb_typeof(heading) = 'array'),
  place jsonb not null check (jsonb_typeof(place) = 'object'),
  tokens int not null,
  term_ids int[] not null,
  weights extensions.sparsevec(1000000000) not null,
  primary key (tenant_id, id),
  -- A batch that is staged twice is stored once; and a document's passages lie together here.
  unique (tenant_id, document_id, version, position),
  foreign key (tenant_id, document_id) references enablebot.documents (tenant_id, id)
);
-- What ranking reads stays in the row; the text, which it does not read, moves out when the row is too long.
alter table enablebot.passages
  alter column term_ids set storage main, alter column weights set storage main;
-- A term's number differs from workspace to workspace, so a list in this index is one workspace's: how long it takes to
-- read tells nothing about others, and costs nothing for them. Without a list of pending entries, which everybody's
-- search would have to read.
create index passages_by_term on enablebot.passages using gin (term_ids) with (fastupdate = off);
comment on table enablebot.passages is 'What documents are found by: their text in pieces, each with its terms';
comment on column enablebot.passages.tenant_id is 'tenant [technical]';
comment on column enablebot.passages.id is 'passage [technical]';
comment on column enablebot.passages.document_id is 'document [technical]';
comment on column enablebot.passages.version is 'version of the document [technical]';
comment on column enablebot.passages.position is 'place in the document''s order, from 0 [technical]';
comment on column enablebot.passages.text is 'its text, in the clear: erased by deletion [personal]';
comment on column enablebot.passages.heading is 'headings above it, outermost first [personal]';
comment on column enablebot.passages.place is 'page, slide, sheet, rows or line [technical]';
comment on column enablebot.passages.tokens is 'length as a model counts it, roughly [technical]';
comment on column enablebot.passages.term_ids is 'numbers of its terms, keyed by workspace [personal]';
comment on column enablebot.passages.weights is 'BM25 of each term but for its rarity [personal]';

create table enablebot.passage_vectors (
  tenant_id uuid not null,
  passage_id bigint not null,
  model text collate "C" not null check (length(model) between 1 and 200),
  vector extensions.halfvec not null,
  -- One vector a passage: a new model's takes the place of the old one's, and the two are never compared.
  primary key (tenant_id, passage_id),
  foreign key (tenant_id, passage_id) references enablebot.passages (tenant_id, id) on delete cascade
);
-- Read whole by every search with vectors, so it must not lie elsewhere; up to 4,000 dimensions fit.
alter table enablebot.passage_vectors alter column vector set storage main;
-- No index over the vectors: one that is shared by workspaces looks among everybody's neighbours first and keeps what is
-- the caller's, which was measured to find a quarter of it, and tells how much of it is there. One workspace's are compared
-- one by one.
comment on table enablebot.passage_vectors is 'What a passage means, as an embedding model sees it';
comment on column enablebot.passage_vectors.tenant_id is 'tenant [technical]';
comment on column enablebot.passage_vectors.passage_id is 'passage [technical]';
comment on column enablebot.passage_vectors.model is 'which model, and how many dimensions [technical]';
comment on column enablebot.passage_vectors.vector is 'the vector, of length one [personal]';

create table enablebot.terms (
  tenant_id uuid not null,
  term_id int not null,
  df int not null check (df > 0),
  primary key (tenant_id, term_id)
-- Counted up and down with every passage: room for that in the page, so that the index need not be touched.
) with (fillfactor = 70);
comment on table enablebot.terms is 'In how many of a workspace''s passages a term is: what makes it rare';
comment on column enablebot.terms.tenant_id is 'tenant [technical]';
comment on column enablebot.terms.term_id is 'number of the term, keyed by workspace [technical]';
comment on column enablebot.terms.df is 'passages that have it, staged ones too [technical]';

create table enablebot.corpora (
  tenant_id uuid primary key references enablebot.tenants (id),
  n int not null check (n >= 0)
) with (fillfactor = 50);
comment on table enablebot.corpora is 'How many passages a workspace has';
comment on column enablebot.corpora.tenant_id is 'tenant [technical]';
comment on column enablebot.corpora.n is 'passages, staged ones too [technical]';

-- The wall, as 002 raises it.
do $$
declare
  v_table name;
  v_wall constant text := 'tenant_id = any ((select enablebot.tenants())::uuid[])';
begin
  foreach v_table in array array['passages', 'passage_vectors', 'terms', 'corpora'] loop
    execute format('alter table enablebot.%I enable row level security, force row level security', v_table);
    execute format('revoke truncate, trigger on enablebot.%I from enablebot_owner', v_table);
    execute format('create policy tenant_select on enablebot.%I for select to enablebot_owner using (%s)', v_table, v_wall);
    execute format(
      'create policy tenant_insert on enablebot.%I for insert to enablebot_owner with check (%s)', v_table, v_wall);
    execute format(
      'create policy tenant_update on enablebot.%I for update to enablebot_owner using (%s) with check (%2$s)', v_table, v_wall);
    execute format('create policy tenant_delete on enablebot.%I for delete to enablebot_owner using (%s)', v_table, v_wall);
  end loop;
end
$$;

-- The searcher's policies are bound to no tenant, and its functions filter by tenant themselves, each query of theirs.
-- Under a policy that is, Postgres evaluates only operators that cannot leak before it, and `&&` is not one of them: the
-- index would silently not be used, and a search of 100,000 passages takes five times as long (measured). So the searcher
-- sees numbers only, of terms, weights and vectors, and returns numbers; texts and names are read by the owner, behind
-- the wall, from what it ranked. A function of its that forgot its filter would find too little, never another's text.
grant select (tenant_id, id, document_id, version, term_ids, weights) on enablebot.passages to enablebot_searcher;
create policy searcher_select on enablebot.passages for select to enablebot_searcher using (true);
grant select on enablebot.passage_vectors to enablebot_searcher;
create policy searcher_select on enablebot.passage_vectors for select to enablebot_searcher using (true);
grant select on enablebot.terms to enablebot_searcher;
create policy searcher_select on enablebot.terms for select to enablebot_searcher using (true);
grant select on enablebot.corpora to enablebot_searcher;
create policy searcher_select on enablebot.corpora for select to enablebot_searcher using (true);
-- Which versions are live: what waits to be embedded is looked for among everybody's.
grant select (tenant_id, id, live_version, deleted_at) on enablebot.documents to enablebot_searcher;
create policy searcher_select on enablebot.documents for select to enablebot_searcher using (true);

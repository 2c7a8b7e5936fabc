-- Documents come in: begun, filled piece by piece, queued. document_lists.sql has how they are shown, document_reading.sql
-- what ingest does with them, document_endings.sql how they are deleted, restored, bound and read anew.
--
-- Locks are taken in this order: the workspace's turn to add (an advisory lock), the document's lane, its events in the
-- inbox, the document's row, and its versions, pieces and passages under that one; the audit's head comes last.

set local role enablebot_owner;

-- The version of a document in this scope that holds these bytes and is what people last wanted of it; or that is being
-- filled with them at this moment, as its newest.
create or replace function enablebot.inner_find_bytes(
  p_tenant_id uuid, p_lane text, p_content_hash bytea, p_document_id uuid, out o_document_id uuid, out o_version int,
  out o_status text
)
language plpgsql stable security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  select d.id, v.version, v.status into o_document_id, o_version, o_status
  from document_versions v
  join documents d on d.tenant_id = v.tenant_id and d.id = v.document_id
  where v.tenant_id = p_tenant_id and v.content_hash = p_content_hash
    and (p_document_id is null or v.document_id = p_document_id)
    and d.deleted_at is null and d.lane is not distinct from p_lane
    and case
      when v.status = 'uploading' then v.version = d.begun_versions
      when v.status in ('queued', 'processing', 'ready') then v.version = coalesce(
        (select l.version from document_versions l
         where l.tenant_id = d.tenant_id and l.document_id = d.id and l.version = d.latest_version
           and l.status <> 'failed'),
        d.live_version)
      else false
    end
  order by d.created_at, d.id
  limit 1;
end
$$;

create or replace function enablebot.begin_document(
  p_tenant_id uuid, p_id uuid, p_name text, p_title text, p_format text, p_size_bytes int, p_content_hash bytea,
  p_source text, p_added_by text, p_channels text[], p_lane text, p_most_documents int, p_most_bytes bigint
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_document uuid;
  v_version int;
  v_status text;
  v_latest int;
  v_documents bigint;
  v_bytes bigint;
  v_channels constant text[] := array(select distinct c from unnest(p_channels) c where p_lane is null);
begin
  perform enablebot.work_for(array[p_tenant_id]);
  -- One after the other in a workspace, so that neither of two misses the other's name, bytes or share of the quota.
  perform pg_advisory_xact_lock(hashtextextended(p_tenant_id::text, 2));

  for v_attempt in 1..5 loop
    select f.o_document_id into v_document
    from enablebot.inner_find_bytes(p_tenant_id, p_lane, p_content_hash, null) f;
    exit when v_document is null;
    -- What ingest or a deletion does to it meanwhile is waited for, and looked at anew.
    select d.latest_version into v_latest
    from documents d where d.tenant_id = p_tenant_id and d.id = v_document for no key update;
    select f.o_version, f.o_status into v_version, v_status
    from enablebot.inner_find_bytes(p_tenant_id, p_lane, p_content_hash, v_document) f;
    continue when v_version is null;
    if v_status <> 'uploading' then
      return jsonb_build_object('outcome', 'same', 'id', v_document, 'version', v_version);
    end if;
    -- A twin is bringing the same bytes, or died of it: whoever has all pieces there first queues them.
    update document_versions v set due_at = clock_timestamp() + interval '1 hour'
    where v.tenant_id = p_tenant_id and v.document_id = v_document and v.version = v_version;
    return jsonb_build_object(
      'outcome', case when v_latest is null then 'new' else 'replaces' end, 'id', v_document, 'version', v_version);
  end loop;

  select d.id, d.latest_version into v_document, v_latest
  from documents d
  where d.tenant_id = p_tenant_id and coalesce(d.lane, '') = coalesce(p_lane, '') and d.name = p_name
    and d.deleted_at is null
  for no key update;

  select count(*) into v_documents from documents d where d.tenant_id = p_tenant_id;
  -- What is about to be replaced makes room.
  select coalesce(sum(v.size_bytes), 0) into v_bytes
  from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id is distinct from v_document;
  if v_bytes + p_size_bytes > p_most_bytes then
    -- Bytes that several versions read count once, which takes eight times as long to find out.
    select coalesce(sum(o.size_bytes), 0) into v_bytes
    from (
      select max(v.size_bytes) as size_bytes from document_versions v
      where v.tenant_id = p_tenant_id and v.document_id is distinct from v_document
      group by v.document_id, v.original
    ) o;
  end if;
  if v_bytes + p_size_bytes > p_most_bytes or (v_document is null and v_documents >= p_most_documents) then
    return jsonb_build_object(
      'outcome', 'over_quota', 'id', null, 'version', null, 'documents', v_documents, 'bytes', v_bytes);
  end if;

  if v_document is null then
    v_document := p_id;
    v_version := 1;
    insert into documents (tenant_id, id, name, title, has_given_title, lane, begun_versions)
    values (p_tenant_id, p_id, p_name, coalesce(p_title, p_name), p_title is not null, p_lane, 1);
    insert into document_channels (tenant_id, document_id, channel)
    select p_tenant_id, p_id, c from unnest(v_channels) c;
  else
    update documents d set begun_versions = d.begun_versions + 1
    where d.tenant_id = p_tenant_id and d.id = v_document
    returning d.begun_versions into v_version;
  end if;
  insert into document_versions (
    tenant_id, document_id, version, original, status, format, size_bytes, content_hash, title, channels, source,
    added_by, due_at)
  values (
    p_tenant_id, v_document, v_version, v_version, 'uploading', p_format, p_size_bytes, p_content_hash, p_title,
    nullif(v_channels, '{}'), p_source, p_added_by, clock_timestamp() + interval '1 hour');
  return jsonb_build_object(
    'outcome', case when v_latest is null then 'new' else 'replaces' end, 'id', v_document, 'version', v_version);
end
$$;

-- Base64, because the Data API would carry bytes as hexadecimal: 1.4 MB a piece instead of 2.1.
create or replace function enablebot.add_document_piece(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_piece int, p_sealed text, p_data_key_id uuid
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  -- Whoever erases it waits, and finds this piece too.
  perform from documents d where d.tenant_id = p_tenant_id and d.id = p_document_id for share;
  update document_versions v set due_at = clock_timestamp() + interval '1 hour'
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
    and v.status = 'uploading';
  if not found then
    -- A twin that was faster needs nothing any more.
    return jsonb_build_object('gone', not exists (
      select from document_versions v
      where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
        and v.status <> 'dropped'));
  end if;
  insert into document_pieces as p (tenant_id, document_id, original, piece, sealed, data_key_id)
  values (p_tenant_id, p_document_id, p_version, p_piece, decode(p_sealed, 'base64'), p_data_key_id)
  -- Bytes in hand are better than the word that they lie elsewhere: whoever gave it may never have put them there.
  on conflict (tenant_id, document_id, original, piece) do update
    set sealed = excluded.sealed, data_key_id = excluded.data_key_id
    where p.sealed is null and excluded.sealed is not null;
  return jsonb_build_object('gone', false);
end
$$;

create or replace function enablebot.read_document_piece(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_piece int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return (
    select jsonb_build_object(
      'original', p.original, 'pieces', ceil(v.size_bytes / 1048576.0)::int,
      'sealed', replace(encode(p.sealed, 'base64'), E'\n', ''), 'data_key_id', p.data_key_id)
    from document_versions v
    join documents d on d.tenant_id = v.tenant_id and d.id = v.document_id
    join document_pieces p
      on p.tenant_id = v.tenant_id and p.document_id = v.document_id and p.original = v.original and p.piece = p_piece
    where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
      and v.status <> 'dropped' and d.deleted_at is null
  );
end
$$;

-- Steps into the lane of a document, which is locked until commit; returns how many events live there now.
create or replace function enablebot.inner_enter_document_lane(p_tenant_id uuid, p_document_id uuid) returns int
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_live int;
begin
  insert into lanes as l (tenant_id, lane, live) values (p_tenant_id, 'document:' || p_document_id, 1)
  on conflict (tenant_id, lane) do update set live = l.live + 1, last_at = now()
  returning l.live into v_live;
  return v_live;
end
$$;

create or replace function enablebot.inner_leave_document_lane(p_tenant_id uuid, p_document_id uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  update lanes l set live = l.live - 1 where l.tenant_id = p_tenant_id and l.lane = 'document:' || p_document_id;
  -- Nobody's conversation: it is there while events are.
  delete from lanes l where l.tenant_id = p_tenant_id and l.lane = 'document:' || p_document_id and l.live = 0;
end
$$;

-- Puts a version into the lane that the caller has entered; the caller holds the document.
create or replace function enablebot.inner_queue_version(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_live int
) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_event bigint;
begin
  insert into inbox (tenant_id, event_key, lane, kind, state)
  values (
    p_tenant_id, 'document:' || p_document_id || ':' || p_version, 'document:' || p_document_id, 'document',
    case p_live when 1 then 'ready' else 'queued' end)
  returning id into v_event;
  -- What was pruned from the inbox meanwhile need not be remembered.
  update documents d
  set latest_version = p_version, event_ids = v_event || array(
        select i.id from inbox i where i.tenant_id = p_tenant_id and i.id = any (d.event_ids)),
      due_at = case when d.lane is not null then clock_timestamp() + interval '30 days' end
  where d.tenant_id = p_tenant_id and d.id = p_document_id;
  update document_versions v set status = 'queued', reason = null, progress = 0, due_at = null
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
end
$$;

-- Everything of one version goes, unless another still reads its bytes; the caller holds the document. What lies outside
-- the database has to be removed first, so that long its row remembers it.
create or replace function enablebot.inner_drop_version(p_tenant_id uuid, p_document_id uuid, p_version int) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_original int;
begin
  perform enablebot.inner_drop_passages(p_tenant_id, p_document_id, p_version);
  select v.original into v_original
  from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
  if not exists (
    select from document_versions v
    where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.original = v_original
      and v.version <> p_version)
  then
    delete from document_pieces p
    where p.tenant_id = p_tenant_id and p.document_id = p_document_id and p.original = v_original
      and p.sealed is not null;
    if exists (
      select from document_pieces p
      where p.tenant_id = p_tenant_id and p.document_id = p_document_id and p.original = v_original)
    then
      update document_versions v
      set status = 'dropped', reason = null, due_at = clock_timestamp(), title = null, channels = null
      where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
      return;
    end if;
  end if;
  delete from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
end
$$;

-- Versions that a newer one makes useless: all that came before it, unless they are live or still being filled.
create or replace function enablebot.inner_drop_older(p_tenant_id uuid, p_document_id uuid, p_version int, p_live int)
returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_older int;
begin
  for v_older in
    select v.version from document_versions v
    where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version < p_version
      and v.version is distinct from p_live and v.status not in ('uploading', 'dropped')
    order by v.version
  loop
    perform enablebot.inner_drop_version(p_tenant_id, p_document_id, v_older);
  end loop;
end
$$;

create or replace function enablebot.queue_document(p_tenant_id uuid, p_document_id uuid, p_version int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_live_events int;
  v_latest int;
  v_live int;
  v_status text;
  v_size int;
  v_added_by text;
  v_pieces bigint;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  v_live_events := enablebot.inner_enter_document_lane(p_tenant_id, p_document_id);
  select d.latest_version, d.live_version into v_latest, v_live
  from documents d
  where d.tenant_id = p_tenant_id and d.id = p_document_id and d.deleted_at is null
  for no key update;
  if found then
    select v.status, v.size_bytes, v.added_by into v_status, v_size, v_added_by
    from document_versions v
    where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
      and v.status <> 'dropped';
  end if;

  if v_status is distinct from 'uploading' or v_latest > p_version then
    if v_status = 'uploading' then
      perform enablebot.inner_drop_version(p_tenant_id, p_document_id, p_version);
    end if;
    perform enablebot.inner_leave_document_lane(p_tenant_id, p_document_id);
    return jsonb_build_object(
      'gone', v_status is null and not coalesce(v_latest > p_version, false), 'queued', false, 'version', p_version,
      'superseded', coalesce(v_latest > p_version, false));
  end if;

  select count(*) into v_pieces
  from document_pieces p
  where p.tenant_id = p_tenant_id and p.document_id = p_document_id and p.original = p_version
    and p.piece < ceil(v_size / 1048576.0);
  if v_pieces < ceil(v_size / 1048576.0) then
    raise exception 'pieces of the document are missing' using errcode = 'check_violation';
  end if;
  perform enablebot.inner_drop_older(p_tenant_id, p_document_id, p_version, v_live);
  perform enablebot.inner_queue_version(p_tenant_id, p_document_id, p_version, v_live_events);
  perform enablebot.inner_append_audit(p_tenant_id, v_added_by, 'document.add', p_document_id::text, 'ok', null);
  return jsonb_build_object('gone', false, 'queued', true, 'version', p_version, 'superseded', false);
end
$$;

revoke all on function
  enablebot.inner_find_bytes, enablebot.begin_document, enablebot.add_document_piece, enablebot.read_document_piece,
  enablebot.inner_enter_document_lane, enablebot.inner_leave_document_lane, enablebot.inner_queue_version,
  enablebot.inner_drop_version, enablebot.inner_drop_older, enablebot.queue_document from public;
grant execute on function
  enablebot.begin_document, enablebot.add_document_piece, enablebot.read_document_piece, enablebot.queue_document
  to enablebot_api, enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.begin_document, enablebot.add_document_piece, enablebot.read_document_piece, enablebot.queue_document
      to service_role;
  end if;
end
$$;

-- Documents deleted, restored, bound to channels, read anew, and erased once they are due. The order of locks is told in
-- documents.sql.

set local role enablebot_owner;

-- Whether an event in the inbox will still lead to this document; a claimed one may be past the point where it looks.
create or replace function enablebot.inner_is_awaited(p_tenant_id uuid, p_event_ids bigint[], p_states text[])
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  return exists (
    select from inbox i where i.tenant_id = p_tenant_id and i.id = any (p_event_ids) and i.state = any (p_states));
end
$$;

-- Leaves nothing of a document but the row of what lies outside the database, without its name, until that is removed;
-- returns the originals there. Null when there is no such document, or it is not due yet and has to be.
create or replace function enablebot.inner_erase_document(p_tenant_id uuid, p_id uuid, p_must_be_due boolean)
returns int[]
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_events bigint[];
  v_left int[];
begin
  -- Nobody queues anything while the lane is held. Its events in key order, as settling takes them.
  perform enablebot.inner_enter_document_lane(p_tenant_id, p_id);
  select d.event_ids into v_events from documents d where d.tenant_id = p_tenant_id and d.id = p_id;
  perform from inbox i where i.tenant_id = p_tenant_id and i.id = any (v_events) order by i.id for update;
  perform from documents d
  where d.tenant_id = p_tenant_id and d.id = p_id and (not p_must_be_due or d.due_at <= clock_timestamp())
  for update;
  if not found then
    perform enablebot.inner_leave_document_lane(p_tenant_id, p_id);
    return null;
  end if;

  -- A claim under way goes too: whoever holds it is told that the document is gone.
  delete from inbox i where i.tenant_id = p_tenant_id and i.id = any (v_events);
  delete from lanes l where l.tenant_id = p_tenant_id and l.lane = 'document:' || p_id;
  perform enablebot.inner_drop_passages(p_tenant_id, p_id, null);
  delete from document_versions v where v.tenant_id = p_tenant_id and v.document_id = p_id;
  delete from document_channels c where c.tenant_id = p_tenant_id and c.document_id = p_id;
  delete from document_pieces p where p.tenant_id = p_tenant_id and p.document_id = p_id and p.sealed is not null;
  v_left := array(
    select distinct p.original from document_pieces p
    where p.tenant_id = p_tenant_id and p.document_id = p_id order by p.original);
  if v_left = '{}' then
    delete from documents d where d.tenant_id = p_tenant_id and d.id = p_id;
  else
    update documents d
    set name = 'erased', title = 'erased', live_version = null, latest_version = null, event_ids = '{}',
        deleted_at = coalesce(d.deleted_at, clock_timestamp()), due_at = clock_timestamp()
    where d.tenant_id = p_tenant_id and d.id = p_id;
  end if;
  return v_left;
end
$$;

create or replace function enablebot.delete_document(p_tenant_id uuid, p_id uuid, p_undo_seconds int, p_actor text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_deleted_at timestamptz;
  v_left int[] := '{}';
begin
  perform enablebot.work_for(array[p_tenant_id]);
  if p_undo_seconds > 0 then
    select d.deleted_at into v_deleted_at
    from documents d
    where d.tenant_id = p_tenant_id and d.id = p_id and d.latest_version is not null
    for no key update;
    if not found then
      return jsonb_build_object('deleted', false, 'erased', false);
    end if;
    if v_deleted_at is not null then
      return jsonb_build_object('deleted', true, 'erased', false);
    end if;
    update documents d
    set deleted_at = clock_timestamp(),
        due_at = least(d.due_at, clock_timestamp() + make_interval(secs => p_undo_seconds))
    where d.tenant_id = p_tenant_id and d.id = p_id;
  else
    perform from documents d where d.tenant_id = p_tenant_id and d.id = p_id and d.latest_version is not null;
    if found then
      v_left := enablebot.inner_erase_document(p_tenant_id, p_id, false);
    end if;
    if not found or v_left is null then
      return jsonb_build_object('deleted', false, 'erased', false);
    end if;
  end if;
  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'document.delete', p_id::text, 'ok', null);
  return jsonb_build_object(
    'deleted', true, 'erased', p_undo_seconds <= 0 and v_left = '{}', 'originals', to_jsonb(v_left));
end
$$;

create or replace function enablebot.restore_document(p_tenant_id uuid, p_id uuid, p_actor text) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_live_events int;
  v_document record;
  v_version int;
  v_status text;
  v_hash bytea;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  -- As adding does: its name and bytes may be taken at this moment.
  perform pg_advisory_xact_lock(hashtextextended(p_tenant_id::text, 2));
  v_live_events := enablebot.inner_enter_document_lane(p_tenant_id, p_id);
  select d.name, d.lane, d.latest_version, d.event_ids into v_document
  from documents d
  where d.tenant_id = p_tenant_id and d.id = p_id and d.deleted_at is not null and d.due_at > clock_timestamp()
    and d.latest_version is not null
  for no key update;
  if not found then
    perform enablebot.inner_leave_document_lane(p_tenant_id, p_id);
    return jsonb_build_object('restored', false, 'taken', false);
  end if;
  select v.version, v.status, v.content_hash into v_version, v_status, v_hash
  from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id = p_id and v.version = v_document.latest_version;
  if exists (
       select from documents d
       where d.tenant_id = p_tenant_id and coalesce(d.lane, '') = coalesce(v_document.lane, '')
         and d.name = v_document.name and d.deleted_at is null)
     or (select f.o_document_id from enablebot.inner_find_bytes(p_tenant_id, v_document.lane, v_hash, null) f) is not null
  then
    perform enablebot.inner_leave_document_lane(p_tenant_id, p_id);
    return jsonb_build_object('restored', false, 'taken', true);
  end if;

  update documents d
  set deleted_at = null, due_at = case when d.lane is not null then (
        select v.added_at + interval '30 days' from document_versions v
        where v.tenant_id = p_tenant_id and v.document_id = p_id and v.version = v_version) end
  where d.tenant_id = p_tenant_id and d.id = p_id;
  if v_status in ('queued', 'processing')
     and not enablebot.inner_is_awaited(p_tenant_id, v_document.event_ids, array['ready', 'queued', 'held'])
  then
    -- Whoever was reading it may have seen that it was gone, and left it.
    perform enablebot.inner_queue_version(p_tenant_id, p_id, v_version, v_live_events);
  else
    perform enablebot.inner_leave_document_lane(p_tenant_id, p_id);
  end if;
  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'document.restore', p_id::text, 'ok', null);
  return jsonb_build_object('restored', true, 'taken', false);
end
$$;

-- Read anew as a version of its own, so that what is searchable stays until the new one is; its bytes are the same ones.
create or replace function enablebot.reindex_document(p_tenant_id uuid, p_id uuid, p_actor text) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_live_events int;
  v_document record;
  v_status text;
  v_version int;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  v_live_events := enablebot.inner_enter_document_lane(p_tenant_id, p_id);
  select d.latest_version, d.live_version, d.event_ids into v_document
  from documents d
  where d.tenant_id = p_tenant_id and d.id = p_id and d.deleted_at is null and d.latest_version is not null
  for no key update;
  if not found then
    perform enablebot.inner_leave_document_lane(p_tenant_id, p_id);
    return jsonb_build_object('gone', true, 'queued', false);
  end if;
  select v.status into v_status
  from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id = p_id and v.version = v_document.latest_version;

  if v_status in ('queued', 'processing') then
    v_version := v_document.latest_version;
    if enablebot.inner_is_awaited(
         p_tenant_id, v_document.event_ids, array['ready', 'queued', 'held', 'claimed'])
    then
      perform enablebot.inner_leave_document_lane(p_tenant_id, p_id);
      return jsonb_build_object('gone', false, 'queued', false, 'version', v_version);
    end if;
  else
    update documents d set begun_versions = d.begun_versions + 1
    where d.tenant_id = p_tenant_id and d.id = p_id
    returning d.begun_versions into v_version;
    insert into document_versions (
      tenant_id, document_id, version, original, status, format, size_bytes, content_hash, source, added_by, added_at)
    select v.tenant_id, v.document_id, v_version, v.original, 'queued', v.format, v.size_bytes, v.content_hash, v.source,
           v.added_by, v.added_at
    from document_versions v
    where v.tenant_id = p_tenant_id and v.document_id = p_id and v.version = v_document.latest_version;
    perform enablebot.inner_drop_older(p_tenant_id, p_id, v_version, v_document.live_version);
  end if;
  perform enablebot.inner_queue_version(p_tenant_id, p_id, v_version, v_live_events);
  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'document.reindex', p_id::text, 'ok', null);
  return jsonb_build_object('gone', false, 'queued', true, 'version', v_version);
end
$$;

create or replace function enablebot.bind_document(p_tenant_id uuid, p_id uuid, p_channels text[], p_actor text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  perform from documents d
  where d.tenant_id = p_tenant_id and d.id = p_id and d.deleted_at is null and d.latest_version is not null
    and d.lane is null
  for no key update;
  if not found then
    return jsonb_build_object('bound', false);
  end if;
  delete from document_channels c
  where c.tenant_id = p_tenant_id and c.document_id = p_id and c.channel <> all (p_channels);
  insert into document_channels (tenant_id, document_id, channel)
  select distinct p_tenant_id, p_id, c from unnest(p_channels) c
  on conflict do nothing;
  -- What a replacement under way came with is older than this.
  update document_versions v set channels = null
  where v.tenant_id = p_tenant_id and v.document_id = p_id and v.channels is not null;
  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'document.bind', p_id::text, 'ok', null);
  return jsonb_build_object('bound', true);
end
$$;

create or replace function enablebot.purge_document(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_originals_gone boolean
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_left int[];
  v_status text;
  v_original int;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  if p_version is null then
    v_left := enablebot.inner_erase_document(p_tenant_id, p_document_id, true);
    if v_left is null then
      return jsonb_build_object('purged', false);
    end if;
    if v_left <> '{}' and p_originals_gone then
      delete from document_pieces p where p.tenant_id = p_tenant_id and p.document_id = p_document_id;
      delete from documents d where d.tenant_id = p_tenant_id and d.id = p_document_id;
      v_left := '{}';
    end if;
    return jsonb_build_object('purged', v_left = '{}', 'originals', to_jsonb(v_left));
  end if;

  perform from documents d where d.tenant_id = p_tenant_id and d.id = p_document_id for no key update;
  select v.status, v.original into v_status, v_original
  from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
    and v.due_at <= clock_timestamp();
  if not found then
    return jsonb_build_object('purged', false);
  end if;
  if v_status = 'uploading' then
    perform enablebot.inner_drop_version(p_tenant_id, p_document_id, p_version);
  elsif p_originals_gone then
    delete from document_pieces p
    where p.tenant_id = p_tenant_id and p.document_id = p_document_id and p.original = v_original;
    delete from document_versions v
    where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
  end if;
  -- An upload that never ended, of a document that nobody has seen.
  if not exists (
    select from document_versions v where v.tenant_id = p_tenant_id and v.document_id = p_document_id)
  then
    delete from document_channels c where c.tenant_id = p_tenant_id and c.document_id = p_document_id;
    delete from documents d where d.tenant_id = p_tenant_id and d.id = p_document_id;
  end if;
  return (
    select jsonb_build_object(
      'purged', count(*) = 0, 'originals', coalesce(jsonb_agg(v.original), '[]'))
    from document_versions v
    where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
  );
end
$$;

set local role enablebot_router;

-- Whatever is due, whoever's it is: which and when, and nothing else of them.
create or replace function enablebot.list_documents_to_purge(p_limit int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'tenant_id', o.tenant_id, 'document_id', o.document_id, 'version', o.version) order by o.due_at), '[]')
    from (
      (select d.tenant_id, d.id as document_id, null::int as version, d.due_at
       from documents d where d.due_at <= clock_timestamp() order by d.due_at limit p_limit)
      union all
      (select v.tenant_id, v.document_id, v.version, v.due_at
       from document_versions v where v.due_at <= clock_timestamp() order by v.due_at limit p_limit)
      order by due_at
      limit p_limit
    ) o
  );
end
$$;
revoke all on function enablebot.list_documents_to_purge from public;
grant execute on function enablebot.list_documents_to_purge to enablebot_api;

set local role enablebot_owner;
revoke all on function
  enablebot.inner_is_awaited, enablebot.inner_erase_document, enablebot.delete_document, enablebot.restore_document,
  enablebot.reindex_document, enablebot.bind_document, enablebot.purge_document from public;
-- The web, too: it deletes for good where nothing is to be undone.
grant execute on function
  enablebot.delete_document, enablebot.restore_document, enablebot.reindex_document, enablebot.bind_document,
  enablebot.purge_document to enablebot_api, enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.delete_document, enablebot.restore_document, enablebot.reindex_document, enablebot.bind_document,
      enablebot.purge_document, enablebot.list_documents_to_purge to service_role;
  end if;
end
$$;

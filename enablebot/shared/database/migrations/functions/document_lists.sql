-- Documents as people see them: one, a page of them, those that may be restored, and what is stored of one.

set local role enablebot_owner;

-- A document as people see it. One of which nothing was queued yet is not there for them.
create or replace function enablebot.inner_document(p_tenant_id uuid, p_id uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  return (
    select jsonb_build_object(
      'id', d.id, 'name', d.name, 'title', d.title, 'lane', d.lane, 'status', s.status, 'reason', s.reason,
      'progress', s.progress, 'version', s.version, 'live_version', d.live_version, 'format', s.format,
      'size_bytes', s.size_bytes, 'content_hash', encode(s.content_hash, 'hex'), 'pages', s.pages,
      'passages', s.passages, 'source', s.source, 'added_by', s.added_by, 'added_at', s.added_at,
      'created_at', d.created_at, 'deleted_at', d.deleted_at,
      'undo_until', case when d.deleted_at is not null then d.due_at end,
      'cursor', (extract(epoch from d.created_at) * 1000000)::bigint || '.' || d.id,
      'channels', coalesce((
        select jsonb_agg(c.channel order by c.channel) from document_channels c
        where c.tenant_id = d.tenant_id and c.document_id = d.id), '[]'),
      'replacement', case when n.version <> s.version then jsonb_build_object(
        'version', n.version, 'status', n.status, 'reason', n.reason, 'progress', n.progress, 'format', n.format,
        'size_bytes', n.size_bytes, 'added_by', n.added_by, 'added_at', n.added_at) end)
    from documents d
    join document_versions n
      on n.tenant_id = d.tenant_id and n.document_id = d.id and n.version = d.latest_version
    join document_versions s
      on s.tenant_id = d.tenant_id and s.document_id = d.id and s.version = coalesce(d.live_version, d.latest_version)
    where d.tenant_id = p_tenant_id and d.id = p_id
  );
end
$$;

create or replace function enablebot.get_document(p_tenant_id uuid, p_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return enablebot.inner_document(p_tenant_id, p_id);
end
$$;

create or replace function enablebot.list_documents(p_tenant_id uuid, p_after text, p_limit int, p_contains text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_before timestamptz := 'infinity';
  v_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
begin
  perform enablebot.work_for(array[p_tenant_id]);
  if p_after is not null then
    if p_after !~ '^[0-9]{1,17}[.][0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
      raise exception 'no such cursor' using errcode = 'invalid_parameter_value';
    end if;
    v_before := to_timestamp(0) + split_part(p_after, '.', 1)::bigint * interval '1 microsecond';
    v_id := split_part(p_after, '.', 2)::uuid;
  end if;
  return (
    select coalesce(jsonb_agg(enablebot.inner_document(p_tenant_id, p.id) order by p.created_at desc, p.id desc), '[]')
    from (
      select d.id, d.created_at from documents d
      where d.tenant_id = p_tenant_id and d.lane is null and d.deleted_at is null and d.latest_version is not null
        and (d.created_at, d.id) < (v_before, v_id)
        and (p_contains is null or position(lower(p_contains) in lower(d.name)) > 0
             or position(lower(p_contains) in lower(d.title)) > 0)
      order by d.created_at desc, d.id desc
      limit p_limit
    ) p
  );
end
$$;

create or replace function enablebot.list_deleted_documents(p_tenant_id uuid, p_limit int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return (
    select coalesce(jsonb_agg(enablebot.inner_document(p_tenant_id, p.id) order by p.deleted_at desc, p.id desc), '[]')
    from (
      select d.id, d.deleted_at from documents d
      where d.tenant_id = p_tenant_id and d.deleted_at is not null and d.lane is null and d.latest_version is not null
        and d.due_at > clock_timestamp()
      order by d.deleted_at desc, d.id desc
      limit p_limit
    ) p
  );
end
$$;

create or replace function enablebot.list_document_versions(p_tenant_id uuid, p_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'version', v.version, 'status', v.status, 'reason', v.reason, 'progress', v.progress, 'format', v.format,
             'size_bytes', v.size_bytes, 'pages', v.pages, 'passages', v.passages, 'source', v.source,
             'added_by', v.added_by, 'added_at', v.added_at, 'is_live', v.version is not distinct from d.live_version)
             order by v.version desc), '[]')
    from documents d
    join document_versions v on v.tenant_id = d.tenant_id and v.document_id = d.id
    where d.tenant_id = p_tenant_id and d.id = p_id and v.status not in ('uploading', 'dropped')
  );
end
$$;

revoke all on function
  enablebot.inner_document, enablebot.get_document, enablebot.list_documents, enablebot.list_deleted_documents,
  enablebot.list_document_versions from public;
grant execute on function
  enablebot.get_document, enablebot.list_documents, enablebot.list_deleted_documents,
  enablebot.list_document_versions to enablebot_api, enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.get_document, enablebot.list_documents, enablebot.list_deleted_documents,
      enablebot.list_document_versions to service_role;
  end if;
end
$$;

-- What ingest does with a document that it has claimed from the inbox. The order of locks is told in documents.sql.

set local role enablebot_owner;

-- Refuses whoever lost the claim; holds the claim and the document until commit, and says whether this version is still
-- wanted. What is gone is said even to those whose claim went with it.
create or replace function enablebot.inner_hold_claimed_version(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_event_id bigint, p_claim_token uuid
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  if not enablebot.inner_is_wanted(p_tenant_id, p_document_id, p_version) then
    return false;
  end if;
  -- A deletion takes the event with it: whoever waited for that here has lost no claim to anybody.
  perform from inbox i
  where i.tenant_id = p_tenant_id and i.id = p_event_id and i.state = 'claimed' and i.claim_token = p_claim_token
  for update;
  if not found then
    if enablebot.inner_is_wanted(p_tenant_id, p_document_id, p_version) then
      raise exception 'the claim is no longer held' using errcode = 'EB001';
    end if;
    return false;
  end if;
  -- The claim is on an event: the version named beside it must be that event's.
  perform from inbox i
  where i.tenant_id = p_tenant_id and i.id = p_event_id and i.lane = 'document:' || p_document_id
    and split_part(i.event_key, ':', 3) = p_version::text;
  if not found then
    raise exception 'the event is about another document' using errcode = 'foreign_key_violation';
  end if;
  perform from documents d where d.tenant_id = p_tenant_id and d.id = p_document_id for no key update;
  return enablebot.inner_is_wanted(p_tenant_id, p_document_id, p_version);
end
$$;

-- The same for whoever adds to what is being read: not once it is published or failed, nor when it was queued again
-- meanwhile, by whoever undid its deletion, and another attempt begins anew.
create or replace function enablebot.inner_hold_version(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_event_id bigint, p_claim_token uuid
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  if not enablebot.inner_hold_claimed_version(p_tenant_id, p_document_id, p_version, p_event_id, p_claim_token) then
    return false;
  end if;
  -- A statement of its own, so that it sees what was committed while the first one waited.
  perform from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
    and v.status = 'processing';
  return found;
end
$$;

-- Volatile, so that it sees what was committed while its caller waited.
create or replace function enablebot.inner_is_wanted(p_tenant_id uuid, p_document_id uuid, p_version int)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  return (
    select true
    from documents d
    join document_versions v on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = p_version
    where d.tenant_id = p_tenant_id and d.id = p_document_id and d.deleted_at is null
      and v.status in ('queued', 'processing', 'ready', 'failed')
  ) is not null;
end
$$;

create or replace function enablebot.begin_reading(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_event_id bigint, p_claim_token uuid
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_status text;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  if not enablebot.inner_hold_claimed_version(p_tenant_id, p_document_id, p_version, p_event_id, p_claim_token) then
    return jsonb_build_object('gone', true);
  end if;
  select v.status into v_status
  from document_versions v
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
  -- An attempt that ended between its last word and settling its event has nothing left to do; what is live stays.
  if v_status in ('queued', 'processing') then
    perform enablebot.inner_drop_passages(p_tenant_id, p_document_id, p_version);
    update document_versions v set status = 'processing', progress = 0
    where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
  end if;
  return (
    select jsonb_build_object(
      'gone', false, 'already', case when v_status in ('ready', 'failed') then v_status end,
      'name', d.name, 'title', coalesce(v.title, case when d.has_given_title then d.title end), 'format', v.format,
      'size_bytes', v.size_bytes, 'pieces', ceil(v.size_bytes / 1048576.0)::int, 'source', v.source,
      'added_by', v.added_by, 'lane', d.lane)
    from documents d
    join document_versions v on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = p_version
    where d.tenant_id = p_tenant_id and d.id = p_document_id
  );
end
$$;

create or replace function enablebot.note_progress(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_event_id bigint, p_claim_token uuid, p_progress int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  if not enablebot.inner_hold_version(p_tenant_id, p_document_id, p_version, p_event_id, p_claim_token) then
    return jsonb_build_object('gone', true);
  end if;
  -- The last step is publishing.
  update document_versions v set progress = greatest(v.progress, least(p_progress, 99))
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version;
  return jsonb_build_object('gone', false);
end
$$;

-- All at once: search sees the old version until this commits, and the new one from then on.
create or replace function enablebot.publish_document(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_event_id bigint, p_claim_token uuid, p_pages int, p_title text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_new record;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  if not enablebot.inner_hold_claimed_version(p_tenant_id, p_document_id, p_version, p_event_id, p_claim_token) then
    return jsonb_build_object('gone', true);
  end if;
  update document_versions v
  set status = 'ready', reason = null, progress = 100, pages = p_pages, passages = (
        select count(*) from passages p
        where p.tenant_id = p_tenant_id and p.document_id = p_document_id and p.version = p_version)
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
    and v.status = 'processing'
  returning v.title, v.channels into v_new;
  if not found then
    -- What is not being read, though somebody holds its claim, was queued again or has failed.
    return jsonb_build_object('gone', not exists (
      select from document_versions v
      where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
        and v.status = 'ready'));
  end if;

  update documents d
  set live_version = p_version,
      title = case
        when v_new.title is not null then v_new.title
        when d.has_given_title then d.title
        else coalesce(nullif(left(btrim(p_title), 300), ''), d.title)
      end,
      has_given_title = d.has_given_title or v_new.title is not null
  where d.tenant_id = p_tenant_id and d.id = p_document_id;
  -- Channels that came with the new bytes: sooner, and the old ones would have been seen there.
  if v_new.channels is not null then
    delete from document_channels c
    where c.tenant_id = p_tenant_id and c.document_id = p_document_id and c.channel <> all (v_new.channels);
    insert into document_channels (tenant_id, document_id, channel)
    select p_tenant_id, p_document_id, c from unnest(v_new.channels) c
    on conflict do nothing;
  end if;
  perform enablebot.inner_drop_older(p_tenant_id, p_document_id, p_version, p_version);
  return jsonb_build_object('gone', false);
end
$$;

-- For whoever ends an event without having read it; the caller has declared the tenant. Nothing, where nothing waits.
create or replace function enablebot.inner_fail_document(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_reason text
) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform from documents d where d.tenant_id = p_tenant_id and d.id = p_document_id for no key update;
  update document_versions v set status = 'failed', reason = left(p_reason, 1000)
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
    and v.status in ('queued', 'processing');
  if found then
    perform enablebot.inner_drop_passages(p_tenant_id, p_document_id, p_version);
  end if;
end
$$;

create or replace function enablebot.fail_document(
  p_tenant_id uuid, p_document_id uuid, p_version int, p_event_id bigint, p_claim_token uuid, p_reason text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  if not enablebot.inner_hold_claimed_version(p_tenant_id, p_document_id, p_version, p_event_id, p_claim_token) then
    return jsonb_build_object('gone', true);
  end if;
  perform enablebot.inner_fail_document(p_tenant_id, p_document_id, p_version, p_reason);
  return jsonb_build_object('gone', false);
end
$$;

-- For an event that is tried anew; the caller has declared the tenant. False when this version is gone or deleted.
create or replace function enablebot.inner_requeue_document(p_tenant_id uuid, p_document_id uuid, p_version int)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform from documents d where d.tenant_id = p_tenant_id and d.id = p_document_id for no key update;
  if not enablebot.inner_is_wanted(p_tenant_id, p_document_id, p_version) then
    return false;
  end if;
  update document_versions v set status = 'queued', reason = null, progress = 0
  where v.tenant_id = p_tenant_id and v.document_id = p_document_id and v.version = p_version
    and v.status in ('processing', 'failed');
  return true;
end
$$;

revoke all on function
  enablebot.inner_hold_claimed_version, enablebot.inner_hold_version, enablebot.inner_is_wanted,
  enablebot.begin_reading, enablebot.note_progress, enablebot.publish_document, enablebot.inner_fail_document,
  enablebot.fail_document, enablebot.inner_requeue_document from public;
grant execute on function
  enablebot.begin_reading, enablebot.note_progress, enablebot.publish_document, enablebot.fail_document
  to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.begin_reading, enablebot.note_progress, enablebot.publish_document, enablebot.fail_document
      to service_role;
  end if;
end
$$;

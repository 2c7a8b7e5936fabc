-- Documents: what people gave EnableBot to know, their versions, and their bytes in sealed pieces.

set local role enablebot_owner;

create table enablebot.documents (
  tenant_id uuid not null references enablebot.tenants (id),
  id uuid not null,
  name text not null check (length(name) between 1 and 255),
  title text not null check (length(title) between 1 and 1000),
  has_given_title boolean not null,
  lane text collate "C" check (length(lane) <= 255),
  live_version int,
  latest_version int,
  begun_versions int not null check (begun_versions > 0),
  event_ids bigint[] not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  deleted_at timestamptz,
  due_at timestamptz,
  primary key (tenant_id, id),
  check (live_version <= latest_version and latest_version <= begun_versions),
  -- What is hidden is on its way out.
  check (deleted_at is null or due_at is not null)
);
-- A name is there once in its scope, so that "replace by name" never has to choose.
create unique index documents_by_name on enablebot.documents (tenant_id, coalesce(lane, ''), name) where deleted_at is null;
-- The list, a page at a time.
create index documents_by_age on enablebot.documents (tenant_id, created_at, id) where lane is null and deleted_at is null;
-- Those whose deletion may be undone; and what is due, without reading the rest.
create index documents_deleted on enablebot.documents (tenant_id, deleted_at) where deleted_at is not null;
create index documents_due on enablebot.documents (due_at) where due_at is not null;
comment on table enablebot.documents is 'What people gave to be known; searchable is exactly live_version';
comment on column enablebot.documents.tenant_id is 'tenant [technical]';
comment on column enablebot.documents.id is 'document [technical]';
comment on column enablebot.documents.name is 'file name, which a replacement is known by [personal]';
comment on column enablebot.documents.title is 'what people call it [personal]';
comment on column enablebot.documents.has_given_title is 'a person gave the title [technical]';
comment on column enablebot.documents.lane is 'the one conversation it was given for, null for the whole workspace [technical]';
comment on column enablebot.documents.live_version is 'version that search sees, null until there is one [technical]';
comment on column enablebot.documents.latest_version is 'newest version that was queued [technical]';
comment on column enablebot.documents.begun_versions is 'how many versions were begun; a number is never used twice [technical]';
comment on column enablebot.documents.event_ids is 'its events in the inbox, which go with it [technical]';
comment on column enablebot.documents.created_at is 'when it was first added [technical]';
comment on column enablebot.documents.deleted_at is 'when it was hidden, null while it is not [technical]';
comment on column enablebot.documents.due_at is 'when it is erased, null for never [technical]';

create table enablebot.document_versions (
  tenant_id uuid not null,
  document_id uuid not null,
  version int not null check (version > 0),
  original int not null check (original > 0),
  status text not null check (status in ('uploading', 'queued', 'processing', 'ready', 'failed', 'dropped')),
  reason text,
  progress int not null default 0 check (progress between 0 and 100),
  format text not null check (format in ('pdf', 'docx', 'pptx', 'xlsx', 'csv', 'html', 'markdown', 'text')),
  size_bytes int not null check (size_bytes > 0),
  content_hash bytea not null check (octet_length(content_hash) = 32),
  pages int,
  passages int,
  title text check (length(title) between 1 and 1000),
  channels text[],
  source text not null check (source in ('dashboard', 'api', 'slack')),
  added_by text not null,
  added_at timestamptz not null default clock_timestamp(),
  due_at timestamptz,
  primary key (tenant_id, document_id, version),
  foreign key (tenant_id, document_id) references enablebot.documents (tenant_id, id),
  check ((status in ('uploading', 'dropped')) = (due_at is not null))
);
-- The same bytes again are found without reading every document.
create index document_versions_by_content on enablebot.document_versions (tenant_id, content_hash);
create index document_versions_due on enablebot.document_versions (due_at) where due_at is not null;
comment on table enablebot.document_versions is 'A document''s content as it was added, once for each time';
comment on column enablebot.document_versions.tenant_id is 'tenant [technical]';
comment on column enablebot.document_versions.document_id is 'document [technical]';
comment on column enablebot.document_versions.version is 'from 1 [technical]';
comment on column enablebot.document_versions.original is 'version whose pieces hold its bytes: its own, or the one it reads anew [technical]';
comment on column enablebot.document_versions.status is 'uploading, queued, processing, ready, failed, dropped [technical]';
comment on column enablebot.document_versions.reason is 'why it could not be read, never content [technical]';
comment on column enablebot.document_versions.progress is 'how far reading is, in percent [technical]';
comment on column enablebot.document_versions.format is 'what its bytes are [technical]';
comment on column enablebot.document_versions.size_bytes is 'how many bytes [technical]';
comment on column enablebot.document_versions.content_hash is 'SHA-256 of the bytes [technical]';
comment on column enablebot.document_versions.pages is 'pages or slides, where there are any [technical]';
comment on column enablebot.document_versions.passages is 'passages found in it [technical]';
comment on column enablebot.document_versions.title is 'title it was added under, the document''s once it is live [personal]';
comment on column enablebot.document_versions.channels is 'channels it was added for, the document''s once it is live [technical]';
comment on column enablebot.document_versions.source is 'dashboard, api or slack [technical]';
comment on column enablebot.document_versions.added_by is 'who added it [personal]';
comment on column enablebot.document_versions.added_at is 'when [technical]';
comment on column enablebot.document_versions.due_at is 'when an upload that never ended, or what it left elsewhere, is erased [technical]';

create table enablebot.document_channels (
  tenant_id uuid not null,
  document_id uuid not null,
  channel text collate "C" not null check (length(channel) between 1 and 64),
  primary key (tenant_id, document_id, channel),
  foreign key (tenant_id, document_id) references enablebot.documents (tenant_id, id)
);
comment on table enablebot.document_channels is 'Channels that alone see a document; a document without any is everybody''s';
comment on column enablebot.document_channels.tenant_id is 'tenant [technical]';
comment on column enablebot.document_channels.document_id is 'document [technical]';
comment on column enablebot.document_channels.channel is 'Slack channel [technical]';

create table enablebot.document_pieces (
  tenant_id uuid not null,
  document_id uuid not null,
  original int not null,
  piece int not null check (piece >= 0),
  sealed bytea,
  data_key_id uuid not null,
  primary key (tenant_id, document_id, original, piece),
  foreign key (tenant_id, document_id) references enablebot.documents (tenant_id, id)
) with (autovacuum_vacuum_scale_factor = 0.02);
-- Sealed bytes do not compress; trying costs time on every piece.
alter table enablebot.document_pieces alter column sealed set storage external;
comment on table enablebot.document_pieces is 'The bytes people gave, in sealed pieces of 1 MB';
comment on column enablebot.document_pieces.tenant_id is 'tenant [technical]';
comment on column enablebot.document_pieces.document_id is 'document [technical]';
comment on column enablebot.document_pieces.original is 'version it was added with [technical]';
comment on column enablebot.document_pieces.piece is 'place in the file, from 0 [technical]';
comment on column enablebot.document_pieces.sealed is 'sealed piece, place document_pieces/sealed/document:original:piece; null when it lies in object storage [content]';
comment on column enablebot.document_pieces.data_key_id is 'key that seals it [technical]';

-- The wall, as 002 raises it.
do $$
declare
  v_table name;
  v_wall constant text := 'tenant_id = any ((select enablebot.tenants())::uuid[])';
begin
  foreach v_table in array array['documents', 'document_versions', 'document_channels', 'document_pieces'] loop
    execute format('alter table enablebot.%I enable row level security, force row level security', v_table);
    execute format('revoke truncate, trigger on enablebot.%I from enablebot_owner', v_table);
    execute format('create policy tenant_select on enablebot.%I for select to enablebot_owner using (%s)', v_table, v_wall);
    execute format('create policy tenant_insert on enablebot.%I for insert to enablebot_owner with check (%s)', v_table, v_wall);
    execute format(
      'create policy tenant_update on enablebot.%I for update to enablebot_owner using (%s) with check (%2$s)', v_table, v_wall);
    execute format('create policy tenant_delete on enablebot.%I for delete to enablebot_owner using (%s)', v_table, v_wall);
  end loop;
end
$$;

-- Upkeep erases what is due, whoever's it is: it sees which and when, and neither names nor anything else of them.
grant select (tenant_id, id, due_at) on enablebot.documents to enablebot_router;
create policy router_select on enablebot.documents for select to enablebot_router using (due_at is not null);
grant select (tenant_id, document_id, version, due_at) on enablebot.document_versions to enablebot_router;
create policy router_select on enablebot.document_versions for select to enablebot_router using (due_at is not null);

-- Documents wait in the inbox as well. Wider than before, so that every row there fulfils it and none has to be read.
-- squawk-ignore ban-drop-constraint
alter table enablebot.inbox drop constraint inbox_kind_check;
alter table enablebot.inbox
  add constraint inbox_kind_check
    check (kind in ('message', 'mention', 'interaction', 'lifecycle', 'stop', 'delete', 'document')) not valid;
comment on column enablebot.inbox.kind is 'message, mention, interaction, lifecycle, stop, delete, document [technical]';

-- The head of each tenant without its documents, of which thousands may wait: no question steps over them.
-- squawk-ignore require-concurrent-index-deletion
drop index enablebot.inbox_ready;
create index inbox_ready on enablebot.inbox (tenant_id, available_at, id)
  where state = 'ready' and kind not in ('stop', 'delete', 'lifecycle', 'document');
-- And these for the workers' slots that read documents.
create index inbox_documents on enablebot.inbox (tenant_id, available_at, id)
  where state = 'ready' and kind = 'document';

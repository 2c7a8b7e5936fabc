-- The schema as the migrations leave it. Generated; read it, change the migrations instead.
-- To draw it anew: REDRAW=1 python -m pytest enablebot/tests/shared/test_database_catalogue.py -k picture

create role enablebot_api nologin;
create role enablebot_owner nologin;
create role enablebot_router nologin;
create role enablebot_searcher nologin;
create role enablebot_web nologin;

-- One answer an event, with its receipt
create table enablebot.answers (
  tenant_id uuid not null, -- tenant [technical]
  id uuid not null, -- answer [technical]
  event_id bigint not null, -- event in the inbox [technical]
  conversation_id uuid not null, -- conversation [technical]
  channel text not null, -- Slack channel [technical]
  thread_ts text not null, -- thread it goes to [technical]
  question_ts text not null, -- Slack's timestamp of the question [technical]
  question_id uuid not null, -- the question as a message [technical]
  message_id uuid, -- the answer as a message, once complete [technical]
  asker text not null, -- Slack user who asked [personal]
  state text not null, -- open, complete, failed, ambiguous, dropped [technical]
  text bytea storage external, -- sealed draft while open, place answers/text/id [content]
  data_key_id uuid, -- key that seals the draft [technical]
  model text, -- model that answered [technical]
  input_tokens integer, -- tokens read [technical]
  output_tokens integer, -- tokens written [technical]
  latency_ms integer, -- from question to answer [technical]
  reason text, -- why it did not become one, never content [technical]
  created_at timestamp with time zone not null default now(), -- when it was begun [technical]
  finished_at timestamp with time zone, -- when it ended [technical]
  CHECK (((state = 'open'::text) = (finished_at IS NULL))),
  CHECK (((text IS NULL) = (data_key_id IS NULL))),
  CHECK ((state = ANY (ARRAY['open'::text, 'complete'::text, 'failed'::text, 'ambiguous'::text, 'dropped'::text]))),
  FOREIGN KEY (tenant_id, conversation_id) REFERENCES enablebot.conversations(tenant_id, id),
  FOREIGN KEY (tenant_id, message_id) REFERENCES enablebot.messages(tenant_id, id),
  FOREIGN KEY (tenant_id, question_id) REFERENCES enablebot.messages(tenant_id, id),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, event_id),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX answers_by_state ON enablebot.answers USING btree (tenant_id, state, finished_at);
create policy tenant_delete on enablebot.answers for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.answers for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.answers for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.answers for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.answers to enablebot_owner;

-- Keys of the REST API; the key itself is shown once and kept nowhere
create table enablebot.api_keys (
  tenant_id uuid not null, -- tenant [technical]
  id uuid not null, -- key, readable in the key itself [technical]
  key_hash bytea not null, -- SHA-256 of the key [secret]
  name text not null, -- what people call it [personal]
  scopes text[] collate C not null, -- what it may do [technical]
  created_by text not null, -- Slack user, or cli [personal]
  created_at timestamp with time zone not null default now(), -- when it was made [technical]
  expires_at timestamp with time zone, -- when it ends by itself, null for never [technical]
  revoked_at timestamp with time zone, -- when somebody ended it [technical]
  last_used_at timestamp with time zone, -- last use, to the minute [technical]
  CHECK ((octet_length(key_hash) = 32)),
  CHECK (((length(name) >= 1) AND (length(name) <= 100))),
  CHECK (((cardinality(scopes) > 0) AND (scopes <@ ARRAY['documents:read'::text, 'documents:write'::text, 'search'::text]))),
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, key_hash),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX api_keys_by_hash ON enablebot.api_keys USING btree (key_hash);
create policy router_select on enablebot.api_keys for select to enablebot_router using (true);
create policy router_update on enablebot.api_keys for update to enablebot_router using ((revoked_at IS NULL)) with check ((revoked_at IS NULL));
create policy tenant_delete on enablebot.api_keys for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.api_keys for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.api_keys for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.api_keys for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.api_keys to enablebot_owner;
grant select, update (last_used_at) on enablebot.api_keys to enablebot_router;

-- Requests that their sender may repeat, and what was answered
create table enablebot.api_requests (
  tenant_id uuid not null, -- tenant [technical]
  api_key_id uuid not null, -- key that sent it [technical]
  name_hash bytea not null, -- SHA-256 of its Idempotency-Key [technical]
  token uuid, -- who works on it, null once answered [technical]
  lease_until timestamp with time zone, -- until when that is believed [technical]
  fingerprint bytea, -- SHA-256 of what was sent [technical]
  status integer, -- HTTP status of the answer [technical]
  response bytea, -- the answer, sealed [content]
  data_key_id uuid, -- key that sealed it [technical]
  created_at timestamp with time zone not null default now(), -- when it came [technical]
  CHECK (((token IS NULL) = (status IS NOT NULL))),
  CHECK (((token IS NULL) = (lease_until IS NULL))),
  CHECK ((num_nulls(status, fingerprint, response, data_key_id) = ANY (ARRAY[0, 4]))),
  CHECK ((octet_length(fingerprint) = 32)),
  CHECK ((octet_length(name_hash) = 32)),
  CHECK (((status >= 200) AND (status <= 599))),
  FOREIGN KEY (tenant_id, api_key_id) REFERENCES enablebot.api_keys(tenant_id, id),
  FOREIGN KEY (tenant_id, data_key_id) REFERENCES enablebot.data_keys(tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, api_key_id, name_hash),
) with (autovacuum_vacuum_scale_factor=0.02);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX api_requests_by_age ON enablebot.api_requests USING btree (created_at);
create policy router_delete on enablebot.api_requests for delete to enablebot_router using ((created_at < (now() - '01:00:00'::interval)));
create policy router_select on enablebot.api_requests for select to enablebot_router using (true);
create policy tenant_delete on enablebot.api_requests for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.api_requests for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.api_requests for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.api_requests for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.api_requests to enablebot_owner;
grant delete, select (api_key_id), select (created_at), select (name_hash), select (tenant_id) on enablebot.api_requests to enablebot_router;

-- Who did what: append-only, each row bound to the one before
create table enablebot.audit (
  tenant_id uuid not null, -- tenant [technical]
  seq bigint not null, -- place in the chain, without gaps [technical]
  at timestamp with time zone not null, -- when [technical]
  actor text not null, -- who [personal]
  action text not null, -- did what [technical]
  object text not null, -- to what [technical]
  outcome text not null, -- with what outcome [technical]
  detail bytea, -- sealed detail; the chain covers it sealed, so it verifies after its key is destroyed [content]
  previous_hash bytea not null, -- hash of the row before, zeros for the first [technical]
  hash bytea not null, -- SHA-256 over this row and previous_hash [technical]
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, seq),
);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_insert on enablebot.audit for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.audit for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
CREATE TRIGGER audit_is_append_only BEFORE DELETE OR UPDATE ON enablebot.audit FOR EACH ROW EXECUTE FUNCTION enablebot.refuse_audit_change(); -- enabled always
CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON enablebot.audit FOR EACH STATEMENT EXECUTE FUNCTION enablebot.refuse_audit_change(); -- enabled always
grant insert, references, select on enablebot.audit to enablebot_owner;

-- Where each chain ends: writers take turns on it, and a tail cut off shows
create table enablebot.audit_heads (
  tenant_id uuid not null, -- tenant [technical]
  seq bigint not null, -- last place taken [technical]
  hash bytea not null, -- hash of the last row [technical]
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id),
);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_delete on enablebot.audit_heads for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.audit_heads for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.audit_heads for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.audit_heads for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.audit_heads to enablebot_owner;

-- What was said with the bot, thread by thread
create table enablebot.conversations (
  tenant_id uuid not null, -- tenant [technical]
  id uuid not null, -- conversation [technical]
  lane text collate C not null, -- its lane [technical]
  channel text not null, -- Slack channel [technical]
  thread_ts text not null, -- root message of the thread [technical]
  created_at timestamp with time zone not null default now(), -- first message [technical]
  last_at timestamp with time zone not null default now(), -- last message [technical]
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, lane),
) with (fillfactor=80);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_delete on enablebot.conversations for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.conversations for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.conversations for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.conversations for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.conversations to enablebot_owner;

-- How many passages a workspace has
create table enablebot.corpora (
  tenant_id uuid not null, -- tenant [technical]
  n integer not null, -- passages, staged ones too [technical]
  CHECK ((n >= 0)),
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id),
) with (fillfactor=50);
-- owner enablebot_owner; row-level security enabled and forced
create policy searcher_select on enablebot.corpora for select to enablebot_searcher using (true);
create policy tenant_delete on enablebot.corpora for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.corpora for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.corpora for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.corpora for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.corpora to enablebot_owner;
grant select on enablebot.corpora to enablebot_searcher;

-- A tenant's own keys, each wrapped by a master key that the database never sees
create table enablebot.data_keys (
  tenant_id uuid not null, -- tenant [technical]
  id uuid not null, -- key, named in every sealed value [technical]
  master_key_id text not null, -- which of ENCRYPTION_KEYS wraps it [technical]
  wrapped bytea not null, -- the wrapped key [secret]
  created_at timestamp with time zone not null default now(), -- when it was made [technical]
  destroyed_at timestamp with time zone, -- when it was destroyed [technical]
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id),
);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_delete on enablebot.data_keys for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.data_keys for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.data_keys for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.data_keys for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.data_keys to enablebot_owner;

-- Event and message keys seen lately; apart from the inbox, which can then be partitioned by time
create table enablebot.dedupe_keys (
  tenant_id uuid not null, -- tenant [technical]
  key text collate C not null, -- event: or message: and the key [technical]
  created_at timestamp with time zone not null default now(), -- when it was first seen [technical]
  CHECK ((length(key) <= 320)),
  PRIMARY KEY (tenant_id, key),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX dedupe_keys_by_age ON enablebot.dedupe_keys USING brin (created_at) WITH (pages_per_range='32', autosummarize='on');
create policy router_delete on enablebot.dedupe_keys for delete to enablebot_router using (true);
create policy router_select on enablebot.dedupe_keys for select to enablebot_router using (true);
create policy tenant_delete on enablebot.dedupe_keys for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.dedupe_keys for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.dedupe_keys for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.dedupe_keys for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.dedupe_keys to enablebot_owner;
grant delete, select on enablebot.dedupe_keys to enablebot_router;

-- Channels that alone see a document; a document without any is everybody's
create table enablebot.document_channels (
  tenant_id uuid not null, -- tenant [technical]
  document_id uuid not null, -- document [technical]
  channel text collate C not null, -- Slack channel [technical]
  CHECK (((length(channel) >= 1) AND (length(channel) <= 64))),
  FOREIGN KEY (tenant_id, document_id) REFERENCES enablebot.documents(tenant_id, id),
  PRIMARY KEY (tenant_id, document_id, channel),
);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_delete on enablebot.document_channels for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.document_channels for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.document_channels for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.document_channels for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.document_channels to enablebot_owner;

-- The bytes people gave, in sealed pieces of 1 MB
create table enablebot.document_pieces (
  tenant_id uuid not null, -- tenant [technical]
  document_id uuid not null, -- document [technical]
  original integer not null, -- version it was added with [technical]
  piece integer not null, -- place in the file, from 0 [technical]
  sealed bytea storage external, -- sealed piece, place document_pieces/sealed/document:original:piece; null when it lies in object storage [content]
  data_key_id uuid not null, -- key that seals it [technical]
  CHECK ((piece >= 0)),
  FOREIGN KEY (tenant_id, document_id) REFERENCES enablebot.documents(tenant_id, id),
  PRIMARY KEY (tenant_id, document_id, original, piece),
) with (autovacuum_vacuum_scale_factor=0.02);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_delete on enablebot.document_pieces for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.document_pieces for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.document_pieces for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.document_pieces for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.document_pieces to enablebot_owner;

-- A document's content as it was added, once for each time
create table enablebot.document_versions (
  tenant_id uuid not null, -- tenant [technical]
  document_id uuid not null, -- document [technical]
  version integer not null, -- from 1 [technical]
  original integer not null, -- version whose pieces hold its bytes: its own, or the one it reads anew [technical]
  status text not null, -- uploading, queued, processing, ready, failed, dropped [technical]
  reason text, -- why it could not be read, never content [technical]
  progress integer not null default 0, -- how far reading is, in percent [technical]
  format text not null, -- what its bytes are [technical]
  size_bytes integer not null, -- how many bytes [technical]
  content_hash bytea not null, -- SHA-256 of the bytes [technical]
  pages integer, -- pages or slides, where there are any [technical]
  passages integer, -- passages found in it [technical]
  title text, -- title it was added under, the document's once it is live [personal]
  channels text[], -- channels it was added for, the document's once it is live [technical]
  source text not null, -- dashboard, api or slack [technical]
  added_by text not null, -- who added it [personal]
  added_at timestamp with time zone not null default clock_timestamp(), -- when [technical]
  due_at timestamp with time zone, -- when an upload that never ended, or what it left elsewhere, is erased [technical]
  CHECK (((status = ANY (ARRAY['uploading'::text, 'dropped'::text])) = (due_at IS NOT NULL))),
  CHECK ((octet_length(content_hash) = 32)),
  CHECK ((format = ANY (ARRAY['pdf'::text, 'docx'::text, 'pptx'::text, 'xlsx'::text, 'csv'::text, 'html'::text, 'markdown'::text, 'text'::text]))),
  CHECK ((original > 0)),
  CHECK (((progress >= 0) AND (progress <= 100))),
  CHECK ((size_bytes > 0)),
  CHECK ((source = ANY (ARRAY['dashboard'::text, 'api'::text, 'slack'::text]))),
  CHECK ((status = ANY (ARRAY['uploading'::text, 'queued'::text, 'processing'::text, 'ready'::text, 'failed'::text, 'dropped'::text]))),
  CHECK (((length(title) >= 1) AND (length(title) <= 1000))),
  CHECK ((version > 0)),
  FOREIGN KEY (tenant_id, document_id) REFERENCES enablebot.documents(tenant_id, id),
  PRIMARY KEY (tenant_id, document_id, version),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX document_versions_by_content ON enablebot.document_versions USING btree (tenant_id, content_hash);
CREATE INDEX document_versions_due ON enablebot.document_versions USING btree (due_at) WHERE (due_at IS NOT NULL);
create policy router_select on enablebot.document_versions for select to enablebot_router using ((due_at IS NOT NULL));
create policy tenant_delete on enablebot.document_versions for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.document_versions for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.document_versions for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.document_versions for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.document_versions to enablebot_owner;
grant select (document_id), select (due_at), select (tenant_id), select (version) on enablebot.document_versions to enablebot_router;

-- What people gave to be known; searchable is exactly live_version
create table enablebot.documents (
  tenant_id uuid not null, -- tenant [technical]
  id uuid not null, -- document [technical]
  name text not null, -- file name, which a replacement is known by [personal]
  title text not null, -- what people call it [personal]
  has_given_title boolean not null, -- a person gave the title [technical]
  lane text collate C, -- the one conversation it was given for, null for the whole workspace [technical]
  live_version integer, -- version that search sees, null until there is one [technical]
  latest_version integer, -- newest version that was queued [technical]
  begun_versions integer not null, -- how many versions were begun; a number is never used twice [technical]
  event_ids bigint[] not null default '{}'::bigint[], -- its events in the inbox, which go with it [technical]
  created_at timestamp with time zone not null default clock_timestamp(), -- when it was first added [technical]
  deleted_at timestamp with time zone, -- when it was hidden, null while it is not [technical]
  due_at timestamp with time zone, -- when it is erased, null for never [technical]
  CHECK ((begun_versions > 0)),
  CHECK (((live_version <= latest_version) AND (latest_version <= begun_versions))),
  CHECK (((deleted_at IS NULL) OR (due_at IS NOT NULL))),
  CHECK ((length(lane) <= 255)),
  CHECK (((length(name) >= 1) AND (length(name) <= 255))),
  CHECK (((length(title) >= 1) AND (length(title) <= 1000))),
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX documents_by_age ON enablebot.documents USING btree (tenant_id, created_at, id) WHERE ((lane IS NULL) AND (deleted_at IS NULL));
CREATE UNIQUE INDEX documents_by_name ON enablebot.documents USING btree (tenant_id, COALESCE(lane, ''::text), name) WHERE (deleted_at IS NULL);
CREATE INDEX documents_deleted ON enablebot.documents USING btree (tenant_id, deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX documents_due ON enablebot.documents USING btree (due_at) WHERE (due_at IS NOT NULL);
create policy router_select on enablebot.documents for select to enablebot_router using ((due_at IS NOT NULL));
create policy searcher_select on enablebot.documents for select to enablebot_searcher using (true);
create policy tenant_delete on enablebot.documents for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.documents for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.documents for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.documents for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.documents to enablebot_owner;
grant select (due_at), select (id), select (tenant_id) on enablebot.documents to enablebot_router;
grant select (deleted_at), select (id), select (live_version), select (tenant_id) on enablebot.documents to enablebot_searcher;

-- Sealed events until they are settled
create table enablebot.event_bodies (
  tenant_id uuid not null, -- tenant [technical]
  event_id bigint not null, -- event in the inbox [technical]
  body bytea storage external not null, -- sealed event, place event_bodies/body/event_key [content]
  data_key_id uuid not null, -- key that seals it [technical]
  PRIMARY KEY (tenant_id, event_id),
) with (autovacuum_vacuum_scale_factor=0.02);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_delete on enablebot.event_bodies for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.event_bodies for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.event_bodies for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.event_bodies for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.event_bodies to enablebot_owner;

-- Accepted events, waiting or done: routing metadata, never content
create table enablebot.inbox (
  tenant_id uuid not null, -- tenant [technical]
  id bigint not null generated as identity, -- order of arrival [technical]
  event_key text collate C not null, -- Slack's event id, or what stands for it [technical]
  lane text collate C, -- conversation whose events run in order, null for none [technical]
  kind text not null, -- message, mention, interaction, lifecycle, stop, delete, document [technical]
  state text not null, -- queued, ready, held, claimed, done, set_aside [technical]
  outcome text, -- how it ended [technical]
  available_at timestamp with time zone not null default now(), -- not to be claimed before [technical]
  received_at timestamp with time zone not null default now(), -- when it was accepted [technical]
  attempts integer not null default 0, -- claims so far, counted when made [technical]
  claim_token uuid, -- fence of the claim under way [technical]
  lease_until timestamp with time zone, -- end of the claim unless renewed [technical]
  claimed_by text, -- last worker that claimed it [technical]
  settled_at timestamp with time zone, -- when it was finished or set aside [technical]
  reason text, -- why it ended as it did, never content [technical]
  replayed_at timestamp with time zone, -- when somebody had it tried anew [technical]
  signal text, -- what whoever holds the claim should know: stop, withdraw [technical]
  CHECK (((state = 'claimed'::text) = ((claim_token IS NOT NULL) AND (lease_until IS NOT NULL)))),
  CHECK (((state = ANY (ARRAY['done'::text, 'set_aside'::text])) = (settled_at IS NOT NULL))),
  CHECK ((length(event_key) <= 255)),
  CHECK ((kind = ANY (ARRAY['message'::text, 'mention'::text, 'interaction'::text, 'lifecycle'::text, 'stop'::text, 'delete'::text, 'document'::text]))) NOT VALID,
  CHECK ((length(lane) <= 255)),
  CHECK ((signal = ANY (ARRAY['stop'::text, 'withdraw'::text]))),
  CHECK ((state = ANY (ARRAY['queued'::text, 'ready'::text, 'held'::text, 'claimed'::text, 'done'::text, 'set_aside'::text]))) NOT VALID,
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id),
) with (autovacuum_vacuum_scale_factor=0.02, autovacuum_analyze_scale_factor=0.05);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX inbox_claimed ON enablebot.inbox USING btree (tenant_id, lease_until) WHERE (state = 'claimed'::text);
CREATE INDEX inbox_documents ON enablebot.inbox USING btree (tenant_id, available_at, id) WHERE ((state = 'ready'::text) AND (kind = 'document'::text));
CREATE INDEX inbox_held ON enablebot.inbox USING btree (tenant_id, id) WHERE (state = 'held'::text);
CREATE INDEX inbox_leases ON enablebot.inbox USING btree (lease_until) WHERE (state = 'claimed'::text);
CREATE INDEX inbox_queued ON enablebot.inbox USING btree (tenant_id, lane, id) WHERE (state = 'queued'::text);
CREATE INDEX inbox_ready ON enablebot.inbox USING btree (tenant_id, available_at, id) WHERE ((state = 'ready'::text) AND (kind <> ALL (ARRAY['stop'::text, 'delete'::text, 'lifecycle'::text, 'document'::text])));
CREATE INDEX inbox_set_aside ON enablebot.inbox USING btree (tenant_id, id) WHERE (state = 'set_aside'::text);
CREATE INDEX inbox_settled ON enablebot.inbox USING btree (settled_at) WHERE (settled_at IS NOT NULL);
CREATE INDEX inbox_urgent ON enablebot.inbox USING btree (tenant_id, available_at, id) WHERE ((state = 'ready'::text) AND (kind = ANY (ARRAY['stop'::text, 'delete'::text, 'lifecycle'::text])));
create policy router_delete on enablebot.inbox for delete to enablebot_router using ((settled_at IS NOT NULL));
create policy router_select on enablebot.inbox for select to enablebot_router using (true);
create policy router_update on enablebot.inbox for update to enablebot_router using ((state = 'ready'::text)) with check ((state = 'claimed'::text));
create policy tenant_delete on enablebot.inbox for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.inbox for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.inbox for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.inbox for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
CREATE TRIGGER bodies_go_with_their_events AFTER DELETE ON enablebot.inbox REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION enablebot.inner_drop_bodies();
grant delete, insert, references, select, update on enablebot.inbox to enablebot_owner;
grant delete, select, update (attempts), update (claim_token), update (claimed_by), update (lease_until), update (state) on enablebot.inbox to enablebot_router;

-- What Slack granted, with sealed tokens while it lasts
create table enablebot.installations (
  tenant_id uuid not null, -- tenant [technical]
  id uuid not null, -- installation [technical]
  enterprise_id text, -- Slack organisation [technical]
  team_id text, -- Slack workspace, null when org-wide [technical]
  is_org_wide boolean not null, -- shared by an organisation's workspaces [technical]
  app_id text not null, -- Slack app [technical]
  bot_user_id text not null, -- the bot's user [technical]
  bot_id text, -- the bot [technical]
  scopes text[] not null, -- scopes granted [technical]
  installed_by text, -- Slack user who installed [personal]
  installed_at timestamp with time zone not null default now(), -- when it was saved [technical]
  status text not null, -- active, replaced, ended [technical]
  bot_token bytea, -- sealed bot token [secret]
  refresh_token bytea, -- sealed refresh token [secret]
  token_expires_at timestamp with time zone, -- when the bot token runs out [technical]
  ended_at timestamp with time zone, -- when it was replaced or ended [technical]
  ended_reason text, -- why [technical]
  data_key_id uuid not null, -- key that seals the tokens [technical]
  CHECK (((status = 'active'::text) OR ((bot_token IS NULL) AND (refresh_token IS NULL)))),
  CHECK (((status <> 'active'::text) OR (bot_token IS NOT NULL))),
  CHECK ((status = ANY (ARRAY['active'::text, 'replaced'::text, 'ended'::text]))),
  FOREIGN KEY (tenant_id, data_key_id) REFERENCES enablebot.data_keys(tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE UNIQUE INDEX installations_active ON enablebot.installations USING btree (tenant_id) WHERE (status = 'active'::text);
create policy tenant_delete on enablebot.installations for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.installations for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.installations for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.installations for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.installations to enablebot_owner;

-- Conversations the bot is part of: a row is there as soon as it is
create table enablebot.lanes (
  tenant_id uuid not null, -- tenant [technical]
  lane text collate C not null, -- conversation, channel:thread [technical]
  live integer not null, -- events not finished yet; one runs, the others are queued [technical]
  last_at timestamp with time zone not null default now(), -- last event [technical]
  CHECK ((length(lane) <= 255)),
  CHECK ((live >= 0)),
  PRIMARY KEY (tenant_id, lane),
) with (fillfactor=80);
-- owner enablebot_owner; row-level security enabled and forced
create policy tenant_delete on enablebot.lanes for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.lanes for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.lanes for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.lanes for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.lanes to enablebot_owner;

-- Turns of a conversation, sealed
create table enablebot.messages (
  tenant_id uuid not null, -- tenant [technical]
  id uuid not null, -- message [technical]
  conversation_id uuid not null, -- conversation [technical]
  seq bigint not null generated as identity, -- order [technical]
  role text not null, -- person or assistant [technical]
  author text, -- Slack user who wrote it [personal]
  ts text, -- Slack's timestamp of it [technical]
  body bytea storage external not null, -- sealed text, place messages/body/id [content]
  data_key_id uuid not null, -- key that seals it [technical]
  created_at timestamp with time zone not null default now(), -- when it was stored [technical]
  CHECK ((role = ANY (ARRAY['person'::text, 'assistant'::text]))),
  FOREIGN KEY (tenant_id, conversation_id) REFERENCES enablebot.conversations(tenant_id, id),
  PRIMARY KEY (tenant_id, id),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX messages_in_order ON enablebot.messages USING btree (tenant_id, conversation_id, seq);
create policy tenant_delete on enablebot.messages for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.messages for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.messages for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.messages for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.messages to enablebot_owner;

-- OAuth round trips under way; one use each
create table enablebot.oauth_states (
  state_hash bytea not null, -- SHA-256 of the state [secret]
  browser_hash bytea not null, -- SHA-256 of the browser's cookie [secret]
  purpose text not null, -- install or sign-in [technical]
  return_to text, -- page to go back to [technical]
  created_at timestamp with time zone not null default now(), -- when it began [technical]
  expires_at timestamp with time zone not null, -- when it stops working [technical]
  PRIMARY KEY (state_hash),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX oauth_states_by_expiry ON enablebot.oauth_states USING btree (expires_at);
create policy router_delete on enablebot.oauth_states for delete to enablebot_router using (true);
create policy router_insert on enablebot.oauth_states for insert to enablebot_router with check (true);
create policy router_select on enablebot.oauth_states for select to enablebot_router using (true);
grant delete, insert, references, select, update on enablebot.oauth_states to enablebot_owner;
grant delete, insert, select on enablebot.oauth_states to enablebot_router;

-- What a passage means, as an embedding model sees it
create table enablebot.passage_vectors (
  tenant_id uuid not null, -- tenant [technical]
  passage_id bigint not null, -- passage [technical]
  model text collate C not null, -- which model, and how many dimensions [technical]
  vector extensions.halfvec storage main not null, -- the vector, of length one [personal]
  CHECK (((length(model) >= 1) AND (length(model) <= 200))),
  FOREIGN KEY (tenant_id, passage_id) REFERENCES enablebot.passages(tenant_id, id) ON DELETE CASCADE,
  PRIMARY KEY (tenant_id, passage_id),
);
-- owner enablebot_owner; row-level security enabled and forced
create policy searcher_select on enablebot.passage_vectors for select to enablebot_searcher using (true);
create policy tenant_delete on enablebot.passage_vectors for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.passage_vectors for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.passage_vectors for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.passage_vectors for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.passage_vectors to enablebot_owner;
grant select on enablebot.passage_vectors to enablebot_searcher;

-- What documents are found by: their text in pieces, each with its terms
create table enablebot.passages (
  tenant_id uuid not null, -- tenant [technical]
  id bigint not null generated as identity, -- passage [technical]
  document_id uuid not null, -- document [technical]
  version integer not null, -- version of the document [technical]
  position integer not null, -- place in the document's order, from 0 [technical]
  text text not null, -- its text, in the clear: erased by deletion [personal]
  heading jsonb not null, -- headings above it, outermost first [personal]
  place jsonb not null, -- page, slide, sheet, rows or line [technical]
  tokens integer not null, -- length as a model counts it, roughly [technical]
  term_ids integer[] storage main not null, -- numbers of its terms, keyed by workspace [personal]
  weights extensions.sparsevec(1000000000) storage main not null, -- BM25 of each term but for its rarity [personal]
  CHECK ((jsonb_typeof(heading) = 'array'::text)),
  CHECK ((jsonb_typeof(place) = 'object'::text)),
  CHECK (("position" >= 0)),
  FOREIGN KEY (tenant_id, document_id) REFERENCES enablebot.documents(tenant_id, id),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, document_id, version, "position"),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX passages_by_term ON enablebot.passages USING gin (term_ids) WITH (fastupdate=off);
create policy searcher_select on enablebot.passages for select to enablebot_searcher using (true);
create policy tenant_delete on enablebot.passages for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.passages for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.passages for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.passages for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.passages to enablebot_owner;
grant select (document_id), select (id), select (tenant_id), select (term_ids), select (version), select (weights) on enablebot.passages to enablebot_searcher;

-- Messages in Slack that carry an answer: intent before the call, outcome after
create table enablebot.replies (
  tenant_id uuid not null, -- tenant [technical]
  answer_id uuid not null, -- answer [technical]
  part integer not null, -- place in the answer [technical]
  mode text not null, -- stream or post [technical]
  state text not null, -- intended, open, closed, ambiguous [technical]
  ts text collate C, -- Slack's timestamp of it, once known [technical]
  intended_at timestamp with time zone not null default clock_timestamp(), -- before the call [technical]
  recorded_at timestamp with time zone, -- after it [technical]
  CHECK ((mode = ANY (ARRAY['stream'::text, 'post'::text]))),
  CHECK ((part >= 0)),
  CHECK ((state = ANY (ARRAY['intended'::text, 'open'::text, 'closed'::text, 'ambiguous'::text]))),
  FOREIGN KEY (tenant_id, answer_id) REFERENCES enablebot.answers(tenant_id, id),
  PRIMARY KEY (tenant_id, answer_id, part),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX replies_by_ts ON enablebot.replies USING btree (tenant_id, ts) WHERE (ts IS NOT NULL);
CREATE INDEX replies_unknown ON enablebot.replies USING btree (tenant_id, intended_at) WHERE ((state = 'intended'::text) AND (ts IS NULL));
create policy tenant_delete on enablebot.replies for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.replies for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.replies for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.replies for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.replies to enablebot_owner;

-- Function files as last applied
create table enablebot.schema_functions (
  name text collate C not null, -- file name [technical]
  checksum text not null, -- SHA-256 of the file as applied [technical]
  applied_at timestamp with time zone not null default now(), -- when it was applied last [technical]
  PRIMARY KEY (name),
);
-- owner enablebot_owner; row-level security enabled and forced
create policy migrations_insert on enablebot.schema_functions for insert to enablebot_owner with check (true);
create policy migrations_select on enablebot.schema_functions for select to enablebot_owner using (true);
create policy migrations_update on enablebot.schema_functions for update to enablebot_owner using (true) with check (true);
grant delete, insert, references, select, update on enablebot.schema_functions to enablebot_owner;

-- Migrations that ran, in order, once
create table enablebot.schema_migrations (
  version integer not null, -- number at the head of the file's name [technical]
  name text not null, -- file name [technical]
  checksum text not null, -- SHA-256 of the file as it ran [technical]
  applied_at timestamp with time zone not null default now(), -- when it ran [technical]
  PRIMARY KEY (version),
);
-- owner enablebot_owner; row-level security enabled and forced
create policy migrations_insert on enablebot.schema_migrations for insert to enablebot_owner with check (true);
create policy migrations_select on enablebot.schema_migrations for select to enablebot_owner using (true);
grant delete, insert, references, select, update on enablebot.schema_migrations to enablebot_owner;

-- People signed in to the dashboard
create table enablebot.sessions (
  tenant_id uuid not null, -- tenant [technical]
  id_hash bytea not null, -- SHA-256 of the cookie [secret]
  user_id text not null, -- Slack user [personal]
  role text not null, -- what the person may do [technical]
  idle_seconds integer not null, -- how long it lives unused [technical]
  created_at timestamp with time zone not null default now(), -- sign-in [personal]
  last_seen_at timestamp with time zone not null default now(), -- last use, to the minute [personal]
  idle_expires_at timestamp with time zone not null, -- end if unused [technical]
  expires_at timestamp with time zone not null, -- end in any case [technical]
  CHECK ((idle_seconds > 0)),
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id_hash),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX sessions_by_expiry ON enablebot.sessions USING btree (idle_expires_at);
CREATE INDEX sessions_by_hash ON enablebot.sessions USING btree (id_hash);
create policy router_delete on enablebot.sessions for delete to enablebot_router using (true);
create policy router_select on enablebot.sessions for select to enablebot_router using (true);
create policy router_update on enablebot.sessions for update to enablebot_router using (true) with check (true);
create policy tenant_delete on enablebot.sessions for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.sessions for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.sessions for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.sessions for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.sessions to enablebot_owner;
grant delete, select, update (idle_expires_at), update (last_seen_at) on enablebot.sessions to enablebot_router;

-- One workspace's world, or an organisation as the holder of an org-wide credential
create table enablebot.tenants (
  id uuid not null, -- tenant [technical]
  kind text not null, -- workspace or organisation [technical]
  team_id text collate C, -- Slack workspace [technical]
  enterprise_id text collate C, -- Slack organisation [technical]
  name text not null, -- the name people gave it [personal]
  status text not null, -- active, paused, uninstalled [technical]
  credential_tenant_id uuid, -- organisation whose installation it uses, null for its own [technical]
  app_id text, -- copy of the active installation's, for routing [technical]
  bot_user_id text, -- copy of the active installation's, for routing [technical]
  installed_at timestamp with time zone, -- copy of the active installation's, for routing [technical]
  created_at timestamp with time zone not null default now(), -- first seen [technical]
  CHECK (
CASE kind
    WHEN 'workspace'::text THEN (team_id IS NOT NULL)
    ELSE ((team_id IS NULL) AND (enterprise_id IS NOT NULL))
END),
  CHECK ((credential_tenant_id <> id)),
  CHECK ((length(enterprise_id) <= 64)),
  CHECK ((kind = ANY (ARRAY['workspace'::text, 'organisation'::text]))),
  CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'uninstalled'::text]))),
  CHECK ((length(team_id) <= 64)),
  FOREIGN KEY (credential_tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (id),
);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX tenants_by_credential ON enablebot.tenants USING btree (credential_tenant_id) WHERE (credential_tenant_id IS NOT NULL);
CREATE UNIQUE INDEX tenants_by_organisation ON enablebot.tenants USING btree (enterprise_id) WHERE (kind = 'organisation'::text);
CREATE UNIQUE INDEX tenants_by_team ON enablebot.tenants USING btree (team_id) WHERE (kind = 'workspace'::text);
CREATE INDEX tenants_paused ON enablebot.tenants USING btree (id) WHERE (status = 'paused'::text);
create policy router_select on enablebot.tenants for select to enablebot_router using (true);
create policy tenant_delete on enablebot.tenants for delete to enablebot_owner using ((id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.tenants for insert to enablebot_owner with check ((id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.tenants for select to enablebot_owner using ((id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.tenants for update to enablebot_owner using ((id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.tenants to enablebot_owner;
grant select on enablebot.tenants to enablebot_router;

-- In how many of a workspace's passages a term is: what makes it rare
create table enablebot.terms (
  tenant_id uuid not null, -- tenant [technical]
  term_id integer not null, -- number of the term, keyed by workspace [technical]
  df integer not null, -- passages that have it, staged ones too [technical]
  CHECK ((df > 0)),
  PRIMARY KEY (tenant_id, term_id),
) with (fillfactor=70);
-- owner enablebot_owner; row-level security enabled and forced
create policy searcher_select on enablebot.terms for select to enablebot_searcher using (true);
create policy tenant_delete on enablebot.terms for delete to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_insert on enablebot.terms for insert to enablebot_owner with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_select on enablebot.terms for select to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
create policy tenant_update on enablebot.terms for update to enablebot_owner using ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[]))) with check ((tenant_id = ANY (( SELECT enablebot.tenants() AS tenants)::uuid[])));
grant delete, insert, references, select, update on enablebot.terms to enablebot_owner;
grant select on enablebot.terms to enablebot_searcher;

create function enablebot.accept_events(p_tenant_ids uuid[], p_event_keys text[], p_message_keys text[], p_lanes text[], p_kinds text[], p_joins boolean[], p_bodies bytea[], p_data_key_ids uuid[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, plan_cache_mode=force_generic_plan;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.add_document_piece(p_tenant_id uuid, p_document_id uuid, p_version integer, p_piece integer, p_sealed text, p_data_key_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.add_vectors(p_tenant_id uuid, p_model text, p_passage_ids bigint[], p_vectors text[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.append_audit(p_tenant_id uuid, p_actor text, p_action text, p_object text, p_outcome text, p_detail bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.begin_api_request(p_tenant_id uuid, p_api_key_id uuid, p_name_hash bytea, p_token uuid, p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.begin_document(p_tenant_id uuid, p_id uuid, p_name text, p_title text, p_format text, p_size_bytes integer, p_content_hash bytea, p_source text, p_added_by text, p_channels text[], p_lane text, p_most_documents integer, p_most_bytes bigint) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.begin_oauth(p_state_hash bytea, p_browser_hash bytea, p_purpose text, p_return_to text, p_lifetime_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
create function enablebot.begin_reading(p_tenant_id uuid, p_document_id uuid, p_version integer, p_event_id bigint, p_claim_token uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.bind_document(p_tenant_id uuid, p_id uuid, p_channels text[], p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.claim_documents(p_worker text, p_limit integer, p_tenant_cap integer, p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.claim_events(p_worker text, p_after_tenant uuid, p_limit integer, p_tenant_cap integer, p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.claim_urgent_events(p_worker text, p_limit integer, p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.consume_oauth_state(p_state_hash bytea, p_browser_hash bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
create function enablebot.count_passages_without_vectors(p_model text, p_limit integer) returns jsonb
  language plpgsql stable security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_searcher; executable by enablebot_api, enablebot_web
create function enablebot.create_api_key(p_tenant_id uuid, p_id uuid, p_key_hash bytea, p_name text, p_scopes text[], p_expires_at timestamp with time zone, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_web
create function enablebot.delete_document(p_tenant_id uuid, p_id uuid, p_undo_seconds integer, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.end_installation(p_tenant_id uuid, p_event_time timestamp with time zone, p_reason text, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.end_session(p_session_hash bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
create function enablebot.fail_document(p_tenant_id uuid, p_document_id uuid, p_version integer, p_event_id bigint, p_claim_token uuid, p_reason text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.find_api_key(p_key_hash bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.find_route(p_enterprise_id text, p_team_id text, p_is_org_wide boolean) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api, enablebot_web
create function enablebot.find_route_of_tenant(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api, enablebot_web
create function enablebot.find_session(p_session_hash bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
create function enablebot.finish_answer(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_state text, p_reason text, p_text bytea, p_message_id uuid, p_data_key_id uuid, p_model text, p_input_tokens integer, p_output_tokens integer, p_latency_ms integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.finish_api_request(p_tenant_id uuid, p_api_key_id uuid, p_name_hash bytea, p_token uuid, p_fingerprint bytea, p_status integer, p_response bytea, p_data_key_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.get_document(p_tenant_id uuid, p_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.get_inbox_depth() returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_router; executable by enablebot_api, enablebot_web
create function enablebot.get_installation(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.get_master_key_use() returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api, enablebot_web
create function enablebot.get_overview(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.give_up_api_request(p_tenant_id uuid, p_api_key_id uuid, p_name_hash bytea, p_token uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.inner_adopt_credential(p_tenant_id uuid, p_credential_tenant_id uuid, p_enterprise_id text) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_append_audit(p_tenant_id uuid, p_actor text, p_action text, p_object text, p_outcome text, p_detail bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_audit_hash(p_tenant_id uuid, p_seq bigint, p_at timestamp with time zone, p_actor text, p_action text, p_object text, p_outcome text, p_detail bytea, p_previous_hash bytea) returns bytea
  language sql stable security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_count_data_keys() returns record
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_count_terms(p_tenant_id uuid, p_term_ids integer[], p_passages integer) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_data_key(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_describe(p_tenant_ids uuid[], p_ids bigint[], p_event_keys text[], p_kinds text[], p_lanes text[], p_attempts integer[], p_received_at timestamp with time zone[], p_tokens uuid[], p_lease_until timestamp with time zone, p_were_lost boolean[], p_waited double precision[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_discount_terms(p_tenant_id uuid, p_term_ids integer[], p_passages integer) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_document(p_tenant_id uuid, p_id uuid) returns jsonb
  language plpgsql stable security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_drop_bodies() returns trigger
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_drop_older(p_tenant_id uuid, p_document_id uuid, p_version integer, p_live integer) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_drop_passages(p_tenant_id uuid, p_document_id uuid, p_version integer) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_drop_version(p_tenant_id uuid, p_document_id uuid, p_version integer) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_drop_waiting(p_tenant_ids uuid[], p_reason text) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_enter_document_lane(p_tenant_id uuid, p_document_id uuid) returns integer
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_erase_document(p_tenant_id uuid, p_id uuid, p_must_be_due boolean) returns integer[]
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_fail_document(p_tenant_id uuid, p_document_id uuid, p_version integer, p_reason text) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_fail_documents(p_tenant_ids uuid[], p_event_keys text[], p_reason text) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_find_bytes(p_tenant_id uuid, p_lane text, p_content_hash bytea, p_document_id uuid, OUT o_document_id uuid, OUT o_version integer, OUT o_status text) returns record
  language plpgsql stable security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_find_documents(p_limit integer, p_tenant_cap integer) returns tid[]
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_router; executable by nobody else
create function enablebot.inner_find_urgent(p_limit integer) returns tid[]
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_router; executable by nobody else
create function enablebot.inner_hold_claim(p_tenant_id uuid, p_event_id bigint, p_claim_token uuid) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_hold_claimed_version(p_tenant_id uuid, p_document_id uuid, p_version integer, p_event_id bigint, p_claim_token uuid) returns boolean
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_hold_version(p_tenant_id uuid, p_document_id uuid, p_version integer, p_event_id bigint, p_claim_token uuid) returns boolean
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_hold_waiting(p_tenant_ids uuid[], p_credential_ids uuid[]) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_insert_tenant(p_tenant_id uuid, p_kind text, p_team_id text, p_enterprise_id text, p_name text, p_credential_tenant_id uuid, p_data_key_id uuid, p_master_key_id text, p_wrapped bytea) returns boolean
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_is_awaited(p_tenant_id uuid, p_event_ids bigint[], p_states text[]) returns boolean
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_is_wanted(p_tenant_id uuid, p_document_id uuid, p_version integer) returns boolean
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_leave_document_lane(p_tenant_id uuid, p_document_id uuid) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_lock_question(p_tenant_id uuid, p_channel text, p_question_ts text) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_own_answer(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_queue_version(p_tenant_id uuid, p_document_id uuid, p_version integer, p_live integer) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_rank_meaning(p_tenant_id uuid, p_model text, p_question extensions.halfvec, p_limit integer) returns record
  language plpgsql stable security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, plan_cache_mode=force_generic_plan;
  -- owner enablebot_searcher; executable by enablebot_owner
create function enablebot.inner_rank_words(p_tenant_id uuid, p_rarest integer[], p_question extensions.sparsevec, p_limit integer) returns record
  language plpgsql stable security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, plan_cache_mode=force_generic_plan;
  -- owner enablebot_searcher; executable by enablebot_owner
create function enablebot.inner_requeue_document(p_tenant_id uuid, p_document_id uuid, p_version integer) returns boolean
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_rescue(p_tenant_ids uuid[], p_ids bigint[]) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_rescue_lost() returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_router; executable by nobody else
create function enablebot.inner_resume(p_tenant_ids uuid[]) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_route(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by nobody else
create function enablebot.inner_running(p_tenant_id uuid) returns bigint[]
  language plpgsql stable security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_scopes(p_tenant_id uuid) returns text[]
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_settle(p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_delays double precision[]) returns bigint[]
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_tenants_sharing(p_tenant_id uuid) returns uuid[]
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_owner
create function enablebot.inner_weigh_question(p_tenant_id uuid, p_term_ids integer[], p_counts double precision[], p_is_capped boolean, OUT o_question extensions.sparsevec, OUT o_rarest integer[], OUT o_is_all boolean) returns record
  language plpgsql stable security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_write_claimed(p_rows tid[], p_worker text, p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_indexscan=off, enable_indexonlyscan=off, enable_bitmapscan=off, enable_hashjoin=off, enable_mergejoin=off;
  -- owner enablebot_router; executable by nobody else
create function enablebot.inner_write_ended(p_bodies tid[], p_lanes tid[], OUT o_tenant_ids uuid[], OUT o_lanes text[]) returns record
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_indexscan=off, enable_indexonlyscan=off, enable_bitmapscan=off, enable_hashjoin=off, enable_mergejoin=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_write_lease(p_rows tid[], p_lease_seconds integer) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_indexscan=off, enable_indexonlyscan=off, enable_bitmapscan=off, enable_hashjoin=off, enable_mergejoin=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_write_ready(p_rows tid[]) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_indexscan=off, enable_indexonlyscan=off, enable_bitmapscan=off, enable_hashjoin=off, enable_mergejoin=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_write_settled(p_rows tid[], p_outcomes text[], p_reasons text[], p_delays double precision[]) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_indexscan=off, enable_indexonlyscan=off, enable_bitmapscan=off, enable_hashjoin=off, enable_mergejoin=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.intend_reply(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_part integer, p_mode text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.list_api_keys(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_web
create function enablebot.list_deleted_documents(p_tenant_id uuid, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.list_document_versions(p_tenant_id uuid, p_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.list_documents(p_tenant_id uuid, p_after text, p_limit integer, p_contains text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.list_documents_to_purge(p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.list_passages_without_vectors(p_tenant_id uuid, p_model text, p_document_id uuid, p_version integer, p_after bigint, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.list_set_aside(p_tenant_id uuid, p_after_id bigint, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_router; executable by enablebot_api, enablebot_web
create function enablebot.list_tenants(p_after uuid, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
create function enablebot.login_strength() returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.note_own_messages(p_tenant_ids uuid[], p_channels text[], p_threads text[], p_ts text[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.note_progress(p_tenant_id uuid, p_document_id uuid, p_version integer, p_event_id bigint, p_claim_token uuid, p_progress integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.open_answer(p_tenant_id uuid, p_event_id bigint, p_claim_token uuid, p_answer_id uuid, p_conversation_id uuid, p_lane text, p_channel text, p_thread_ts text, p_question_ts text, p_asker text, p_message_id uuid, p_message bytea, p_data_key_id uuid, p_history integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.pause_installation(p_tenant_id uuid, p_installed_at timestamp with time zone, p_reason text, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.prune(p_dedupe_days integer, p_done_days integer, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.prune_api_requests(p_hours integer, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.publish_document(p_tenant_id uuid, p_document_id uuid, p_version integer, p_event_id bigint, p_claim_token uuid, p_pages integer, p_title text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.purge_document(p_tenant_id uuid, p_document_id uuid, p_version integer, p_originals_gone boolean) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.queue_document(p_tenant_id uuid, p_document_id uuid, p_version integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.read_document_piece(p_tenant_id uuid, p_document_id uuid, p_version integer, p_piece integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.read_passages(p_tenant_id uuid, p_document_id uuid, p_after_position integer, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.read_signals(p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.record_reply(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_part integer, p_state text, p_ts text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.refuse_audit_change() returns trigger
  language plpgsql volatile security invoker set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.register_tenant(p_tenant_id uuid, p_kind text, p_team_id text, p_enterprise_id text, p_name text, p_credential_tenant_id uuid, p_data_key_id uuid, p_master_key_id text, p_wrapped bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api, enablebot_web
create function enablebot.reindex_document(p_tenant_id uuid, p_id uuid, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.renew_leases(p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.replay_event(p_tenant_id uuid, p_id bigint, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.restore_document(p_tenant_id uuid, p_id uuid, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.revoke_api_key(p_tenant_id uuid, p_id uuid, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_web
create function enablebot.save_draft(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_text bytea, p_data_key_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.save_installation(p_tenant_id uuid, p_installation_id uuid, p_enterprise_id text, p_team_id text, p_is_org_wide boolean, p_app_id text, p_bot_user_id text, p_bot_id text, p_scopes text[], p_installed_by text, p_bot_token bytea, p_refresh_token bytea, p_token_expires_at timestamp with time zone, p_data_key_id uuid, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.schema_version(p_functions text[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.search_passages(p_tenant_id uuid, p_channel text, p_lane text, p_term_ids integer[], p_counts double precision[], p_limit integer, p_model text, p_vector text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.settle_events(p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_delays double precision[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.signal_answers(p_tenant_id uuid, p_channel text, p_thread_ts text, p_signal text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.stage_passages(p_tenant_id uuid, p_document_id uuid, p_version integer, p_event_id bigint, p_claim_token uuid, p_positions integer[], p_texts text[], p_headings text[], p_places text[], p_tokens integer[], p_term_ids text[], p_weights text[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.start_session(p_tenant_id uuid, p_session_hash bytea, p_user_id text, p_role text, p_idle_seconds integer, p_absolute_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_web
create function enablebot.tenants() returns uuid[]
  language sql stable security invoker set nothing;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.verify_audit(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.withdraw_question(p_tenant_id uuid, p_channel text, p_question_ts text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.work_for(p_tenants uuid[]) returns void
  language plpgsql volatile security invoker set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router

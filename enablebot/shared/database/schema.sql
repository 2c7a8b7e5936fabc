-- The schema as the migrations leave it. Generated; read it, change the migrations instead.
-- To draw it anew: REDRAW=1 python -m pytest enablebot/tests/shared/test_database_catalogue.py -k picture

create role enablebot_api nologin;
create role enablebot_owner nologin;
create role enablebot_router nologin;
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
  kind text not null, -- message, mention, interaction, lifecycle, stop, delete [technical]
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
  CHECK ((kind = ANY (ARRAY['message'::text, 'mention'::text, 'interaction'::text, 'lifecycle'::text, 'stop'::text, 'delete'::text]))) NOT VALID,
  CHECK ((length(lane) <= 255)),
  CHECK ((signal = ANY (ARRAY['stop'::text, 'withdraw'::text]))),
  CHECK ((state = ANY (ARRAY['queued'::text, 'ready'::text, 'held'::text, 'claimed'::text, 'done'::text, 'set_aside'::text]))) NOT VALID,
  FOREIGN KEY (tenant_id) REFERENCES enablebot.tenants(id),
  PRIMARY KEY (tenant_id, id),
) with (autovacuum_vacuum_scale_factor=0.02, autovacuum_analyze_scale_factor=0.05);
-- owner enablebot_owner; row-level security enabled and forced
CREATE INDEX inbox_claimed ON enablebot.inbox USING btree (tenant_id, lease_until) WHERE (state = 'claimed'::text);
CREATE INDEX inbox_held ON enablebot.inbox USING btree (tenant_id, id) WHERE (state = 'held'::text);
CREATE INDEX inbox_leases ON enablebot.inbox USING btree (lease_until) WHERE (state = 'claimed'::text);
CREATE INDEX inbox_queued ON enablebot.inbox USING btree (tenant_id, lane, id) WHERE (state = 'queued'::text);
CREATE INDEX inbox_ready ON enablebot.inbox USING btree (tenant_id, available_at, id) WHERE ((state = 'ready'::text) AND (kind <> ALL (ARRAY['stop'::text, 'delete'::text, 'lifecycle'::text])));
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

create function enablebot.accept_events(p_tenant_ids uuid[], p_event_keys text[], p_message_keys text[], p_lanes text[], p_kinds text[], p_joins boolean[], p_bodies bytea[], p_data_key_ids uuid[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, plan_cache_mode=force_generic_plan;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.append_audit(p_tenant_id uuid, p_actor text, p_action text, p_object text, p_outcome text, p_detail bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.begin_oauth(p_state_hash bytea, p_browser_hash bytea, p_purpose text, p_return_to text, p_lifetime_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
create function enablebot.claim_events(p_worker text, p_after_tenant uuid, p_limit integer, p_tenant_cap integer, p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.claim_urgent_events(p_worker text, p_limit integer, p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_router; executable by enablebot_api
create function enablebot.consume_oauth_state(p_state_hash bytea, p_browser_hash bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
create function enablebot.end_installation(p_tenant_id uuid, p_event_time timestamp with time zone, p_reason text, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.end_session(p_session_hash bytea) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_web
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
create function enablebot.inner_data_key(p_tenant_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_describe(p_tenant_ids uuid[], p_ids bigint[], p_event_keys text[], p_kinds text[], p_lanes text[], p_attempts integer[], p_received_at timestamp with time zone[], p_tokens uuid[], p_lease_until timestamp with time zone, p_were_lost boolean[], p_waited double precision[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_drop_bodies() returns trigger
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_drop_waiting(p_tenant_ids uuid[], p_reason text) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_find_urgent(p_limit integer) returns tid[]
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_router; executable by nobody else
create function enablebot.inner_hold_claim(p_tenant_id uuid, p_event_id bigint, p_claim_token uuid) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_hold_waiting(p_tenant_ids uuid[], p_credential_ids uuid[]) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off, enable_sort=off, enable_incremental_sort=off;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_insert_tenant(p_tenant_id uuid, p_kind text, p_team_id text, p_enterprise_id text, p_name text, p_credential_tenant_id uuid, p_data_key_id uuid, p_master_key_id text, p_wrapped bytea) returns boolean
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_router
create function enablebot.inner_lock_question(p_tenant_id uuid, p_channel text, p_question_ts text) returns void
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by nobody else
create function enablebot.inner_own_answer(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint) returns void
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
create function enablebot.open_answer(p_tenant_id uuid, p_event_id bigint, p_claim_token uuid, p_answer_id uuid, p_conversation_id uuid, p_lane text, p_channel text, p_thread_ts text, p_question_ts text, p_asker text, p_message_id uuid, p_message bytea, p_data_key_id uuid, p_history integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.pause_installation(p_tenant_id uuid, p_installed_at timestamp with time zone, p_reason text, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.prune(p_dedupe_days integer, p_done_days integer, p_limit integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_router; executable by enablebot_api
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
create function enablebot.renew_leases(p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_lease_seconds integer) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.replay_event(p_tenant_id uuid, p_id bigint, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.save_draft(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_text bytea, p_data_key_id uuid) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.save_installation(p_tenant_id uuid, p_installation_id uuid, p_enterprise_id text, p_team_id text, p_is_org_wide boolean, p_app_id text, p_bot_user_id text, p_bot_id text, p_scopes text[], p_installed_by text, p_bot_token bytea, p_refresh_token bytea, p_token_expires_at timestamp with time zone, p_data_key_id uuid, p_actor text) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.schema_version(p_functions text[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp;
  -- owner enablebot_owner; executable by enablebot_api, enablebot_web
create function enablebot.settle_events(p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_delays double precision[]) returns jsonb
  language plpgsql volatile security definer set search_path=pg_catalog, enablebot, pg_temp, enable_seqscan=off;
  -- owner enablebot_owner; executable by enablebot_api
create function enablebot.signal_answers(p_tenant_id uuid, p_channel text, p_thread_ts text, p_signal text) returns jsonb
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

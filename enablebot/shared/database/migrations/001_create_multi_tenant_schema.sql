-- Roles, schema and tables. The wall around them is raised by 002; nobody is granted anything before.
-- Runs as a role like Supabase's `postgres`: CREATEROLE, not superuser.
-- Every column's comment ends in its data class: [secret] [content] [personal] [technical].

-- Roles belong to the whole cluster, so another database's migration may create or grant them at the same moment.
do $$
declare
  v_role text;
  v_attempt int;
begin
  foreach v_role in array array['enablebot_owner', 'enablebot_router', 'enablebot_api', 'enablebot_web'] loop
    for v_attempt in 1..20 loop
      begin
        if to_regrole(v_role) is null then
          execute format('create role %I nologin', v_role);
        end if;
        -- Handing over tables and functions needs membership with its privileges inherited. Creating a role gives only
        -- the right to grant it (PostgreSQL 16 and later) or nothing (15).
        if v_role in ('enablebot_owner', 'enablebot_router') and not pg_has_role(current_user, v_role, 'usage') then
          execute format('grant %I to current_user', v_role);
        end if;
        exit;
      exception
        -- XX000 is "tuple concurrently updated": two grants met on the same row.
        when duplicate_object or unique_violation or internal_error then
          if v_attempt = 20 then
            raise;
          end if;
          perform pg_sleep(0.05);
      end;
    end loop;
  end loop;
end
$$;

create schema if not exists enablebot authorization enablebot_owner;
comment on schema enablebot is 'EnableBot: reached through its functions only';

-- A new function is executable by everyone until revoked; for these owners it never is.
alter default privileges for role enablebot_owner revoke execute on functions from public;
alter default privileges for role enablebot_router revoke execute on functions from public;

set local role enablebot_owner;

grant usage on schema enablebot to enablebot_router, enablebot_api, enablebot_web;
-- Function files create the router's functions as the router, so that no other owner ever stands in between.
grant create on schema enablebot to enablebot_router;

create table enablebot.schema_migrations (
  version int primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
);
comment on table enablebot.schema_migrations is 'Migrations that ran, in order, once';
comment on column enablebot.schema_migrations.version is 'number at the head of the file''s name [technical]';
comment on column enablebot.schema_migrations.name is 'file name [technical]';
comment on column enablebot.schema_migrations.checksum is 'SHA-256 of the file as it ran [technical]';
comment on column enablebot.schema_migrations.applied_at is 'when it ran [technical]';

create table enablebot.schema_functions (
  name text collate "C" primary key,
  checksum text not null,
  applied_at timestamptz not null default now()
);
comment on table enablebot.schema_functions is 'Function files as last applied';
comment on column enablebot.schema_functions.name is 'file name [technical]';
comment on column enablebot.schema_functions.checksum is 'SHA-256 of the file as applied [technical]';
comment on column enablebot.schema_functions.applied_at is 'when it was applied last [technical]';

create table enablebot.tenants (
  id uuid primary key,
  kind text not null check (kind in ('workspace', 'organisation')),
  team_id text collate "C" check (length(team_id) <= 64),
  enterprise_id text collate "C" check (length(enterprise_id) <= 64),
  name text not null,
  status text not null check (status in ('active', 'paused', 'uninstalled')),
  credential_tenant_id uuid references enablebot.tenants (id),
  app_id text,
  bot_user_id text,
  installed_at timestamptz,
  created_at timestamptz not null default now(),
  check (case kind when 'workspace' then team_id is not null else team_id is null and enterprise_id is not null end),
  check (credential_tenant_id <> id)
);
-- One tenant a workspace and one an organisation, however many installs race: this is the route's key.
create unique index tenants_by_team on enablebot.tenants (team_id) where kind = 'workspace';
create unique index tenants_by_organisation on enablebot.tenants (enterprise_id) where kind = 'organisation';
-- Ending an organisation's installation finds the workspaces that share it without reading all tenants.
create index tenants_by_credential on enablebot.tenants (credential_tenant_id) where credential_tenant_id is not null;
comment on table enablebot.tenants is 'One workspace''s world, or an organisation as the holder of an org-wide credential';
comment on column enablebot.tenants.id is 'tenant [technical]';
comment on column enablebot.tenants.kind is 'workspace or organisation [technical]';
comment on column enablebot.tenants.team_id is 'Slack workspace [technical]';
comment on column enablebot.tenants.enterprise_id is 'Slack organisation [technical]';
comment on column enablebot.tenants.name is 'the name people gave it [personal]';
comment on column enablebot.tenants.status is 'active, paused, uninstalled [technical]';
comment on column enablebot.tenants.credential_tenant_id is 'organisation whose installation it uses, null for its own [technical]';
comment on column enablebot.tenants.app_id is 'copy of the active installation''s, for routing [technical]';
comment on column enablebot.tenants.bot_user_id is 'copy of the active installation''s, for routing [technical]';
comment on column enablebot.tenants.installed_at is 'copy of the active installation''s, for routing [technical]';
comment on column enablebot.tenants.created_at is 'first seen [technical]';

create table enablebot.data_keys (
  tenant_id uuid not null references enablebot.tenants (id),
  id uuid not null,
  master_key_id text not null,
  wrapped bytea not null,
  created_at timestamptz not null default now(),
  destroyed_at timestamptz,
  primary key (tenant_id, id)
);
comment on table enablebot.data_keys is 'A tenant''s own keys, each wrapped by a master key that the database never sees';
comment on column enablebot.data_keys.tenant_id is 'tenant [technical]';
comment on column enablebot.data_keys.id is 'key, named in every sealed value [technical]';
comment on column enablebot.data_keys.master_key_id is 'which of ENCRYPTION_KEYS wraps it [technical]';
comment on column enablebot.data_keys.wrapped is 'the wrapped key [secret]';
comment on column enablebot.data_keys.created_at is 'when it was made [technical]';
comment on column enablebot.data_keys.destroyed_at is 'when it was destroyed [technical]';

create table enablebot.installations (
  tenant_id uuid not null references enablebot.tenants (id),
  id uuid not null,
  enterprise_id text,
  team_id text,
  is_org_wide boolean not null,
  app_id text not null,
  bot_user_id text not null,
  bot_id text,
  scopes text[] not null,
  installed_by text,
  installed_at timestamptz not null default now(),
  status text not null check (status in ('active', 'replaced', 'ended')),
  bot_token bytea,
  refresh_token bytea,
  token_expires_at timestamptz,
  ended_at timestamptz,
  ended_reason text,
  data_key_id uuid not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, data_key_id) references enablebot.data_keys (tenant_id, id),
  -- An installation that is over keeps no token, whatever a function forgets.
  check (status = 'active' or (bot_token is null and refresh_token is null)),
  check (status <> 'active' or bot_token is not null)
);
-- Two installs at once leave one active, so that nobody ever picks between two tokens.
create unique index installations_active on enablebot.installations (tenant_id) where status = 'active';
comment on table enablebot.installations is 'What Slack granted, with sealed tokens while it lasts';
comment on column enablebot.installations.tenant_id is 'tenant [technical]';
comment on column enablebot.installations.id is 'installation [technical]';
comment on column enablebot.installations.enterprise_id is 'Slack organisation [technical]';
comment on column enablebot.installations.team_id is 'Slack workspace, null when org-wide [technical]';
comment on column enablebot.installations.is_org_wide is 'shared by an organisation''s workspaces [technical]';
comment on column enablebot.installations.app_id is 'Slack app [technical]';
comment on column enablebot.installations.bot_user_id is 'the bot''s user [technical]';
comment on column enablebot.installations.bot_id is 'the bot [technical]';
comment on column enablebot.installations.scopes is 'scopes granted [technical]';
comment on column enablebot.installations.installed_by is 'Slack user who installed [personal]';
comment on column enablebot.installations.installed_at is 'when it was saved [technical]';
comment on column enablebot.installations.status is 'active, replaced, ended [technical]';
comment on column enablebot.installations.bot_token is 'sealed bot token [secret]';
comment on column enablebot.installations.refresh_token is 'sealed refresh token [secret]';
comment on column enablebot.installations.token_expires_at is 'when the bot token runs out [technical]';
comment on column enablebot.installations.ended_at is 'when it was replaced or ended [technical]';
comment on column enablebot.installations.ended_reason is 'why [technical]';
comment on column enablebot.installations.data_key_id is 'key that seals the tokens [technical]';

-- Belongs to no tenant: whoever starts an install has none yet.
create table enablebot.oauth_states (
  state_hash bytea primary key,
  browser_hash bytea not null,
  purpose text not null,
  return_to text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
-- Clearing out expired states does not read the live ones.
create index oauth_states_by_expiry on enablebot.oauth_states (expires_at);
comment on table enablebot.oauth_states is 'OAuth round trips under way; one use each';
comment on column enablebot.oauth_states.state_hash is 'SHA-256 of the state [secret]';
comment on column enablebot.oauth_states.browser_hash is 'SHA-256 of the browser''s cookie [secret]';
comment on column enablebot.oauth_states.purpose is 'install or sign-in [technical]';
comment on column enablebot.oauth_states.return_to is 'page to go back to [technical]';
comment on column enablebot.oauth_states.created_at is 'when it began [technical]';
comment on column enablebot.oauth_states.expires_at is 'when it stops working [technical]';

create table enablebot.sessions (
  tenant_id uuid not null references enablebot.tenants (id),
  id_hash bytea not null,
  user_id text not null,
  role text not null,
  idle_seconds int not null check (idle_seconds > 0),
  created_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  idle_expires_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (tenant_id, id_hash)
);
-- A cookie names no tenant. Not unique: a unique key across tenants would tell one of another's rows.
create index sessions_by_hash on enablebot.sessions (id_hash);
create index sessions_by_expiry on enablebot.sessions (idle_expires_at);
comment on table enablebot.sessions is 'People signed in to the dashboard';
comment on column enablebot.sessions.tenant_id is 'tenant [technical]';
comment on column enablebot.sessions.id_hash is 'SHA-256 of the cookie [secret]';
comment on column enablebot.sessions.user_id is 'Slack user [personal]';
comment on column enablebot.sessions.role is 'what the person may do [technical]';
comment on column enablebot.sessions.idle_seconds is 'how long it lives unused [technical]';
comment on column enablebot.sessions.created_at is 'sign-in [personal]';
comment on column enablebot.sessions.last_seen_at is 'last use, to the minute [personal]';
comment on column enablebot.sessions.idle_expires_at is 'end if unused [technical]';
comment on column enablebot.sessions.expires_at is 'end in any case [technical]';

create table enablebot.inbox (
  tenant_id uuid not null references enablebot.tenants (id),
  id bigint not null generated always as identity,
  event_key text collate "C" not null check (length(event_key) <= 255),
  lane text collate "C" check (length(lane) <= 255),
  kind text not null check (kind in ('message', 'mention', 'interaction', 'lifecycle', 'stop')),
  state text not null check (state in ('queued', 'ready', 'claimed', 'done', 'set_aside')),
  outcome text,
  available_at timestamptz not null default now(),
  received_at timestamptz not null default now(),
  attempts int not null default 0,
  claim_token uuid,
  lease_until timestamptz,
  claimed_by text,
  settled_at timestamptz,
  reason text,
  primary key (tenant_id, id),
  -- A token outlives no claim: whoever still holds an old one is fenced off.
  check ((state = 'claimed') = (claim_token is not null and lease_until is not null)),
  check ((state in ('done', 'set_aside')) = (settled_at is not null))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
-- What may be claimed, tenant by tenant: a claim steps from tenant to tenant and reads the head of each.
create index inbox_ready on enablebot.inbox (tenant_id, available_at, id) where state = 'ready';
-- What waits behind its lane's head: settling finds the next without reading the rest.
create index inbox_queued on enablebot.inbox (tenant_id, lane, id) where state = 'queued';
-- Live claims, few: how many a tenant has.
create index inbox_claimed on enablebot.inbox (tenant_id, lease_until) where state = 'claimed';
-- And whose lease has run out: every claim begins with this look.
create index inbox_leases on enablebot.inbox (lease_until) where state = 'claimed';
-- What people are shown and may replay.
create index inbox_set_aside on enablebot.inbox (tenant_id, id) where state = 'set_aside';
-- Pruning by age reads what it deletes.
create index inbox_settled on enablebot.inbox (settled_at) where settled_at is not null;
comment on table enablebot.inbox is 'Accepted events, waiting or done: routing metadata, never content';
comment on column enablebot.inbox.tenant_id is 'tenant [technical]';
comment on column enablebot.inbox.id is 'order of arrival [technical]';
comment on column enablebot.inbox.event_key is 'Slack''s event id, or what stands for it [technical]';
comment on column enablebot.inbox.lane is 'conversation whose events run in order, null for none [technical]';
comment on column enablebot.inbox.kind is 'message, mention, interaction, lifecycle, stop [technical]';
comment on column enablebot.inbox.state is 'queued, ready, claimed, done, set_aside [technical]';
comment on column enablebot.inbox.outcome is 'how it ended [technical]';
comment on column enablebot.inbox.available_at is 'not to be claimed before [technical]';
comment on column enablebot.inbox.received_at is 'when it was accepted [technical]';
comment on column enablebot.inbox.attempts is 'claims so far, counted when made [technical]';
comment on column enablebot.inbox.claim_token is 'fence of the claim under way [technical]';
comment on column enablebot.inbox.lease_until is 'end of the claim unless renewed [technical]';
comment on column enablebot.inbox.claimed_by is 'last worker that claimed it [technical]';
comment on column enablebot.inbox.settled_at is 'when it was finished or set aside [technical]';
comment on column enablebot.inbox.reason is 'why it ended as it did, never content [technical]';

create table enablebot.event_bodies (
  tenant_id uuid not null,
  event_id bigint not null,
  body bytea not null,
  data_key_id uuid not null,
  primary key (tenant_id, event_id),
  foreign key (tenant_id, event_id) references enablebot.inbox (tenant_id, id) on delete cascade
) with (autovacuum_vacuum_scale_factor = 0.02);
-- Sealed bytes do not compress; trying costs time on every accept.
alter table enablebot.event_bodies alter column body set storage external;
comment on table enablebot.event_bodies is 'Sealed events until they are settled';
comment on column enablebot.event_bodies.tenant_id is 'tenant [technical]';
comment on column enablebot.event_bodies.event_id is 'event in the inbox [technical]';
comment on column enablebot.event_bodies.body is 'sealed event, place event_bodies/body/event_key [content]';
-- No foreign keys to data_keys from here on: each insert would lock the one key row that all of a tenant's rows share.
comment on column enablebot.event_bodies.data_key_id is 'key that seals it [technical]';

-- The tenant is the inbox's to check: a lane comes with its event.
create table enablebot.lanes (
  tenant_id uuid not null,
  lane text collate "C" not null check (length(lane) <= 255),
  live int not null check (live >= 0),
  last_at timestamptz not null default now(),
  primary key (tenant_id, lane)
) with (fillfactor = 80);
comment on table enablebot.lanes is 'Conversations the bot is part of: a row is there as soon as it is';
comment on column enablebot.lanes.tenant_id is 'tenant [technical]';
comment on column enablebot.lanes.lane is 'conversation, channel:thread [technical]';
comment on column enablebot.lanes.live is 'events not finished yet; one runs, the others are queued [technical]';
comment on column enablebot.lanes.last_at is 'last event [technical]';

create table enablebot.dedupe_keys (
  tenant_id uuid not null,
  key text collate "C" not null check (length(key) <= 320),
  created_at timestamptz not null default now(),
  primary key (tenant_id, key)
);
-- Rows come in order of time and go by age: a tree would cost every accept more than it saves the one who prunes.
create index dedupe_keys_by_age on enablebot.dedupe_keys using brin (created_at) with (pages_per_range = 32, autosummarize = on);
comment on table enablebot.dedupe_keys is 'Event and message keys seen lately; apart from the inbox, which can then be partitioned by time';
comment on column enablebot.dedupe_keys.tenant_id is 'tenant [technical]';
comment on column enablebot.dedupe_keys.key is 'event: or message: and the key [technical]';
comment on column enablebot.dedupe_keys.created_at is 'when it was first seen [technical]';

create table enablebot.conversations (
  tenant_id uuid not null references enablebot.tenants (id),
  id uuid not null,
  lane text collate "C" not null,
  channel text not null,
  thread_ts text not null,
  created_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, lane)
) with (fillfactor = 80);
comment on table enablebot.conversations is 'What was said with the bot, thread by thread';
comment on column enablebot.conversations.tenant_id is 'tenant [technical]';
comment on column enablebot.conversations.id is 'conversation [technical]';
comment on column enablebot.conversations.lane is 'its lane [technical]';
comment on column enablebot.conversations.channel is 'Slack channel [technical]';
comment on column enablebot.conversations.thread_ts is 'root message of the thread [technical]';
comment on column enablebot.conversations.created_at is 'first message [technical]';
comment on column enablebot.conversations.last_at is 'last message [technical]';

create table enablebot.messages (
  tenant_id uuid not null,
  id uuid not null,
  conversation_id uuid not null,
  seq bigint not null generated always as identity,
  role text not null check (role in ('person', 'assistant')),
  author text,
  ts text,
  body bytea not null,
  data_key_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  foreign key (tenant_id, conversation_id) references enablebot.conversations (tenant_id, id)
);
alter table enablebot.messages alter column body set storage external;
-- The last messages of one conversation, without reading the others.
create index messages_in_order on enablebot.messages (tenant_id, conversation_id, seq);
comment on table enablebot.messages is 'Turns of a conversation, sealed';
comment on column enablebot.messages.tenant_id is 'tenant [technical]';
comment on column enablebot.messages.id is 'message [technical]';
comment on column enablebot.messages.conversation_id is 'conversation [technical]';
comment on column enablebot.messages.seq is 'order [technical]';
comment on column enablebot.messages.role is 'person or assistant [technical]';
comment on column enablebot.messages.author is 'Slack user who wrote it [personal]';
comment on column enablebot.messages.ts is 'Slack''s timestamp of it [technical]';
comment on column enablebot.messages.body is 'sealed text, place messages/body/id [content]';
comment on column enablebot.messages.data_key_id is 'key that seals it [technical]';
comment on column enablebot.messages.created_at is 'when it was stored [technical]';

create table enablebot.answers (
  tenant_id uuid not null,
  id uuid not null,
  event_id bigint not null,
  conversation_id uuid not null,
  channel text not null,
  thread_ts text not null,
  question_ts text not null,
  question_id uuid not null,
  message_id uuid,
  asker text not null,
  state text not null check (state in ('open', 'complete', 'failed', 'ambiguous', 'dropped')),
  text bytea,
  data_key_id uuid,
  model text,
  input_tokens int,
  output_tokens int,
  latency_ms int,
  reason text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (tenant_id, id),
  -- One answer an event, however many workers try. No foreign key: answers outlive the inbox.
  unique (tenant_id, event_id),
  foreign key (tenant_id, conversation_id) references enablebot.conversations (tenant_id, id),
  foreign key (tenant_id, question_id) references enablebot.messages (tenant_id, id),
  foreign key (tenant_id, message_id) references enablebot.messages (tenant_id, id),
  check ((state = 'open') = (finished_at is null)),
  check ((text is null) = (data_key_id is null))
);
alter table enablebot.answers alter column text set storage external;
-- The dashboard counts by state and shows the last, from the index alone.
create index answers_by_state on enablebot.answers (tenant_id, state, finished_at);
comment on table enablebot.answers is 'One answer an event, with its receipt';
comment on column enablebot.answers.tenant_id is 'tenant [technical]';
comment on column enablebot.answers.id is 'answer [technical]';
comment on column enablebot.answers.event_id is 'event in the inbox [technical]';
comment on column enablebot.answers.conversation_id is 'conversation [technical]';
comment on column enablebot.answers.channel is 'Slack channel [technical]';
comment on column enablebot.answers.thread_ts is 'thread it goes to [technical]';
comment on column enablebot.answers.question_ts is 'Slack''s timestamp of the question [technical]';
comment on column enablebot.answers.question_id is 'the question as a message [technical]';
comment on column enablebot.answers.message_id is 'the answer as a message, once complete [technical]';
comment on column enablebot.answers.asker is 'Slack user who asked [personal]';
comment on column enablebot.answers.state is 'open, complete, failed, ambiguous, dropped [technical]';
comment on column enablebot.answers.text is 'sealed draft while open, place answers/text/id [content]';
comment on column enablebot.answers.data_key_id is 'key that seals the draft [technical]';
comment on column enablebot.answers.model is 'model that answered [technical]';
comment on column enablebot.answers.input_tokens is 'tokens read [technical]';
comment on column enablebot.answers.output_tokens is 'tokens written [technical]';
comment on column enablebot.answers.latency_ms is 'from question to answer [technical]';
comment on column enablebot.answers.reason is 'why it did not become one, never content [technical]';
comment on column enablebot.answers.created_at is 'when it was begun [technical]';
comment on column enablebot.answers.finished_at is 'when it ended [technical]';

create table enablebot.replies (
  tenant_id uuid not null,
  answer_id uuid not null,
  part int not null check (part >= 0),
  mode text not null check (mode in ('stream', 'post')),
  state text not null check (state in ('intended', 'open', 'closed', 'ambiguous')),
  ts text collate "C",
  intended_at timestamptz not null default clock_timestamp(),
  recorded_at timestamptz,
  primary key (tenant_id, answer_id, part),
  foreign key (tenant_id, answer_id) references enablebot.answers (tenant_id, id)
);
-- Replies whose fate is unknown: almost none, looked for whenever a message of our own comes by.
create index replies_unknown on enablebot.replies (tenant_id, intended_at) where state = 'intended' and ts is null;
-- Whether a message of our own is accounted for already.
create index replies_by_ts on enablebot.replies (tenant_id, ts) where ts is not null;
comment on table enablebot.replies is 'Messages in Slack that carry an answer: intent before the call, outcome after';
comment on column enablebot.replies.tenant_id is 'tenant [technical]';
comment on column enablebot.replies.answer_id is 'answer [technical]';
comment on column enablebot.replies.part is 'place in the answer [technical]';
comment on column enablebot.replies.mode is 'stream or post [technical]';
comment on column enablebot.replies.state is 'intended, open, closed, ambiguous [technical]';
comment on column enablebot.replies.ts is 'Slack''s timestamp of it, once known [technical]';
comment on column enablebot.replies.intended_at is 'before the call [technical]';
comment on column enablebot.replies.recorded_at is 'after it [technical]';

create table enablebot.audit (
  tenant_id uuid not null references enablebot.tenants (id),
  seq bigint not null,
  at timestamptz not null,
  actor text not null,
  action text not null,
  object text not null,
  outcome text not null,
  detail bytea,
  previous_hash bytea not null,
  hash bytea not null,
  primary key (tenant_id, seq)
);
comment on table enablebot.audit is 'Who did what: append-only, each row bound to the one before';
comment on column enablebot.audit.tenant_id is 'tenant [technical]';
comment on column enablebot.audit.seq is 'place in the chain, without gaps [technical]';
comment on column enablebot.audit.at is 'when [technical]';
comment on column enablebot.audit.actor is 'who [personal]';
comment on column enablebot.audit.action is 'did what [technical]';
comment on column enablebot.audit.object is 'to what [technical]';
comment on column enablebot.audit.outcome is 'with what outcome [technical]';
comment on column enablebot.audit.detail is 'sealed detail; the chain covers it sealed, so it verifies after its key is destroyed [content]';
comment on column enablebot.audit.previous_hash is 'hash of the row before, zeros for the first [technical]';
comment on column enablebot.audit.hash is 'SHA-256 over this row and previous_hash [technical]';

create table enablebot.audit_heads (
  tenant_id uuid primary key references enablebot.tenants (id),
  seq bigint not null,
  hash bytea not null
);
comment on table enablebot.audit_heads is 'Where each chain ends: writers take turns on it, and a tail cut off shows';
comment on column enablebot.audit_heads.tenant_id is 'tenant [technical]';
comment on column enablebot.audit_heads.seq is 'last place taken [technical]';
comment on column enablebot.audit_heads.hash is 'hash of the last row [technical]';

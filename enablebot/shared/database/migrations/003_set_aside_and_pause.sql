-- Urgent events out of the others' way, events that wait for a paused workspace, replays, and signals to those who answer.

set local role enablebot_owner;

-- Wider than before, so that every row there fulfils them and none has to be read.
-- squawk-ignore ban-drop-constraint
alter table enablebot.inbox drop constraint inbox_kind_check;
-- squawk-ignore ban-drop-constraint
alter table enablebot.inbox drop constraint inbox_state_check;
alter table enablebot.inbox
  add constraint inbox_kind_check
    check (kind in ('message', 'mention', 'interaction', 'lifecycle', 'stop', 'delete')) not valid,
  add constraint inbox_state_check check (state in ('queued', 'ready', 'held', 'claimed', 'done', 'set_aside')) not valid,
  add column replayed_at timestamptz,
  add column signal text check (signal in ('stop', 'withdraw'));
comment on column enablebot.inbox.kind is 'message, mention, interaction, lifecycle, stop, delete [technical]';
comment on column enablebot.inbox.state is 'queued, ready, held, claimed, done, set_aside [technical]';
comment on column enablebot.inbox.replayed_at is 'when somebody had it tried anew [technical]';
comment on column enablebot.inbox.signal is 'what whoever holds the claim should know: stop, withdraw [technical]';

-- The head of each tenant as before, without the kinds that bypass lanes and caps.
-- One transaction, so not concurrently: claims wait for a moment, and accepts until the new one is there.
-- squawk-ignore require-concurrent-index-deletion
drop index enablebot.inbox_ready;
create index inbox_ready on enablebot.inbox (tenant_id, available_at, id)
  where state = 'ready' and kind not in ('stop', 'delete', 'lifecycle');
-- These, so that a stop is met at once, however much waits for its workspace. Nearly always empty.
create index inbox_urgent on enablebot.inbox (tenant_id, available_at, id)
  where state = 'ready' and kind in ('stop', 'delete', 'lifecycle');
-- What waits for a workspace to come back, found when it does.
create index inbox_held on enablebot.inbox (tenant_id, id) where state = 'held';
-- Every claim asks whether any workspace is paused.
create index tenants_paused on enablebot.tenants (id) where status = 'paused';

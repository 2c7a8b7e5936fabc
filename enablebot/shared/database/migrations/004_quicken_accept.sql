-- Accepting without what each event paid for and nothing needed.

set local role enablebot_owner;

-- The key was checked for each body against an event that the same function has just stored, and locked it once more: a
-- sixth of what accepting costs the database. What it was for is what happens at the other end, and still does.
-- squawk-ignore ban-drop-constraint
alter table enablebot.event_bodies drop constraint event_bodies_tenant_id_event_id_fkey;

-- Runs as the owner, for the tenants whose events were deleted, whoever deletes them: pruning is the router's, which
-- may not touch bodies.
create function enablebot.inner_drop_bodies() returns trigger
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_before constant text := current_setting('enablebot.tenants', true);
begin
  perform enablebot.work_for(array(select distinct d.tenant_id from deleted d));
  delete from event_bodies b using deleted d where b.tenant_id = d.tenant_id and b.event_id = d.id;
  perform set_config('enablebot.tenants', coalesce(v_before, ''), true);
  return null;
end
$$;
revoke all on function enablebot.inner_drop_bodies() from public;

grant trigger on enablebot.inbox to enablebot_owner;
create trigger bodies_go_with_their_events after delete on enablebot.inbox
  referencing old table as deleted for each statement execute function enablebot.inner_drop_bodies();
revoke trigger on enablebot.inbox from enablebot_owner;

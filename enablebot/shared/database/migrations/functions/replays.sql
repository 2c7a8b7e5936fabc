-- Events set aside: shown, and tried anew when somebody says so.

set local role enablebot_router;

-- Of one workspace, or of all for those who look after the deployment: who and what kind, never what was said.
create or replace function enablebot.list_set_aside(p_tenant_id uuid, p_after_id bigint, p_limit int) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'tenant_id', s.tenant_id, 'team_id', t.team_id, 'name', t.name, 'id', s.id, 'event_key', s.event_key,
             'kind', s.kind, 'attempts', s.attempts, 'received_at', s.received_at, 'settled_at', s.settled_at,
             'reason', s.reason) order by s.id), '[]')
    from (
      select i.* from inbox i
      where i.state = 'set_aside' and (p_tenant_id is null or i.tenant_id = p_tenant_id)
        and i.id > coalesce(p_after_id, 0)
      order by i.id
      limit p_limit
    ) s
    join tenants t on t.id = s.tenant_id
  );
end
$$;

revoke all on function enablebot.list_set_aside from public;
grant execute on function enablebot.list_set_aside to enablebot_api, enablebot_web;

set local role enablebot_owner;

-- Back into its lane, before what came later. The answer that failed is open again with the messages that carried it,
-- so that what was said there is replaced and nothing is said twice.
create or replace function enablebot.replay_event(p_tenant_id uuid, p_id bigint, p_actor text) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_lane text;
  v_kind text;
  v_key text;
  v_live int := 1;
  v_is_possible boolean;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  select i.lane, i.kind, i.event_key into v_lane, v_kind, v_key
  from inbox i where i.tenant_id = p_tenant_id and i.id = p_id and i.state = 'set_aside';
  if not found then
    return jsonb_build_object('replayed', false);
  end if;
  -- The lane before the event, as everywhere; whoever replays the same event meanwhile is waited for.
  perform from lanes l where l.tenant_id = p_tenant_id and l.lane = v_lane for update;
  perform from inbox i where i.tenant_id = p_tenant_id and i.id = p_id and i.state = 'set_aside' for update;
  if not found then
    return jsonb_build_object('replayed', false);
  end if;
  -- A document's event has no body: what it is about is the document, which waits to be read again.
  if v_kind = 'document' then
    v_is_possible := enablebot.inner_requeue_document(
      p_tenant_id, split_part(v_key, ':', 2)::uuid, split_part(v_key, ':', 3)::int);
  else
    v_is_possible := exists (select from event_bodies b where b.tenant_id = p_tenant_id and b.event_id = p_id);
  end if;
  if not v_is_possible then
    return jsonb_build_object('replayed', false);
  end if;

  if v_lane is not null then
    update lanes l set live = l.live + 1
    where l.tenant_id = p_tenant_id and l.lane = v_lane
    returning l.live into v_live;
  end if;
  update inbox i
  set state = case v_live when 1 then 'ready' else 'queued' end, outcome = null, reason = null, signal = null,
      attempts = 0, settled_at = null, available_at = clock_timestamp(), replayed_at = clock_timestamp()
  where i.tenant_id = p_tenant_id and i.id = p_id;

  update answers a
  set state = 'open', reason = null, message_id = null, finished_at = null
  where a.tenant_id = p_tenant_id and a.event_id = p_id and a.state = 'failed';
  update replies r
  set state = 'open'
  from answers a
  where a.tenant_id = p_tenant_id and a.event_id = p_id and a.state = 'open'
    and r.tenant_id = p_tenant_id and r.answer_id = a.id and r.state = 'closed';

  perform enablebot.inner_append_audit(p_tenant_id, p_actor, 'event.replay', p_id::text, 'ok', null);
  return jsonb_build_object('replayed', true);
end
$$;

revoke all on function enablebot.replay_event from public;
grant execute on function enablebot.replay_event to enablebot_api, enablebot_web;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function enablebot.list_set_aside, enablebot.replay_event to service_role;
  end if;
end
$$;

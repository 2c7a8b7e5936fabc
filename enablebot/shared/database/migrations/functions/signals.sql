-- What a person does while an answer is being written: stop it, or delete the question. The process that writes may be
-- another one than the process that heard.

set local role enablebot_owner;

-- The events of a tenant that are claimed at this moment, few, whatever else it has. Ordered as their index is, so that
-- no other will do.
create or replace function enablebot.inner_running(p_tenant_id uuid) returns bigint[]
language plpgsql stable security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off set enable_sort = off
set enable_incremental_sort = off
as $$
begin
  return array(
    select i.id from inbox i where i.tenant_id = p_tenant_id and i.state = 'claimed' order by i.lease_until limit 10000);
end
$$;

create or replace function enablebot.signal_answers(p_tenant_id uuid, p_channel text, p_thread_ts text, p_signal text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_ids bigint[];
begin
  if p_signal <> 'stop' then
    raise exception 'no such signal' using errcode = 'check_violation';
  end if;
  perform enablebot.work_for(array[p_tenant_id]);
  v_ids := array(
    select i.id from inbox i
    where i.tenant_id = p_tenant_id and i.id = any (enablebot.inner_running(p_tenant_id))
      and i.state = 'claimed' and i.lane = p_channel || ':' || p_thread_ts
    -- In key order, as settling does.
    order by i.id
    for update);
  -- Whoever withdrew the question wants more than a stop.
  update inbox i set signal = coalesce(i.signal, p_signal) where i.tenant_id = p_tenant_id and i.id = any (v_ids);
  return jsonb_build_object('signalled', cardinality(v_ids));
end
$$;

create or replace function enablebot.withdraw_question(p_tenant_id uuid, p_channel text, p_question_ts text) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_ids bigint[];
begin
  perform enablebot.work_for(array[p_tenant_id]);
  -- An answer that is being opened at this moment either sees the key or is seen here.
  perform enablebot.inner_lock_question(p_tenant_id, p_channel, p_question_ts);
  insert into dedupe_keys (tenant_id, key)
  values (p_tenant_id, 'withdrawn:' || p_channel || ':' || p_question_ts)
  on conflict do nothing;

  v_ids := array(
    select c.id
    from inbox c
    cross join lateral (
      select a.channel, a.question_ts from answers a
      where a.tenant_id = c.tenant_id and a.event_id = c.id and a.state = 'open'
      limit 1
    ) a
    where c.tenant_id = p_tenant_id and c.id = any (enablebot.inner_running(p_tenant_id))
      and c.state = 'claimed' and a.channel = p_channel and a.question_ts = p_question_ts
    order by c.id
    for update of c);
  update inbox i set signal = 'withdraw' where i.tenant_id = p_tenant_id and i.id = any (v_ids);
  return jsonb_build_object('signalled', cardinality(v_ids));
end
$$;

-- For every running claim about once a second: reads, and locks nothing.
create or replace function enablebot.read_signals(p_tenant_ids uuid[], p_ids bigint[], p_tokens uuid[]) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(p_tenant_ids);
  return (
    select coalesce(jsonb_agg(case when i.id is null then 'lost' else i.signal end order by s.place), '[]')
    from unnest(p_tenant_ids, p_ids, p_tokens) with ordinality as s (tenant_id, id, token, place)
    left join lateral (
      select i.id, i.signal from inbox i
      where i.tenant_id = s.tenant_id and i.id = s.id and i.claim_token = s.token
      limit 1
    ) i on true
  );
end
$$;

-- Two who do something about one question take turns. Before any other lock.
create or replace function enablebot.inner_lock_question(p_tenant_id uuid, p_channel text, p_question_ts text) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(p_tenant_id || ':' || p_channel || ':' || p_question_ts, 1));
end
$$;

revoke all on function
  enablebot.signal_answers, enablebot.withdraw_question, enablebot.read_signals, enablebot.inner_lock_question,
  enablebot.inner_running from public;
grant execute on function
  enablebot.signal_answers, enablebot.withdraw_question, enablebot.read_signals to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
reset role;
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.signal_answers, enablebot.withdraw_question, enablebot.read_signals to service_role;
  end if;
end
$$;

-- Answers, the replies that carry them into Slack, and the conversation they belong to.
--
-- No sequential scans, for the reason given in inbox.sql.

set local role enablebot_owner;

-- Refuses whoever lost the claim, and holds it until commit: a rescue passes it by meanwhile.
create or replace function enablebot.inner_hold_claim(p_tenant_id uuid, p_event_id bigint, p_claim_token uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform from inbox i
  where i.tenant_id = p_tenant_id and i.id = p_event_id and i.state = 'claimed' and i.claim_token = p_claim_token
  for update;
  if not found then
    raise exception 'the claim is no longer held' using errcode = 'EB001';
  end if;
end
$$;

create or replace function enablebot.open_answer(
  p_tenant_id uuid, p_event_id bigint, p_claim_token uuid, p_answer_id uuid, p_conversation_id uuid, p_lane text,
  p_channel text, p_thread_ts text, p_question_ts text, p_asker text, p_message_id uuid, p_message bytea,
  p_data_key_id uuid, p_history int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_answer uuid;
  v_conversation uuid;
  v_question uuid;
  v_is_new boolean := false;
  v_is_withdrawn boolean;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  perform enablebot.inner_lock_question(p_tenant_id, p_channel, p_question_ts);
  perform enablebot.inner_hold_claim(p_tenant_id, p_event_id, p_claim_token);
  v_is_withdrawn := (
    select true from dedupe_keys d
    where d.tenant_id = p_tenant_id and d.key = 'withdrawn:' || p_channel || ':' || p_question_ts) is not null;

  select a.id, a.conversation_id, a.question_id into v_answer, v_conversation, v_question
  from answers a where a.tenant_id = p_tenant_id and a.event_id = p_event_id;
  -- Nothing of a question that is gone is kept: this answer was never begun, and says so.
  if v_answer is null and v_is_withdrawn then
    return jsonb_build_object(
      'is_new', true, 'is_withdrawn', true, 'conversation_id', p_conversation_id, 'history', jsonb_build_array(),
      'answer', jsonb_build_object(
        'id', p_answer_id, 'state', 'dropped', 'text', null, 'data_key_id', null, 'model', null,
        'created_at', clock_timestamp(), 'replies', jsonb_build_array()));
  end if;
  if v_answer is null then
    v_is_new := true;
    v_answer := p_answer_id;
    v_question := p_message_id;
    insert into conversations as c (tenant_id, id, lane, channel, thread_ts)
    values (p_tenant_id, p_conversation_id, p_lane, p_channel, p_thread_ts)
    on conflict (tenant_id, lane) do update set last_at = now()
    returning c.id into v_conversation;
    insert into messages (tenant_id, id, conversation_id, role, author, ts, body, data_key_id)
    values (p_tenant_id, p_message_id, v_conversation, 'person', p_asker, p_question_ts, p_message, p_data_key_id);
    insert into answers (
      tenant_id, id, event_id, conversation_id, channel, thread_ts, question_ts, question_id, asker, state)
    values (
      p_tenant_id, p_answer_id, p_event_id, v_conversation, p_channel, p_thread_ts, p_question_ts, p_message_id, p_asker,
      'open');
  end if;

  return jsonb_build_object(
    'is_new', v_is_new,
    'is_withdrawn', v_is_withdrawn,
    'conversation_id', v_conversation,
    'answer', (
      select jsonb_build_object(
        'id', a.id, 'state', a.state, 'text', translate(encode(a.text, 'base64'), E'\n', ''),
        'data_key_id', a.data_key_id, 'model', a.model, 'created_at', a.created_at,
        'replies', coalesce((
          select jsonb_agg(jsonb_build_object(
                   'part', r.part, 'mode', r.mode, 'state', r.state, 'ts', r.ts, 'intended_at', r.intended_at)
                   order by r.part)
          from replies r where r.tenant_id = p_tenant_id and r.answer_id = v_answer), '[]'))
      from answers a where a.tenant_id = p_tenant_id and a.id = v_answer),
    'history', coalesce((
      select jsonb_agg(jsonb_build_object(
               'id', h.id, 'role', h.role, 'author', h.author, 'ts', h.ts,
               'body', translate(encode(h.body, 'base64'), E'\n', ''), 'data_key_id', h.data_key_id) order by h.seq)
      from (
        select m.*
        from messages m
        where m.tenant_id = p_tenant_id and m.conversation_id = v_conversation
          and m.seq < (select q.seq from messages q where q.tenant_id = p_tenant_id and q.id = v_question)
        order by m.seq desc
        limit p_history
      ) h), '[]')
  );
end
$$;

create or replace function enablebot.intend_reply(
  p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_part int, p_mode text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_intended_at timestamptz;
begin
  perform enablebot.work_for(array[p_tenant_id]);
  perform enablebot.inner_hold_claim(p_tenant_id, p_event_id, p_claim_token);
  perform enablebot.inner_own_answer(p_tenant_id, p_answer_id, p_event_id);
  insert into replies as r (tenant_id, answer_id, part, mode, state)
  values (p_tenant_id, p_answer_id, p_part, p_mode, 'intended')
  on conflict do nothing
  returning r.intended_at into v_intended_at;
  return jsonb_build_object(
    'already', v_intended_at is null,
    'intended_at', coalesce(v_intended_at, (
      select r.intended_at from replies r
      where r.tenant_id = p_tenant_id and r.answer_id = p_answer_id and r.part = p_part)));
end
$$;

-- The claim is on an event: the answer named beside it must be that event's.
create or replace function enablebot.inner_own_answer(p_tenant_id uuid, p_answer_id uuid, p_event_id bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform from answers a where a.tenant_id = p_tenant_id and a.id = p_answer_id and a.event_id = p_event_id;
  if not found then
    raise exception 'the event has no such answer' using errcode = 'foreign_key_violation';
  end if;
end
$$;

create or replace function enablebot.record_reply(
  p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_part int, p_state text, p_ts text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  perform enablebot.inner_hold_claim(p_tenant_id, p_event_id, p_claim_token);
  perform enablebot.inner_own_answer(p_tenant_id, p_answer_id, p_event_id);
  update replies r
  set state = p_state, ts = coalesce(p_ts, r.ts), recorded_at = clock_timestamp()
  where r.tenant_id = p_tenant_id and r.answer_id = p_answer_id and r.part = p_part;
  if not found then
    raise exception 'the reply was never intended' using errcode = 'foreign_key_violation';
  end if;
  return '{}';
end
$$;

-- A message of our own, seen as an event, is the best evidence of what an unfinished call did. It belongs to the oldest
-- reply of its thread that has no timestamp yet and was intended before it (Slack's clock may be 2 s behind ours),
-- unless it is another reply's already.
create or replace function enablebot.note_own_messages(
  p_tenant_ids uuid[], p_channels text[], p_threads text[], p_ts text[]
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_noted boolean[] := array_fill(false, array[cardinality(p_ts)]);
  v_match record;
begin
  perform enablebot.work_for(p_tenant_ids);
  for v_match in
    select distinct on (r.tenant_id, r.answer_id, r.part) r.tenant_id, r.answer_id, r.part, s.ts, s.place
    from (
      select *, case when u.ts ~ '^[0-9]{1,12}[.][0-9]{1,6}$' then to_timestamp(u.ts::double precision) end as at
      from unnest(p_tenant_ids, p_channels, p_threads, p_ts) with ordinality as u (tenant_id, channel, thread, ts, place)
    ) s
    cross join lateral (
      select r.tenant_id, r.answer_id, r.part
      from replies r
      join answers a on a.tenant_id = r.tenant_id and a.id = r.answer_id
      where r.tenant_id = s.tenant_id and r.state = 'intended' and r.ts is null
        and r.intended_at <= s.at + interval '2 seconds'
        and a.channel = s.channel and a.thread_ts = s.thread
      order by r.intended_at, r.part
      limit 1
    ) r
    where not exists (select from replies k where k.tenant_id = s.tenant_id and k.ts = s.ts)
    -- In key order: two batches that found the same replies wait instead of deadlocking.
    order by r.tenant_id, r.answer_id, r.part, s.at
  loop
    update replies r
    set ts = v_match.ts
    where r.tenant_id = v_match.tenant_id and r.answer_id = v_match.answer_id and r.part = v_match.part and r.ts is null;
    v_noted[v_match.place] := found;
  end loop;
  return to_jsonb(v_noted);
end
$$;

create or replace function enablebot.save_draft(
  p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_text bytea, p_data_key_id uuid
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  perform enablebot.inner_hold_claim(p_tenant_id, p_event_id, p_claim_token);
  perform enablebot.inner_own_answer(p_tenant_id, p_answer_id, p_event_id);
  update answers a
  set text = p_text, data_key_id = p_data_key_id
  where a.tenant_id = p_tenant_id and a.id = p_answer_id and a.state = 'open';
  return '{}';
end
$$;

-- The answer's end and the event's are one: no crash in between can answer twice or not at all.
create or replace function enablebot.finish_answer(
  p_tenant_id uuid, p_answer_id uuid, p_event_id bigint, p_claim_token uuid, p_state text, p_reason text, p_text bytea,
  p_message_id uuid, p_data_key_id uuid, p_model text, p_input_tokens int, p_output_tokens int, p_latency_ms int
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp set enable_seqscan = off
as $$
declare
  v_conversation uuid;
begin
  if p_state not in ('complete', 'failed', 'gave_up', 'ambiguous', 'dropped') then
    raise exception 'an answer cannot end in that state' using errcode = 'check_violation';
  end if;
  perform enablebot.work_for(array[p_tenant_id]);
  if enablebot.inner_settle(
       array[p_tenant_id], array[p_event_id], array[p_claim_token],
       array[case p_state
         when 'complete' then 'done' when 'dropped' then 'dropped' when 'gave_up' then 'set_aside' else 'failed' end],
       array[p_reason], array[0::double precision]) = '{}' then
    raise exception 'the claim is no longer held' using errcode = 'EB001';
  end if;
  perform enablebot.inner_own_answer(p_tenant_id, p_answer_id, p_event_id);

  select a.conversation_id into v_conversation from answers a where a.tenant_id = p_tenant_id and a.id = p_answer_id;
  if p_text is not null then
    insert into messages (tenant_id, id, conversation_id, role, ts, body, data_key_id)
    values (
      p_tenant_id, p_message_id, v_conversation, 'assistant',
      (select r.ts from replies r where r.tenant_id = p_tenant_id and r.answer_id = p_answer_id order by r.part limit 1),
      p_text, p_data_key_id);
    update conversations c set last_at = now() where c.tenant_id = p_tenant_id and c.id = v_conversation;
  end if;
  update answers a
  -- Given up is failed, with the event kept for whoever wants it tried anew.
  set state = case p_state when 'gave_up' then 'failed' else p_state end, reason = p_reason, text = null, data_key_id = null,
      message_id = case when p_text is not null then p_message_id end, model = p_model,
      input_tokens = p_input_tokens, output_tokens = p_output_tokens, latency_ms = p_latency_ms,
      finished_at = clock_timestamp()
  where a.tenant_id = p_tenant_id and a.id = p_answer_id;
  return '{}';
end
$$;

revoke all on function
  enablebot.inner_hold_claim, enablebot.inner_own_answer, enablebot.open_answer, enablebot.intend_reply,
  enablebot.record_reply, enablebot.note_own_messages, enablebot.save_draft, enablebot.finish_answer from public;
grant execute on function
  enablebot.open_answer, enablebot.intend_reply, enablebot.record_reply, enablebot.note_own_messages,
  enablebot.save_draft, enablebot.finish_answer to enablebot_api;

-- Supabase's Data API calls as service_role; its other roles get nothing.
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function
      enablebot.open_answer, enablebot.intend_reply, enablebot.record_reply, enablebot.note_own_messages,
      enablebot.save_draft, enablebot.finish_answer to service_role;
  end if;
end
$$;

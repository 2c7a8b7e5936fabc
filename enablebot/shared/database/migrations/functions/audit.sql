-- The audit chain: every row's hash covers the row and the hash before it.

set local role enablebot_owner;

-- Lengths stand before the texts, so that no two rows share their bytes; null detail differs from empty detail.
create or replace function enablebot.inner_audit_hash(
  p_tenant_id uuid, p_seq bigint, p_at timestamptz, p_actor text, p_action text, p_object text, p_outcome text,
  p_detail bytea, p_previous_hash bytea
) returns bytea
language sql stable security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
  select sha256(
    p_previous_hash || uuid_send(p_tenant_id) || int8send(p_seq) || timestamptz_send(p_at)
    || int4send(octet_length(p_actor)) || convert_to(p_actor, 'UTF8')
    || int4send(octet_length(p_action)) || convert_to(p_action, 'UTF8')
    || int4send(octet_length(p_object)) || convert_to(p_object, 'UTF8')
    || int4send(octet_length(p_outcome)) || convert_to(p_outcome, 'UTF8')
    || int4send(coalesce(octet_length(p_detail), -1)) || coalesce(p_detail, '')
  )
$$;

-- Called inside the transaction of the action it records: no row, no action.
create or replace function enablebot.inner_append_audit(
  p_tenant_id uuid, p_actor text, p_action text, p_object text, p_outcome text, p_detail bytea
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_at constant timestamptz := clock_timestamp();
  v_previous bytea;
  v_seq bigint;
  v_hash bytea;
begin
  insert into audit_heads (tenant_id, seq, hash)
  values (p_tenant_id, 0, decode(repeat('00', 32), 'hex'))
  on conflict do nothing;

  -- Writers of one tenant take turns here, so that the chain cannot fork. The last lock any function takes.
  select h.seq + 1, h.hash into v_seq, v_previous
  from audit_heads h where h.tenant_id = p_tenant_id for update;

  v_hash := enablebot.inner_audit_hash(
    p_tenant_id, v_seq, v_at, p_actor, p_action, p_object, p_outcome, p_detail, v_previous);
  insert into audit (tenant_id, seq, at, actor, action, object, outcome, detail, previous_hash, hash)
  values (p_tenant_id, v_seq, v_at, p_actor, p_action, p_object, p_outcome, p_detail, v_previous, v_hash);
  update audit_heads h set seq = v_seq, hash = v_hash where h.tenant_id = p_tenant_id;

  return jsonb_build_object('seq', v_seq, 'hash', encode(v_hash, 'base64'));
end
$$;

create or replace function enablebot.append_audit(
  p_tenant_id uuid, p_actor text, p_action text, p_object text, p_outcome text, p_detail bytea
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
begin
  perform enablebot.work_for(array[p_tenant_id]);
  return enablebot.inner_append_audit(p_tenant_id, p_actor, p_action, p_object, p_outcome, p_detail);
end
$$;

-- Edits, swaps and gaps show in the chain itself; rows cut off the end show against the head. A rewrite of chain and
-- head together shows only against a head kept elsewhere.
create or replace function enablebot.verify_audit(p_tenant_id uuid) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, enablebot, pg_temp
as $$
declare
  v_rows bigint;
  v_broken bigint;
  v_last bytea;
  v_head_seq bigint;
  v_head bytea;
begin
  perform enablebot.work_for(array[p_tenant_id]);

  -- Chain and head in one statement, so in one snapshot: a writer in between would look like a forger.
  select count(c.n), min(c.n) filter (where c.seq <> c.n or c.previous_hash <> c.before or c.hash <> c.computed),
         (array_agg(c.hash order by c.seq desc))[1], max(h.seq), max(h.hash::text)::bytea
  into v_rows, v_broken, v_last, v_head_seq, v_head
  from (
    select a.seq, a.hash, a.previous_hash,
           row_number() over in_order as n,
           lag(a.hash, 1, decode(repeat('00', 32), 'hex')) over in_order as before,
           enablebot.inner_audit_hash(
             a.tenant_id, a.seq, a.at, a.actor, a.action, a.object, a.outcome, a.detail, a.previous_hash) as computed
    from audit a
    where a.tenant_id = p_tenant_id
    window in_order as (order by a.seq)
  ) c
  full join (select a.seq, a.hash from audit_heads a where a.tenant_id = p_tenant_id) h on true;

  if v_broken is null and (v_rows, v_last) is distinct from (coalesce(v_head_seq, 0), v_head) then
    v_broken := case v_rows when v_head_seq then v_rows else least(v_rows, coalesce(v_head_seq, 0)) + 1 end;
  end if;
  return jsonb_build_object('ok', v_broken is null, 'rows', v_rows, 'broken_at', v_broken);
end
$$;

revoke all on function
  enablebot.inner_audit_hash, enablebot.inner_append_audit, enablebot.append_audit, enablebot.verify_audit from public;
grant execute on function enablebot.append_audit, enablebot.verify_audit to enablebot_api, enablebot_web;
-- Supabase's Data API calls as service_role; its other roles get nothing.
do $$
begin
  if to_regrole('service_role') is not null then
    grant usage on schema enablebot to service_role;
    grant execute on function enablebot.append_audit, enablebot.verify_audit to service_role;
  end if;
end
$$;

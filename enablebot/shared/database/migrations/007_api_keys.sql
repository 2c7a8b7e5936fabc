-- Keys of the REST API, and requests that may be repeated.

set local role enablebot_owner;

create table enablebot.api_keys (
  tenant_id uuid not null references enablebot.tenants (id),
  id uuid not null,
  key_hash bytea not null check (octet_length(key_hash) = 32),
  name text not null check (length(name) between 1 and 100),
  scopes text[] collate "C" not null check (
    cardinality(scopes) > 0 and scopes <@ array['documents:read', 'documents:write', 'search']),
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, key_hash)
);
-- A request carries nothing but its key: this finds whose it is.
create index api_keys_by_hash on enablebot.api_keys (key_hash);
comment on table enablebot.api_keys is 'Keys of the REST API; the key itself is shown once and kept nowhere';
comment on column enablebot.api_keys.tenant_id is 'tenant [technical]';
comment on column enablebot.api_keys.id is 'key, readable in the key itself [technical]';
comment on column enablebot.api_keys.key_hash is 'SHA-256 of the key [secret]';
comment on column enablebot.api_keys.name is 'what people call it [personal]';
comment on column enablebot.api_keys.scopes is 'what it may do [technical]';
comment on column enablebot.api_keys.created_by is 'Slack user, or cli [personal]';
comment on column enablebot.api_keys.created_at is 'when it was made [technical]';
comment on column enablebot.api_keys.expires_at is 'when it ends by itself, null for never [technical]';
comment on column enablebot.api_keys.revoked_at is 'when somebody ended it [technical]';
comment on column enablebot.api_keys.last_used_at is 'last use, to the minute [technical]';

-- A request with an Idempotency-Key: under way while it has a token, answered once it has a status.
create table enablebot.api_requests (
  tenant_id uuid not null references enablebot.tenants (id),
  api_key_id uuid not null,
  name_hash bytea not null check (octet_length(name_hash) = 32),
  token uuid,
  lease_until timestamptz,
  fingerprint bytea check (octet_length(fingerprint) = 32),
  status int check (status between 200 and 599),
  response bytea,
  data_key_id uuid,
  created_at timestamptz not null default now(),
  primary key (tenant_id, api_key_id, name_hash),
  foreign key (tenant_id, api_key_id) references enablebot.api_keys (tenant_id, id),
  foreign key (tenant_id, data_key_id) references enablebot.data_keys (tenant_id, id),
  check ((token is null) = (status is not null)),
  check ((token is null) = (lease_until is null)),
  check (num_nulls(status, fingerprint, response, data_key_id) in (0, 4))
) with (autovacuum_vacuum_scale_factor = 0.02);
-- Pruning by age.
create index api_requests_by_age on enablebot.api_requests (created_at);
comment on table enablebot.api_requests is 'Requests that their sender may repeat, and what was answered';
comment on column enablebot.api_requests.tenant_id is 'tenant [technical]';
comment on column enablebot.api_requests.api_key_id is 'key that sent it [technical]';
comment on column enablebot.api_requests.name_hash is 'SHA-256 of its Idempotency-Key [technical]';
comment on column enablebot.api_requests.token is 'who works on it, null once answered [technical]';
comment on column enablebot.api_requests.lease_until is 'until when that is believed [technical]';
comment on column enablebot.api_requests.fingerprint is 'SHA-256 of what was sent [technical]';
comment on column enablebot.api_requests.status is 'HTTP status of the answer [technical]';
comment on column enablebot.api_requests.response is 'the answer, sealed [content]';
comment on column enablebot.api_requests.data_key_id is 'key that sealed it [technical]';
comment on column enablebot.api_requests.created_at is 'when it came [technical]';

do $$
declare
  v_table name;
  v_wall constant text := 'tenant_id = any ((select enablebot.tenants())::uuid[])';
begin
  foreach v_table in array array['api_keys', 'api_requests']::name[] loop
    -- The wall, as 002 raises it around every table of a tenant.
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

-- A key names no tenant. Making, listing and revoking do, and are not the router's.
grant select, update (last_used_at) on enablebot.api_keys to enablebot_router;
create policy router_select on enablebot.api_keys for select to enablebot_router using (true);
create policy router_update on enablebot.api_keys for update to enablebot_router
  using (revoked_at is null) with check (revoked_at is null);

-- Pruning by age, of everybody, without a look at what was answered.
grant select (tenant_id, api_key_id, name_hash, created_at), delete on enablebot.api_requests to enablebot_router;
create policy router_select on enablebot.api_requests for select to enablebot_router using (true);
create policy router_delete on enablebot.api_requests for delete to enablebot_router
  using (created_at < now() - interval '1 hour');

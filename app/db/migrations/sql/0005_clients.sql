-- What a client is beyond a row: its settings, the audit of what was changed, the state of its lane.

ALTER TABLE tenants
    ADD COLUMN key_policy text NOT NULL DEFAULT 'own_then_platform'
        CONSTRAINT tenants_key_policy CHECK (key_policy IN ('own', 'platform', 'own_then_platform')),
    ADD COLUMN max_in_flight_per_job integer CHECK (max_in_flight_per_job > 0),
    ADD COLUMN fallback_after_seconds integer
        CONSTRAINT tenants_fallback_after CHECK (fallback_after_seconds >= 30);
COMMENT ON COLUMN tenants.key_policy IS 'own: only the client''s own keys; platform: only the platform''s; own_then_platform: the platform''s while the client has no enabled key of its own.';
COMMENT ON COLUMN tenants.max_in_flight_per_job IS 'Chunks of one job released or running at once; NULL: as many as the client may have.';
COMMENT ON COLUMN tenants.fallback_after_seconds IS 'After so long without a worker on its own lane the client''s work uses the shared lane until one is back; NULL: never.';

ALTER TABLE api_keys
    -- A worker could do nothing with a window that is none, nor with the list of keys that it stands in.
    ADD COLUMN extra_windows jsonb NOT NULL DEFAULT '[]' CONSTRAINT api_keys_extra_windows CHECK (
        CASE WHEN jsonb_typeof(extra_windows) = 'array' THEN jsonb_array_length(extra_windows) = jsonb_array_length(
            jsonb_path_query_array(extra_windows, 'strict $[*] ? (@.requests >= 1 && @.requests.floor() == @.requests
                && @.seconds >= 1 && @.seconds.floor() == @.seconds)')) ELSE false END),
    ADD COLUMN reset_hour smallint NOT NULL DEFAULT 0 CHECK (reset_hour BETWEEN 0 AND 23);
COMMENT ON COLUMN api_keys.extra_windows IS 'More windows beside requests_per_window: [{"requests": 1000, "seconds": 3600}].';
COMMENT ON COLUMN api_keys.reset_hour IS 'The hour (UTC) at which the provider''s day begins.';

-- Who changed what. Rows are only ever added; a client that is removed leaves its name behind.
CREATE TABLE audit_events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor         text NOT NULL,
    action        text NOT NULL,
    tenant_id     uuid,
    tenant_slug   text,
    from_queue    text,
    to_queue      text,
    chunks_moved  integer,
    details       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_events_tenant_idx ON audit_events (tenant_id, id DESC);
COMMENT ON COLUMN audit_events.actor IS 'Who: a person''s e-mail, "cli:<login>", "fall-back"; "sql" when nobody said (laneway.actor).';
COMMENT ON COLUMN audit_events.from_queue IS 'With to_queue: a client''s lane before and after; the shared lane by its name.';
COMMENT ON COLUMN audit_events.chunks_moved IS 'Chunks that waited at that moment and go to the new lane.';

-- The lane each client had at the last look: what a change is a change from.
CREATE TABLE tenant_routes (
    tenant_id   uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    queue       text,
    config_id   uuid,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN tenant_routes.queue IS 'NULL: the shared lane.';
CREATE INDEX tenant_routes_config_idx ON tenant_routes (config_id);
INSERT INTO tenant_routes (tenant_id, queue, config_id)
SELECT tenant_id, queue, config_id FROM tenant_lanes WHERE queue <> 'verification-queue';

CREATE TABLE lane_attendance (
    queue             text PRIMARY KEY,
    unattended_since  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE lane_attendance IS 'Lanes with released work and no live worker, since when; kept by tend_lanes.';

CREATE TABLE lane_fallbacks (
    tenant_id  uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    queue      text NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE lane_fallbacks IS 'Clients whose work uses the shared lane because their own has no worker; queue is their own.';

-- Rows done by lane, client and minute, added up by each worker: statistics, not the ledger.
CREATE TABLE lane_usage (
    minute     timestamptz NOT NULL,
    queue      text NOT NULL,
    tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    rows       bigint NOT NULL,
    PRIMARY KEY (queue, minute, tenant_id)
);
CREATE INDEX lane_usage_minute_idx ON lane_usage (minute);

-- A client's lane as its row says, and as it is in force: not while its work falls back to the shared lane.
CREATE VIEW configured_lanes WITH (security_invoker = true) AS
SELECT DISTINCT ON (u.tenant_id) u.tenant_id, wc.verification_queue AS queue, wc.id AS config_id, wc.user_id
FROM worker_configs wc JOIN users u ON u.id = wc.user_id
WHERE wc.is_active AND wc.worker_mode = 'dedicated' AND u.tenant_id IS NOT NULL AND wc.verification_queue <> 'verification-queue'
ORDER BY u.tenant_id, wc.updated_at DESC, wc.id;

CREATE OR REPLACE VIEW tenant_lanes WITH (security_invoker = true) AS
SELECT c.tenant_id, c.queue, c.config_id, c.user_id FROM configured_lanes c
WHERE NOT EXISTS (SELECT 1 FROM lane_fallbacks f WHERE f.tenant_id = c.tenant_id AND f.queue = c.queue);

CREATE FUNCTION laneway_actor() RETURNS text LANGUAGE sql STABLE
AS $$ SELECT coalesce(nullif(current_setting('laneway.actor', true), ''), 'sql') $$;
COMMENT ON FUNCTION laneway_actor IS 'Who acts in this transaction: set laneway.actor locally; psql need not.';

CREATE FUNCTION audit(p_action text, p_tenant uuid, p_details jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO audit_events (actor, action, tenant_id, tenant_slug, details)
    SELECT laneway_actor(), p_action, p_tenant, (SELECT slug FROM tenants WHERE id = p_tenant), coalesce(p_details, '{}')
$$;

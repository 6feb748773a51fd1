-- Webhooks: where events of jobs are sent, the events themselves, and what came of each sending. What may happen to them
-- is in 0016_webhooks_events.sql and 0016_webhooks_delivery.sql.

-- Work of the installation's own that runs on a client's ledger. Its client never sees such a job: the policy below hides it
-- from every query, and only what works on it says that it wants to see it.
ALTER TABLE jobs ADD COLUMN is_system boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN jobs.is_system IS 'Holds the chunk of a webhook endpoint; seen only where laneway.system_jobs is on.';
CREATE POLICY clients_jobs ON jobs AS RESTRICTIVE
    USING (NOT is_system OR (SELECT current_setting('laneway.system_jobs', true)) = 'on');

INSERT INTO chunk_kinds VALUES ('deliver', 'webhooks', false);

CREATE TABLE webhook_endpoints (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id           uuid NOT NULL DEFAULT laneway_tenant() REFERENCES tenants ON DELETE CASCADE,
    url                 text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    description         text NOT NULL DEFAULT '' CHECK (length(description) <= 200),
    events              text[] NOT NULL CONSTRAINT webhook_endpoints_events CHECK (events <@ ARRAY['job.progress',
                            'job.completed', 'job.failed', 'job.cancelled', 'job.dead_letter']),
    of_jobs             boolean NOT NULL DEFAULT false,
    secret_encrypted    bytea,
    previous_encrypted  bytea,
    previous_until      timestamptz,
    is_enabled          boolean NOT NULL DEFAULT true,
    disabled_at         timestamptz,
    disabled_reason     text CHECK (disabled_reason IN ('person', 'gone', 'failing')),
    failing_since       timestamptz,
    failures            integer NOT NULL DEFAULT 0,
    not_before          timestamptz,
    -- Made when there is something to send; a job that was removed with its month is made anew.
    job_id              uuid REFERENCES jobs ON DELETE SET NULL,
    created_by          uuid REFERENCES users ON DELETE SET NULL,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at          timestamptz,
    CONSTRAINT webhook_endpoints_secret CHECK (of_jobs OR deleted_at IS NOT NULL OR secret_encrypted IS NOT NULL)
) WITH (fillfactor = 80);
COMMENT ON COLUMN webhook_endpoints.of_jobs IS 'Not set up by a person: the webhook_url of jobs. Signed with the client''s own secret.';
COMMENT ON COLUMN webhook_endpoints.previous_until IS 'Until then the secret before the rotation signs as well.';
COMMENT ON COLUMN webhook_endpoints.failing_since IS 'The first failed attempt since the last that went well.';
COMMENT ON COLUMN webhook_endpoints.failures IS 'Failed attempts in a row.';
COMMENT ON COLUMN webhook_endpoints.not_before IS 'Nothing is sent before: the receiver asked for it, or has failed too often.';
CREATE INDEX webhook_endpoints_tenant_idx ON webhook_endpoints (tenant_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX webhook_endpoints_of_jobs_once ON webhook_endpoints (tenant_id, url) WHERE of_jobs AND deleted_at IS NULL;
CREATE INDEX webhook_endpoints_job_idx ON webhook_endpoints (job_id);

CREATE TABLE webhook_secrets (
    tenant_id           uuid PRIMARY KEY DEFAULT laneway_tenant() REFERENCES tenants ON DELETE CASCADE,
    secret_encrypted    bytea NOT NULL,
    previous_encrypted  bytea,
    previous_until      timestamptz,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    shown_at            timestamptz
);
COMMENT ON TABLE webhook_secrets IS 'What signs the events that go to the webhook_url of a job; made when the first is sent.';

-- The outbox: written in the transaction that changes the job. message_id is the same for every endpoint and every attempt.
CREATE TABLE webhook_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    uuid NOT NULL DEFAULT laneway_tenant() REFERENCES tenants ON DELETE CASCADE,
    message_id   text NOT NULL UNIQUE DEFAULT 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    type         text NOT NULL,
    job_id       uuid,
    job_url      text,
    endpoint_id  uuid REFERENCES webhook_endpoints ON DELETE CASCADE,
    payload      jsonb NOT NULL,
    is_spread    boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN webhook_events.job_id IS 'No reference: the log outlives its job.';
COMMENT ON COLUMN webhook_events.job_url IS 'The job''s own webhook_url at that moment.';
COMMENT ON COLUMN webhook_events.endpoint_id IS 'For this endpoint only: a test.';
COMMENT ON COLUMN webhook_events.is_spread IS 'Its deliveries have been made.';
CREATE INDEX webhook_events_new_idx ON webhook_events (id) WHERE NOT is_spread;
CREATE INDEX webhook_events_age_idx ON webhook_events (created_at);

CREATE TABLE webhook_deliveries (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id      uuid NOT NULL DEFAULT laneway_tenant() REFERENCES tenants ON DELETE CASCADE,
    event_id       bigint NOT NULL REFERENCES webhook_events ON DELETE CASCADE,
    endpoint_id    uuid NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    job_id         uuid,
    type           text NOT NULL,
    status         text NOT NULL CHECK (status IN ('pending', 'waiting', 'delivered', 'failed', 'cancelled')),
    attempts       smallint NOT NULL DEFAULT 0,
    next_at        timestamptz,
    is_replay      boolean NOT NULL DEFAULT false,
    answer_status  integer,
    error          text,
    last_at        timestamptz,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT webhook_deliveries_once UNIQUE (event_id, endpoint_id),
    CONSTRAINT webhook_deliveries_next CHECK ((status = 'pending') = (next_at IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON COLUMN webhook_deliveries.status IS 'waiting: behind an earlier event of its job; failed: given up; cancelled: the endpoint was switched off.';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'Since it was made or replayed; the log keeps all.';
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (endpoint_id, next_at, id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_order_idx ON webhook_deliveries (endpoint_id, job_id, id) WHERE status IN ('pending', 'waiting');
CREATE INDEX webhook_deliveries_tenant_idx ON webhook_deliveries (tenant_id, id DESC);
CREATE INDEX webhook_deliveries_job_idx ON webhook_deliveries (job_id, id DESC) WHERE job_id IS NOT NULL;
CREATE INDEX webhook_deliveries_not_sent_idx ON webhook_deliveries (tenant_id, status, id DESC) WHERE status IN ('failed', 'cancelled');
CREATE INDEX webhook_deliveries_endpoint_idx ON webhook_deliveries (endpoint_id, id DESC);

CREATE TABLE webhook_attempts (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id      uuid NOT NULL DEFAULT laneway_tenant() REFERENCES tenants ON DELETE CASCADE,
    delivery_id    bigint NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    number         smallint NOT NULL,
    at             timestamptz NOT NULL,
    url            text NOT NULL,
    headers        jsonb NOT NULL,
    answer_status  integer,
    answer         text,
    ms             integer NOT NULL,
    error          text
);
COMMENT ON COLUMN webhook_attempts.headers IS 'What was sent, without the signature.';
COMMENT ON COLUMN webhook_attempts.answer IS 'The first bytes of the answer''s body.';
CREATE INDEX webhook_attempts_delivery_idx ON webhook_attempts (delivery_id, id);

-- Only the sweep sees it, so it needs no policy: the role has no right to it.
CREATE TABLE webhook_progress (
    job_id  uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    done    integer NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE webhook_progress IS 'How far a running job was when its last job.progress was written.';
-- Running jobs that somebody may want to hear of, by their own address.
CREATE INDEX jobs_webhook_idx ON jobs (id) WHERE status = 'processing' AND webhook_url IS NOT NULL;

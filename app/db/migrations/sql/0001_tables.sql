-- The tables of the ledger, of people and of lanes. Functions are in 0001_ledger.sql, 0001_release.sql and
-- 0001_lookups.sql, row-level security and grants in 0001_security.sql.

CREATE FUNCTION laneway_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('laneway.tenant_id', true), '')::uuid $$;
COMMENT ON FUNCTION laneway_tenant IS 'The tenant of this transaction, NULL outside a tenant''s scope.';

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$;

CREATE TABLE tenants (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug           text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name           text NOT NULL CHECK (name <> ''),
    weight         smallint NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 100),
    max_in_flight  integer CHECK (max_in_flight > 0),
    created_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN tenants.weight IS 'Share of a shared lane: 2 gets twice what 1 gets.';
COMMENT ON COLUMN tenants.max_in_flight IS 'Chunks released or running at once; NULL: on a shared lane its part of the slots, so that one part stays free; a dedicated lane whole.';

CREATE TABLE users (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id      uuid REFERENCES tenants ON DELETE CASCADE,
    email          text NOT NULL CHECK (email = lower(email) AND email LIKE '%_@_%'),
    role           text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin', 'operator')),
    password_hash  text NOT NULL,
    is_active      boolean NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now(),
    last_login_at  timestamptz,
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_tenant_needed CHECK (role = 'operator' OR tenant_id IS NOT NULL)
);
CREATE INDEX users_tenant_idx ON users (tenant_id);

CREATE TABLE worker_configs (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id             uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    worker_mode         text NOT NULL DEFAULT 'shared' CHECK (worker_mode IN ('shared', 'dedicated')),
    verification_queue  text,
    api_key_hint        text,
    notes               text,
    is_active           boolean NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT worker_configs_queue_needed
        CHECK (worker_mode = 'shared' OR coalesce(verification_queue, '') <> '')
);
CREATE UNIQUE INDEX worker_configs_one_active ON worker_configs (user_id) WHERE is_active;
CREATE TRIGGER worker_configs_touch BEFORE UPDATE ON worker_configs
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- A tenant's lane: the newest active dedicated row of any of its people. No row: the shared lane.
CREATE VIEW tenant_lanes WITH (security_invoker = true) AS
SELECT DISTINCT ON (u.tenant_id) u.tenant_id, wc.verification_queue AS queue, wc.id AS config_id, wc.user_id
FROM worker_configs wc JOIN users u ON u.id = wc.user_id
WHERE wc.is_active AND wc.worker_mode = 'dedicated' AND u.tenant_id IS NOT NULL
ORDER BY u.tenant_id, wc.updated_at DESC, wc.id;

CREATE TABLE api_keys (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id            uuid REFERENCES tenants ON DELETE CASCADE,
    provider             text NOT NULL DEFAULT 'mailtester',
    fingerprint          text NOT NULL,
    secret_encrypted     bytea NOT NULL,
    hint                 text NOT NULL CHECK (length(hint) <= 4),
    spacing_ms           integer NOT NULL DEFAULT 250 CHECK (spacing_ms >= 0),
    requests_per_window  integer CHECK (requests_per_window > 0),
    window_seconds       integer NOT NULL DEFAULT 30 CHECK (window_seconds > 0),
    daily_limit          integer CHECK (daily_limit > 0),
    is_enabled           boolean NOT NULL DEFAULT true,
    notes                text,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN api_keys.tenant_id IS 'NULL: a key of the platform, for tenants who have none of their own.';
CREATE UNIQUE INDEX api_keys_once ON api_keys
    (provider, fingerprint, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX api_keys_tenant_idx ON api_keys (tenant_id);
CREATE TRIGGER api_keys_touch BEFORE UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- What a key was used for, by UTC day: outlives the limiter's state in Redis.
CREATE TABLE key_usage (
    fingerprint   text NOT NULL,
    day           date NOT NULL,
    used          integer NOT NULL DEFAULT 0,
    last_used_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (fingerprint, day)
);

CREATE TABLE jobs (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    created_by      uuid REFERENCES users ON DELETE SET NULL,
    kind            text NOT NULL,
    title           text NOT NULL DEFAULT '',
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('scheduled', 'pending', 'processing',
                        'retrying', 'waiting', 'completed', 'failed', 'cancelled', 'dead_letter')),
    priority        smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
    tags            text[] NOT NULL DEFAULT '{}',
    params          jsonb NOT NULL DEFAULT '{}',
    webhook_url     text,
    scheduled_for   timestamptz,
    max_retries     smallint CHECK (max_retries >= 0),
    total_items     integer NOT NULL DEFAULT 0,
    done_items      integer NOT NULL DEFAULT 0,
    failed_items    integer NOT NULL DEFAULT 0,
    bad_rows        integer NOT NULL DEFAULT 0,
    duplicate_rows  integer NOT NULL DEFAULT 0,
    counts          jsonb NOT NULL DEFAULT '{}',
    chunks_open     integer NOT NULL DEFAULT 0,
    error           text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    updated_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN jobs.done_items IS 'Of ended chunks only; add the open chunks'' for the whole (job_progress).';
CREATE INDEX jobs_tenant_idx ON jobs (tenant_id, id DESC);
CREATE INDEX jobs_tenant_status_idx ON jobs (tenant_id, status, id DESC);

CREATE TABLE chunk_kinds (
    kind        text PRIMARY KEY,
    base_queue  text NOT NULL,
    per_tenant  boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE chunk_kinds IS 'Which queue a kind of chunk is released to; per_tenant: unless the tenant has a lane of its own. routing/queues.py holds the same, and a test compares them.';
INSERT INTO chunk_kinds VALUES
    ('parse', 'enrichment-job-creation', false),
    ('verify', 'verification-queue', true);

CREATE TABLE chunks (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id            uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    tenant_id         uuid NOT NULL,
    kind              text NOT NULL REFERENCES chunk_kinds,
    priority          smallint NOT NULL,
    first_item        integer NOT NULL DEFAULT 0,
    last_item         integer NOT NULL DEFAULT 0,
    status            text NOT NULL DEFAULT 'ready'
                      CHECK (status IN ('ready', 'released', 'running', 'done', 'dead', 'cancelled')),
    run_at            timestamptz NOT NULL DEFAULT now(),
    attempts          smallint NOT NULL DEFAULT 0,
    fence             integer NOT NULL DEFAULT 0,
    queue             text,
    released_at       timestamptz,
    leased_by         uuid,
    lease_until       timestamptz,
    started_at        timestamptz,
    finished_at       timestamptz,
    cancel_requested  boolean NOT NULL DEFAULT false,
    done_items        integer NOT NULL DEFAULT 0,
    failed_items      integer NOT NULL DEFAULT 0,
    counts            jsonb NOT NULL DEFAULT '{}',
    retries           jsonb NOT NULL DEFAULT '{}',
    error             text
) WITH (fillfactor = 80);
COMMENT ON COLUMN chunks.attempts IS 'Leases in a row that ended without a word from the worker and without a row done.';
COMMENT ON COLUMN chunks.retries IS '{item_no: [attempts, not before (epoch s), last reason]} of items whose provider failed.';
CREATE INDEX chunks_ready_idx ON chunks (kind, tenant_id, priority, run_at, id) WHERE status = 'ready';
CREATE INDEX chunks_due_idx ON chunks (run_at) WHERE status = 'ready';
CREATE INDEX chunks_flight_idx ON chunks (queue, tenant_id, status) INCLUDE (priority) WHERE status IN ('released', 'running');
CREATE INDEX chunks_lease_idx ON chunks (lease_until) WHERE status = 'running';
CREATE INDEX chunks_suspect_idx ON chunks (id) WHERE attempts >= 2 AND status IN ('ready', 'released', 'running');
CREATE INDEX chunks_job_idx ON chunks (job_id, id);
CREATE INDEX chunks_progress_idx ON chunks (job_id)
    WHERE status IN ('ready', 'released', 'running') AND done_items > 0;

-- Items and results are partitioned by month through the time that a job's id (UUIDv7) begins with: a month's
-- partition is dropped when it is no longer kept, and (job_id, item_no) stays unique.
CREATE TABLE job_items (
    job_id     uuid NOT NULL,
    item_no    integer NOT NULL,
    tenant_id  uuid NOT NULL DEFAULT laneway_tenant(),
    line_no    integer NOT NULL,
    email      text NOT NULL,
    cells      jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (job_id, item_no)
) PARTITION BY RANGE (job_id);

CREATE TABLE job_results (
    job_id      uuid NOT NULL,
    item_no     integer NOT NULL,
    tenant_id   uuid NOT NULL DEFAULT laneway_tenant(),
    verdict     text NOT NULL CHECK (verdict IN ('valid', 'invalid', 'catch_all', 'unknown')),
    code        text,
    message     text,
    mx          text,
    provider    text,
    is_failure  boolean NOT NULL DEFAULT false,
    checked_at  timestamptz NOT NULL,
    PRIMARY KEY (job_id, item_no)
) PARTITION BY RANGE (job_id);
COMMENT ON COLUMN job_results.is_failure IS 'Not the provider''s verdict: it could not be had. Such rows can be retried.';
CREATE INDEX job_results_verdict_idx ON job_results (job_id, verdict, item_no);

CREATE TABLE job_duplicates (
    job_id        uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    item_no       integer NOT NULL,
    tenant_id     uuid NOT NULL DEFAULT laneway_tenant(),
    duplicate_of  integer NOT NULL,
    PRIMARY KEY (job_id, item_no)
);
CREATE INDEX job_duplicates_of_idx ON job_duplicates (job_id, duplicate_of);

CREATE TABLE job_row_errors (
    job_id     uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    line_no    integer NOT NULL,
    tenant_id  uuid NOT NULL DEFAULT laneway_tenant(),
    reason     text NOT NULL,
    excerpt    text NOT NULL DEFAULT '',
    PRIMARY KEY (job_id, line_no)
);

CREATE TABLE idempotency_keys (
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    route         text NOT NULL,
    key           text NOT NULL,
    request_hash  text,
    job_id        uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, route, key)
);

CREATE TABLE lane_holds (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    kind        text NOT NULL REFERENCES chunk_kinds,
    until       timestamptz NOT NULL,
    reason      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind)
);
COMMENT ON TABLE lane_holds IS 'Why and until when a tenant''s chunks are not released: its keys have nothing to give before.';

CREATE TABLE workers (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    hostname    text NOT NULL,
    pid         integer NOT NULL,
    mode        text NOT NULL DEFAULT 'shared',
    client_id   uuid,
    queues      text[] NOT NULL,
    slots       integer NOT NULL,
    running     integer NOT NULL DEFAULT 0,
    rows_per_second   double precision NOT NULL DEFAULT 0,
    environment_keys  jsonb NOT NULL DEFAULT '[]',
    started_at  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN workers.environment_keys IS '[{fingerprint, hint, spacing_ms, requests_per_window, window_seconds, daily_limit}] of the keys in the process''s environment.';
COMMENT ON TABLE workers IS 'Live worker processes; a row that is not refreshed is a worker that is gone.';

CREATE TABLE system_ticks (
    name      text NOT NULL,
    due_at    timestamptz NOT NULL,
    ran_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, due_at)
);
COMMENT ON TABLE system_ticks IS 'A periodic act that was done; the key makes it once, whatever number of Beats run.';

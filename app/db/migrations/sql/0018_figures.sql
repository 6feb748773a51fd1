-- Figures of jobs and of calls by the minute, so that a window of a day is read from some hundreds of rows, whatever number
-- of jobs there are. Times go into histograms, a row a bucket that is not empty: bucket n holds what took from 2^(n/4) to
-- 2^((n+1)/4) ms, so that a percentile is known to within a fifth.

-- Several rows a minute (shard), so that jobs that end in the same moment don't wait for each other's transactions.
CREATE TABLE job_figures (
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    minute        timestamptz NOT NULL,
    kind          text NOT NULL,
    shard         integer NOT NULL,
    created       integer NOT NULL DEFAULT 0,
    completed     integer NOT NULL DEFAULT 0,
    failed        integer NOT NULL DEFAULT 0,
    dead_letter   integer NOT NULL DEFAULT 0,
    cancelled     integer NOT NULL DEFAULT 0,
    items_done    bigint NOT NULL DEFAULT 0,
    items_failed  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, minute, kind, shard)
) WITH (fillfactor = 70);
COMMENT ON TABLE job_figures IS 'What each minute added; less than nothing where a retry undid what an earlier minute counted.';

CREATE TABLE job_took (
    tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    minute     timestamptz NOT NULL,
    kind       text NOT NULL,
    shard      integer NOT NULL,
    place      smallint NOT NULL,
    n          integer NOT NULL,
    PRIMARY KEY (tenant_id, minute, kind, shard, place)
) WITH (fillfactor = 70);
COMMENT ON TABLE job_took IS 'Histogram of ms from when a job was due, or was tried again, to its end.';

CREATE TABLE call_figures (
    tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    minute     timestamptz NOT NULL,
    provider   text NOT NULL,
    calls      integer NOT NULL DEFAULT 0,
    errors     integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, minute, provider)
) WITH (fillfactor = 70);
COMMENT ON TABLE call_figures IS 'Calls to providers, by when they were told of: some seconds after they were made.';

CREATE TABLE call_took (
    tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    minute     timestamptz NOT NULL,
    provider   text NOT NULL,
    place      smallint NOT NULL,
    n          integer NOT NULL,
    PRIMARY KEY (tenant_id, minute, provider, place)
) WITH (fillfactor = 70);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['job_figures', 'job_took', 'call_figures', 'call_took'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT laneway_tenant()))', t);
    END LOOP;
END $$;
GRANT SELECT ON job_figures, job_took, call_figures, call_took TO {app_role};

ALTER TABLE jobs
    ADD COLUMN figured_status  text,
    ADD COLUMN figured_done    integer NOT NULL DEFAULT 0,
    ADD COLUMN figured_failed  integer NOT NULL DEFAULT 0,
    ADD COLUMN retried_at      timestamptz;
COMMENT ON COLUMN jobs.figured_status IS 'As what the job stands in job_figures, with figured_done and figured_failed rows; NULL: it has not ended yet.';
COMMENT ON COLUMN jobs.retried_at IS 'When an ended job was opened again last.';

CREATE FUNCTION took_bucket(p_ms double precision) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (1 + least(127, floor(4 * log(2, greatest(1, p_ms)::numeric))))::smallint $$;
COMMENT ON FUNCTION took_bucket IS 'The place (from 1) of a time in a histogram of figures.';

-- A shard that no other transaction writes to until this one ends: so nobody waits for another's figures, in whatever order
-- transactions with many jobs come by. The lowest that is free, which keeps the rows few.
CREATE FUNCTION figures_shard() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    FOR s IN 0..31 LOOP
        IF pg_try_advisory_xact_lock(7245020, s) THEN RETURN s; END IF;
    END LOOP;
    RETURN 32 + pg_backend_pid();
END $$;

CREATE FUNCTION jobs_figured_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO job_figures AS f (tenant_id, minute, kind, shard, created)
    VALUES (NEW.tenant_id, date_trunc('minute', clock_timestamp()), NEW.kind, figures_shard(), 1)
    ON CONFLICT (tenant_id, minute, kind, shard) DO UPDATE SET created = f.created + 1;
    RETURN NULL;
END $$;

-- Add to the figures how an ended job differs from what it was counted with: it may be tried again, and what was being asked
-- when it was cancelled is recorded after its end.
CREATE FUNCTION jobs_figured_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_minute  timestamptz := date_trunc('minute', clock_timestamp());
    v_shard   integer := figures_shard();
    v_was     text := coalesce(OLD.figured_status, '');
BEGIN
    INSERT INTO job_figures AS f (tenant_id, minute, kind, shard, completed, failed, dead_letter, cancelled, items_done, items_failed)
    VALUES (NEW.tenant_id, v_minute, NEW.kind, v_shard,
        (NEW.status = 'completed')::integer - (v_was = 'completed')::integer,
        (NEW.status = 'failed')::integer - (v_was = 'failed')::integer,
        (NEW.status = 'dead_letter')::integer - (v_was = 'dead_letter')::integer,
        (NEW.status = 'cancelled')::integer - (v_was = 'cancelled')::integer,
        NEW.done_items - OLD.figured_done, NEW.failed_items - OLD.figured_failed)
    ON CONFLICT (tenant_id, minute, kind, shard) DO UPDATE SET
        completed = f.completed + excluded.completed, failed = f.failed + excluded.failed,
        dead_letter = f.dead_letter + excluded.dead_letter, cancelled = f.cancelled + excluded.cancelled,
        items_done = f.items_done + excluded.items_done, items_failed = f.items_failed + excluded.items_failed;
    IF NEW.status <> OLD.status THEN
        INSERT INTO job_took AS t (tenant_id, minute, kind, shard, place, n)
        VALUES (NEW.tenant_id, v_minute, NEW.kind, v_shard, took_bucket(1000 * extract(epoch FROM
            clock_timestamp() - greatest(NEW.created_at, NEW.scheduled_for, NEW.retried_at))), 1)
        ON CONFLICT (tenant_id, minute, kind, shard, place) DO UPDATE SET n = t.n + 1;
    END IF;
    NEW.figured_status := NEW.status;
    NEW.figured_done := NEW.done_items;
    NEW.figured_failed := NEW.failed_items;
    RETURN NEW;
END $$;

CREATE FUNCTION jobs_retried() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN NEW.retried_at := clock_timestamp(); RETURN NEW; END $$;

-- Not of jobs of the system, nor of those that act on other jobs: their items are no rows.
CREATE TRIGGER jobs_figured_new AFTER INSERT ON jobs
    FOR EACH ROW WHEN (NOT NEW.is_system AND NEW.kind <> 'bulk') EXECUTE FUNCTION jobs_figured_new();
CREATE TRIGGER jobs_figured_end BEFORE UPDATE OF status, done_items, failed_items ON jobs FOR EACH ROW
    WHEN (NOT NEW.is_system AND NEW.kind <> 'bulk' AND NEW.status IN ('completed', 'failed', 'dead_letter', 'cancelled')
        AND (NEW.status, NEW.done_items, NEW.failed_items) IS DISTINCT FROM (OLD.figured_status, OLD.figured_done, OLD.figured_failed))
    EXECUTE FUNCTION jobs_figured_end();
CREATE TRIGGER jobs_retried BEFORE UPDATE OF status ON jobs FOR EACH ROW
    WHEN (OLD.status IN ('completed', 'failed', 'dead_letter', 'cancelled')
        AND NEW.status NOT IN ('completed', 'failed', 'dead_letter', 'cancelled'))
    EXECUTE FUNCTION jobs_retried();

-- Add calls: [{"tenant_id", "provider", "calls", "errors", "took": {"place": n}}, …]; a client that is gone is left out.
CREATE FUNCTION add_call_figures(p_rows jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_minute  timestamptz := date_trunc('minute', clock_timestamp());
    r         record;
BEGIN
    -- In one order, so that two workers never wait for each other.
    FOR r IN SELECT t.* FROM jsonb_to_recordset(p_rows) AS t(tenant_id uuid, provider text, calls integer, errors integer, took jsonb)
             JOIN tenants ON tenants.id = t.tenant_id ORDER BY t.tenant_id, t.provider LOOP
        INSERT INTO call_figures AS f (tenant_id, minute, provider, calls, errors)
        VALUES (r.tenant_id, v_minute, r.provider, r.calls, r.errors)
        ON CONFLICT (tenant_id, minute, provider) DO UPDATE SET calls = f.calls + excluded.calls, errors = f.errors + excluded.errors;
        INSERT INTO call_took AS t (tenant_id, minute, provider, place, n)
        SELECT r.tenant_id, v_minute, r.provider, e.key::smallint, e.value::integer FROM jsonb_each_text(r.took) e
        ON CONFLICT (tenant_id, minute, provider, place) DO UPDATE SET n = t.n + excluded.n;
    END LOOP;
END $$;

CREATE FUNCTION forget_figures(p_days integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t      text;
    m      bigint;
    n      bigint := 0;
BEGIN
    FOREACH t IN ARRAY ARRAY['job_figures', 'job_took', 'call_figures', 'call_took'] LOOP
        EXECUTE format('DELETE FROM %I WHERE minute < $1', t)
        USING clock_timestamp() - make_interval(days => greatest(1, p_days));
        GET DIAGNOSTICS m = ROW_COUNT;
        n := n + m;
    END LOOP;
    RETURN n;
END $$;

-- What of this transaction's tenant is due and waits, by kind of chunk: how many (up to p_limit each) and since when.
CREATE FUNCTION work_waiting(p_limit integer) RETURNS TABLE (kind text, depth bigint, oldest timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_now     timestamptz := clock_timestamp();
    v_tenant  uuid := laneway_tenant();
BEGIN
    RETURN QUERY
    SELECT k.kind, n.depth, o.oldest FROM chunk_kinds k
    CROSS JOIN LATERAL (SELECT count(*) AS depth FROM (
        SELECT 1 FROM chunks c WHERE c.status = 'ready' AND c.kind = k.kind AND c.tenant_id = v_tenant AND c.run_at <= v_now LIMIT p_limit
    ) s) n
    CROSS JOIN LATERAL (SELECT min(f.run_at) AS oldest FROM generate_series(1, 5) p CROSS JOIN LATERAL (
        SELECT c.run_at FROM chunks c WHERE c.status = 'ready' AND c.kind = k.kind AND c.tenant_id = v_tenant AND c.priority = p
        ORDER BY c.run_at LIMIT 1) f WHERE f.run_at <= v_now) o
    WHERE n.depth > 0;
END $$;

REVOKE ALL ON FUNCTION took_bucket(double precision), figures_shard(), jobs_figured_new(), jobs_figured_end(), jobs_retried(), add_call_figures(jsonb), forget_figures(integer),
    work_waiting(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_call_figures(jsonb), forget_figures(integer), work_waiting(integer) TO {app_role};

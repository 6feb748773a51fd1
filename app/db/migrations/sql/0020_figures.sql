-- Figures of jobs and of calls by the minute, so that a window of a day is read from some hundreds of rows, whatever number
-- of jobs there are. Times go into histograms: bucket n holds what took from 2^(n/4) to 2^((n+1)/4) ms, so that a percentile
-- is known to within a fifth.

-- Several rows a minute (shard), so that jobs that end in the same moment don't wait for each other's transactions.
CREATE TABLE job_figures (
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    minute        timestamptz NOT NULL,
    kind          text NOT NULL,
    shard         smallint NOT NULL,
    created       integer NOT NULL DEFAULT 0,
    completed     integer NOT NULL DEFAULT 0,
    failed        integer NOT NULL DEFAULT 0,
    dead_letter   integer NOT NULL DEFAULT 0,
    cancelled     integer NOT NULL DEFAULT 0,
    items_done    bigint NOT NULL DEFAULT 0,
    items_failed  bigint NOT NULL DEFAULT 0,
    took          integer[] NOT NULL DEFAULT array_fill(0, ARRAY[128]),
    PRIMARY KEY (tenant_id, minute, kind, shard)
) WITH (fillfactor = 70);
COMMENT ON COLUMN job_figures.took IS 'Histogram of ms from when a job was due to its end.';

CREATE TABLE call_figures (
    tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    minute     timestamptz NOT NULL,
    provider   text NOT NULL,
    calls      integer NOT NULL DEFAULT 0,
    errors     integer NOT NULL DEFAULT 0,
    took       integer[] NOT NULL DEFAULT array_fill(0, ARRAY[128]),
    PRIMARY KEY (tenant_id, minute, provider)
) WITH (fillfactor = 70);
COMMENT ON TABLE call_figures IS 'Calls to providers, by when they were told of: some seconds after they were made.';

ALTER TABLE job_figures ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job_figures USING (tenant_id = (SELECT laneway_tenant()));
ALTER TABLE call_figures ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON call_figures USING (tenant_id = (SELECT laneway_tenant()));
GRANT SELECT ON job_figures, call_figures TO {app_role};

CREATE FUNCTION took_bucket(p_ms double precision) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 1 + least(127, floor(4 * log(2, greatest(1, p_ms)::numeric)))::integer $$;
COMMENT ON FUNCTION took_bucket IS 'The place (from 1) of a time in a histogram of figures.';

CREATE FUNCTION jobs_figured() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_minute  timestamptz := date_trunc('minute', clock_timestamp());
    v_shard   smallint := pg_backend_pid() % 8;
    v_place   integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_figures AS f (tenant_id, minute, kind, shard, created) VALUES (NEW.tenant_id, v_minute, NEW.kind, v_shard, 1)
        ON CONFLICT (tenant_id, minute, kind, shard) DO UPDATE SET created = f.created + 1;
        RETURN NULL;
    END IF;
    v_place := took_bucket(1000 * extract(epoch FROM clock_timestamp() - greatest(NEW.created_at, NEW.scheduled_for)));
    INSERT INTO job_figures AS f (tenant_id, minute, kind, shard) VALUES (NEW.tenant_id, v_minute, NEW.kind, v_shard)
    ON CONFLICT (tenant_id, minute, kind, shard) DO NOTHING;
    UPDATE job_figures f SET
        completed = completed + (NEW.status = 'completed')::integer, failed = failed + (NEW.status = 'failed')::integer,
        dead_letter = dead_letter + (NEW.status = 'dead_letter')::integer, cancelled = cancelled + (NEW.status = 'cancelled')::integer,
        items_done = items_done + NEW.done_items, items_failed = items_failed + NEW.failed_items,
        took[v_place] = took[v_place] + 1
    WHERE f.tenant_id = NEW.tenant_id AND f.minute = v_minute AND f.kind = NEW.kind AND f.shard = v_shard;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_figured_new AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_figured();
CREATE TRIGGER jobs_figured_end AFTER UPDATE OF status ON jobs FOR EACH ROW
    WHEN (NEW.status IS DISTINCT FROM OLD.status AND NEW.status IN ('completed', 'failed', 'dead_letter', 'cancelled'))
    EXECUTE FUNCTION jobs_figured();

-- Add calls: [{"tenant_id", "provider", "calls", "errors", "took": {"place": n}}, …]; a client that is gone is left out.
CREATE FUNCTION add_call_figures(p_rows jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    r  record;
BEGIN
    -- In one order, so that two workers never wait for each other.
    FOR r IN SELECT t.* FROM jsonb_to_recordset(p_rows) AS t(tenant_id uuid, provider text, calls integer, errors integer, took jsonb)
             JOIN tenants ON tenants.id = t.tenant_id ORDER BY t.tenant_id, t.provider LOOP
        INSERT INTO call_figures AS f (tenant_id, minute, provider, calls, errors, took)
        SELECT r.tenant_id, date_trunc('minute', clock_timestamp()), r.provider, r.calls, r.errors,
            ARRAY(SELECT coalesce((r.took ->> n::text)::integer, 0) FROM generate_series(1, 128) n ORDER BY n)
        ON CONFLICT (tenant_id, minute, provider) DO UPDATE SET calls = f.calls + excluded.calls, errors = f.errors + excluded.errors,
            took = ARRAY(SELECT a + b FROM unnest(f.took, excluded.took) WITH ORDINALITY AS t(a, b, n) ORDER BY n);
    END LOOP;
END $$;

CREATE FUNCTION forget_figures(p_days integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n  bigint;
    m  bigint;
BEGIN
    DELETE FROM job_figures WHERE minute < clock_timestamp() - make_interval(days => greatest(1, p_days));
    GET DIAGNOSTICS n = ROW_COUNT;
    DELETE FROM call_figures WHERE minute < clock_timestamp() - make_interval(days => greatest(1, p_days));
    GET DIAGNOSTICS m = ROW_COUNT;
    RETURN n + m;
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

REVOKE ALL ON FUNCTION took_bucket(double precision), jobs_figured(), add_call_figures(jsonb), forget_figures(integer),
    work_waiting(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_call_figures(jsonb), forget_figures(integer), work_waiting(integer) TO {app_role};

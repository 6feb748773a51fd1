-- Indexes of chunks that a record of outcomes need not touch, and one that no plan can use for a single client's work.
--
-- A running chunk is written once a second. While one of its indexes, or of their predicates, names a column that changes
-- each time (lease_until, done_items, progress_at), each write adds an entry to all eight indexes, and what is in flight is
-- found among the dead. So: expired leases are looked for among what runs, which is never many; and progress is found by
-- columns that change once in ten seconds or never again.
DROP INDEX chunks_lease_idx, chunks_progress_idx, chunks_progress_at_idx, chunks_due_idx;
CREATE INDEX chunks_progress_idx ON chunks (job_id)
    WHERE status IN ('ready', 'released', 'running') AND started_at IS NOT NULL;
CREATE INDEX chunks_mark_idx ON chunks (mark_at) WHERE mark_at IS NOT NULL;
-- What is due next, of everybody. A statement uses it only when it says kind <> '' as well, which is always true: before the
-- table's first ANALYZE the planner took it for a single client's chunks too, and read all that was due for each client.
CREATE INDEX chunks_due_idx ON chunks (run_at) WHERE status = 'ready' AND kind <> '';

COMMENT ON COLUMN chunks.mark_at IS 'The last record that began a stretch of ten seconds: at most so long before progress_at.';

CREATE OR REPLACE FUNCTION chunks_note_progress() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    IF NEW.done_items < OLD.done_items THEN
        -- Taken back for a retry: nothing was recorded.
        NEW.progress_at := NULL;
    ELSIF OLD.progress_at IS NULL OR OLD.mark_at IS NULL OR OLD.progress_at < moment - interval '10 s' THEN
        NEW.progress_at := moment;
        NEW.mark_at := moment;
        NEW.mark_done := OLD.done_items;
        NEW.prior_at := moment;
        NEW.prior_done := OLD.done_items;
    ELSE
        NEW.progress_at := moment;
        IF OLD.mark_at < moment - interval '10 s' THEN
            NEW.prior_at := OLD.mark_at;
            NEW.prior_done := OLD.mark_done;
            NEW.mark_at := moment;
            NEW.mark_done := OLD.done_items;
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION lookup_finds_progress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chunks c SET attempts = 0, progress_at = clock_timestamp(),
        mark_at = CASE WHEN c.mark_at > clock_timestamp() - interval '10 s' THEN c.mark_at ELSE clock_timestamp() END,
        mark_done = CASE WHEN c.mark_at > clock_timestamp() - interval '10 s' THEN c.mark_done ELSE c.done_items END,
        prior_at = CASE WHEN c.mark_at > clock_timestamp() - interval '10 s' THEN c.prior_at ELSE c.mark_at END,
        prior_done = CASE WHEN c.mark_at > clock_timestamp() - interval '10 s' THEN c.prior_done ELSE c.mark_done END
    WHERE c.id IN (
        SELECT x.id FROM chunks x JOIN found f ON f.job_id = x.job_id AND f.item_no BETWEEN x.first_item AND x.last_item
        WHERE x.kind = 'enrich' AND x.status = 'running');
    RETURN NULL;
END $$;

-- A job with what its open chunks have recorded so far, and the lane of its present work.
CREATE OR REPLACE VIEW job_overview WITH (security_invoker = true) AS
SELECT j.id, j.tenant_id, j.kind, j.title, j.status, j.priority, j.tags, j.created_at, j.started_at, j.finished_at,
    j.updated_at, j.webhook_url, j.error, j.params, j.total_items AS total, j.bad_rows, j.duplicate_rows, j.chunks_open,
    j.done_items + o.done AS done, j.failed_items + o.failed AS failed,
    coalesce((j.counts ->> 'valid')::integer, 0) + o.valid AS valid,
    coalesce((j.counts ->> 'invalid')::integer, 0) + o.invalid AS invalid,
    coalesce((j.counts ->> 'catch_all')::integer, 0) + o.catch_all AS catch_all,
    coalesce((j.counts ->> 'unknown')::integer, 0) + o.unknown AS unknown,
    o.progress_at, u.email AS created_by, n.kind AS chunk_kind, n.queue AS lane, coalesce(n.is_dedicated, false) AS is_dedicated,
    coalesce((j.counts ->> 'found')::integer, 0) + o.found AS found,
    coalesce((j.counts ->> 'partial')::integer, 0) + o.partial AS partial,
    coalesce((j.counts ->> 'not_found')::integer, 0) + o.not_found AS not_found,
    j.scheduled_for, j.max_retries
FROM jobs j
LEFT JOIN users u ON u.id = j.created_by
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.done_items), 0)::integer AS done, coalesce(sum(c.failed_items), 0)::integer AS failed,
        coalesce(sum((c.counts ->> 'valid')::integer), 0)::integer AS valid,
        coalesce(sum((c.counts ->> 'invalid')::integer), 0)::integer AS invalid,
        coalesce(sum((c.counts ->> 'catch_all')::integer), 0)::integer AS catch_all,
        coalesce(sum((c.counts ->> 'unknown')::integer), 0)::integer AS unknown,
        coalesce(sum((c.counts ->> 'found')::integer), 0)::integer AS found,
        coalesce(sum((c.counts ->> 'partial')::integer), 0)::integer AS partial,
        coalesce(sum((c.counts ->> 'not_found')::integer), 0)::integer AS not_found, max(c.progress_at) AS progress_at
    FROM chunks c WHERE c.job_id = j.id AND c.status IN ('ready', 'released', 'running') AND c.started_at IS NOT NULL
) o
LEFT JOIN LATERAL (
    -- The newest chunk says what kind of work the job is at: parsing first, then what parsing cut.
    SELECT c.kind, k.per_tenant AND l.queue IS NOT NULL AS is_dedicated,
        coalesce(CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS queue
    -- Asked as a range, it can only go through the index on (job_id, id); as an equation, the planner might walk back
    -- through everybody's newer chunks.
    FROM (SELECT x.kind, x.tenant_id FROM chunks x WHERE x.job_id >= j.id AND x.job_id <= j.id
          ORDER BY x.job_id DESC, x.id DESC LIMIT 1) c
    JOIN chunk_kinds k ON k.kind = c.kind LEFT JOIN tenant_lanes l ON l.tenant_id = c.tenant_id
) n ON true;

CREATE OR REPLACE FUNCTION job_status(p_job uuid, p_presence_seconds double precision, p_window double precision)
RETURNS TABLE (
    id uuid, tenant_id uuid, kind text, title text, status text, priority smallint, tags text[], created_at timestamptz,
    started_at timestamptz, finished_at timestamptz, updated_at timestamptz, webhook_url text, error text, params jsonb,
    total integer, bad_rows integer, duplicate_rows integer, chunks_open integer, done integer, failed integer, valid integer,
    invalid integer, catch_all integer, unknown integer, progress_at timestamptz, created_by text, chunk_kind text, lane text,
    is_dedicated boolean, found integer, partial integer, not_found integer, scheduled_for timestamptz, max_retries smallint,
    at timestamptz, workers bigint, lane_tenants bigint, held_until timestamptz, held_reason text, recent_rows double precision,
    recent_at timestamptz, is_in_flight boolean)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT v.*, clock_timestamp(), p.workers, p.tenants, h.until, h.reason, r.rows, greatest(r.at, o.at),
        EXISTS (SELECT 1 FROM chunks c WHERE c.queue = v.lane AND c.tenant_id = v.tenant_id
                AND c.status IN ('released', 'running') AND c.job_id = v.id)
    FROM job_overview v
    LEFT JOIN lane_holds h ON h.tenant_id = v.tenant_id AND h.kind = v.chunk_kind AND h.until > clock_timestamp()
    CROSS JOIN LATERAL lane_presence(v.lane, p_presence_seconds) p
    CROSS JOIN LATERAL (
        SELECT max(c.progress_at) AS at, coalesce(sum((c.done_items - c.prior_done) * p_window
            / greatest(p_window, extract(epoch FROM clock_timestamp() - c.prior_at)::double precision)), 0) AS rows
        FROM chunks c WHERE c.mark_at > (SELECT clock_timestamp() - make_interval(secs => p_window + 10))
            AND c.progress_at > clock_timestamp() - make_interval(secs => p_window) AND c.job_id = v.id
    ) r
    -- Finds move a chunk on without a row done.
    LEFT JOIN LATERAL (
        SELECT max(c.progress_at) AS at FROM chunks c WHERE v.chunk_kind = 'enrich' AND c.job_id = v.id AND c.status = 'running'
    ) o ON true
    WHERE v.id = p_job;
END $$;

CREATE OR REPLACE FUNCTION webhook_job_data(j jobs) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    SELECT jsonb_build_object('job', jsonb_build_object(
        'id', j.id, 'kind', j.kind, 'title', left(j.title, 300), 'status', j.status, 'priority', j.priority,
        'tags', to_jsonb(ARRAY(SELECT left(t, 100) FROM unnest(j.tags[1:50]) AS t)),
        'total', j.total_items, 'done', j.done_items + o.done, 'failed', j.failed_items + o.failed, 'counts', o.counts,
        'bad_rows', j.bad_rows, 'duplicate_rows', j.duplicate_rows, 'error', left(j.error, 1000),
        'created_at', j.created_at, 'started_at', j.started_at, 'finished_at', j.finished_at))
    FROM (
        SELECT coalesce(sum(c.done_items), 0) AS done, coalesce(sum(c.failed_items), 0) AS failed,
            (SELECT coalesce(jsonb_object_agg(s.key, s.n), '{}') FROM (
                SELECT p.key, sum(p.value::bigint) AS n FROM (
                    SELECT key, value FROM jsonb_each_text(j.counts)
                    UNION ALL SELECT x.key, x.value FROM chunks z CROSS JOIN jsonb_each_text(z.counts) x
                    WHERE z.job_id = j.id AND z.status IN ('ready', 'released', 'running') AND z.started_at IS NOT NULL
                ) p GROUP BY p.key) s) AS counts
        FROM chunks c WHERE c.job_id = j.id AND c.status IN ('ready', 'released', 'running') AND c.started_at IS NOT NULL
    ) o
$$;

CREATE OR REPLACE FUNCTION webhook_sweep_progress(p_seconds double precision, p_part double precision, p_limit integer DEFAULT 500)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    j       jobs;
    v_id    uuid;
    v_done  integer;
    n       integer := 0;
BEGIN
    FOR v_id IN
        SELECT x.id FROM (
            SELECT q.id FROM jobs q WHERE q.status = 'processing' AND q.webhook_url IS NOT NULL
            UNION
            SELECT q.id FROM (
                SELECT DISTINCT e.tenant_id FROM webhook_endpoints e
                WHERE e.deleted_at IS NULL AND e.is_enabled AND NOT e.of_jobs AND 'job.progress' = ANY (e.events)
            ) t JOIN jobs q ON q.tenant_id = t.tenant_id AND q.status = 'processing' AND NOT q.is_system
        ) x LEFT JOIN webhook_progress p ON p.job_id = x.id
        WHERE p.at IS NULL OR p.at <= clock_timestamp() - make_interval(secs => p_seconds)
        ORDER BY p.at NULLS FIRST, x.id LIMIT p_limit
    LOOP
        SELECT * INTO j FROM jobs q WHERE q.id = v_id AND q.status = 'processing' AND q.total_items > 0
        FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        SELECT j.done_items + coalesce(sum(c.done_items), 0) INTO v_done FROM chunks c
        WHERE c.job_id = v_id AND c.status IN ('ready', 'released', 'running') AND c.started_at IS NOT NULL;
        CONTINUE WHEN v_done >= j.total_items;
        CONTINUE WHEN v_done - coalesce((SELECT p.done FROM webhook_progress p WHERE p.job_id = v_id), 0)
            < greatest(1, p_part * j.total_items);
        PERFORM webhook_tell(j, 'job.progress');
        INSERT INTO webhook_progress (job_id, done) VALUES (v_id, v_done)
        ON CONFLICT (job_id) DO UPDATE SET done = excluded.done, at = clock_timestamp();
        n := n + 1;
    END LOOP;
    RETURN n;
END $$;

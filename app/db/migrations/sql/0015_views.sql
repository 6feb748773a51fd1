-- What people see of jobs, with the verdicts about leads, when a job is to begin, and its budget of retries.

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
    FROM chunks c WHERE c.job_id = j.id AND c.status IN ('ready', 'released', 'running') AND c.done_items > 0
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

-- How a job of this transaction's tenant stands. p_window is the stretch of the rate, in seconds.
DROP FUNCTION job_status(uuid, double precision, double precision);
CREATE FUNCTION job_status(p_job uuid, p_presence_seconds double precision, p_window double precision)
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
        FROM chunks c WHERE c.progress_at > clock_timestamp() - make_interval(secs => p_window) AND c.job_id = v.id
    ) r
    -- Finds move a chunk on without a row done.
    LEFT JOIN LATERAL (
        SELECT max(c.progress_at) AS at FROM chunks c WHERE v.chunk_kind = 'enrich' AND c.job_id = v.id AND c.status = 'running'
    ) o ON true
    WHERE v.id = p_job;
END $$;

REVOKE ALL ON FUNCTION job_status(uuid, double precision, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION job_status(uuid, double precision, double precision) TO {app_role};

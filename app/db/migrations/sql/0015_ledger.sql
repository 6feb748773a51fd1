-- The ledger's acts, for any kind of item: outcomes with data, chunks that wait for a known reason, work in two stages,
-- and jobs with a budget of retries (max_retries), which end as dead letters when nothing in them could be had.

-- Record outcomes of a running chunk, renew its lease. As before, and with "data", a JSON object or nothing.
CREATE OR REPLACE FUNCTION ledger_record(
    p_chunk bigint, p_fence integer, p_lease_seconds double precision, p_outcomes json, p_retries jsonb,
    OUT held boolean, OUT cancel boolean, OUT recorded integer
) LANGUAGE plpgsql AS $$
DECLARE
    v_job     uuid;
    v_tenant  uuid;
    v_failed  integer := 0;
    v_counts  jsonb := '{}';
BEGIN
    SELECT job_id, tenant_id, cancel_requested INTO v_job, v_tenant, cancel FROM chunks
    WHERE id = p_chunk AND fence = p_fence AND status = 'running' FOR UPDATE;
    held := FOUND;
    recorded := 0;
    IF NOT held THEN RETURN; END IF;

    IF p_outcomes IS NOT NULL THEN
        WITH incoming AS (
            SELECT t.item_no, t.verdict, t.code, t.message, t.mx, t.provider, t.is_failure, t.checked_at,
                -- What a lead's look-up found stays with the verdict about the address it found.
                coalesce(nullif(t.data, 'null'), f.data) AS data
            FROM json_to_recordset(p_outcomes) AS t(item_no integer, verdict text, code text, message text, mx text,
                provider text, is_failure boolean, checked_at timestamptz, data jsonb)
            LEFT JOIN lookup_finds f ON f.job_id = v_job AND f.item_no = t.item_no
        ), answered AS (
            SELECT * FROM incoming
            UNION ALL
            SELECT d.item_no, i.verdict, i.code, i.message, i.mx, i.provider, i.is_failure, i.checked_at, i.data
            FROM incoming i JOIN job_duplicates d ON d.job_id = v_job AND d.duplicate_of = i.item_no
        ), inserted AS (
            INSERT INTO job_results (job_id, item_no, tenant_id, verdict, code, message, mx, provider, is_failure, checked_at, data)
            SELECT v_job, item_no, v_tenant, verdict, code, message, mx, provider, is_failure, checked_at, data FROM answered
            ON CONFLICT (job_id, item_no) DO NOTHING
            RETURNING verdict, is_failure
        ), by_verdict AS (
            SELECT verdict, count(*) AS n, count(*) FILTER (WHERE is_failure) AS failed FROM inserted GROUP BY verdict
        )
        SELECT coalesce(sum(n), 0), coalesce(sum(failed), 0), coalesce(jsonb_object_agg(verdict, n), '{}')
        INTO recorded, v_failed, v_counts FROM by_verdict;
    END IF;

    UPDATE chunks SET
        lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds),
        done_items = done_items + recorded, failed_items = failed_items + v_failed,
        -- Whoever gets a row done is no poison: what kills its worker now may be a neighbour.
        attempts = CASE WHEN recorded > 0 THEN 0 ELSE attempts END,
        counts = CASE WHEN recorded > 0 THEN counts_add(counts, v_counts) ELSE counts END,
        retries = coalesce(p_retries, retries)
    WHERE id = p_chunk;
END $$;

-- What was found in a job that was cancelled before it was verified: make it a result as it is, so that nobody pays for it
-- again. Only for items p_first to p_last that no running chunk is still to answer. The caller holds their chunks' locks.
CREATE FUNCTION ledger_keep_finds(p_job uuid, p_first integer, p_last integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n  integer;
BEGIN
    PERFORM 1 FROM jobs WHERE id = p_job AND params ->> 'then' = 'verify';
    IF NOT FOUND THEN RETURN; END IF;
    INSERT INTO job_results (job_id, item_no, tenant_id, verdict, code, message, provider, is_failure, checked_at, data)
    SELECT f.job_id, a.item_no, f.tenant_id, 'found', 'not_verified', 'Found; the job was cancelled before it was verified.',
        coalesce(f.data #>> '{fields,email,provider}', 'laneway'), false, clock_timestamp(), f.data
    FROM lookup_finds f CROSS JOIN LATERAL (
        SELECT f.item_no UNION ALL
        SELECT d.item_no FROM job_duplicates d WHERE d.job_id = f.job_id AND d.duplicate_of = f.item_no) a
    WHERE f.job_id = p_job AND f.item_no BETWEEN p_first AND p_last AND NOT EXISTS (
        SELECT 1 FROM chunks x WHERE x.job_id = p_job AND x.status = 'running' AND f.item_no BETWEEN x.first_item AND x.last_item)
    ON CONFLICT (job_id, item_no) DO NOTHING;
    GET DIAGNOSTICS n = ROW_COUNT;
    UPDATE jobs SET done_items = done_items + n, counts = counts_add(counts, jsonb_build_object('found', n))
    WHERE id = p_job AND n > 0;
END $$;

-- Add an ended chunk's figures to its job and end the job with its last chunk. The caller holds the chunk's lock.
CREATE OR REPLACE FUNCTION ledger_roll_up(p_chunk bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c  chunks;
    j  jobs;
BEGIN
    SELECT * INTO c FROM chunks WHERE id = p_chunk;
    IF c.status = 'cancelled' THEN PERFORM ledger_keep_finds(c.job_id, c.first_item, c.last_item); END IF;
    UPDATE jobs SET
        done_items = done_items + c.done_items, failed_items = failed_items + c.failed_items,
        counts = counts_add(counts, c.counts), chunks_open = chunks_open - 1, updated_at = clock_timestamp()
    WHERE id = c.job_id RETURNING * INTO j;
    IF c.status = 'dead' AND c.kind = 'parse' THEN
        UPDATE jobs SET status = 'failed', finished_at = clock_timestamp(),
            error = 'The list could not be read: ' || coalesce(c.error, 'the worker stopped each time it tried') || '.'
        WHERE id = c.job_id AND status NOT IN ('cancelled', 'completed');
    ELSIF j.chunks_open = 0 AND j.status IN ('pending', 'scheduled', 'processing', 'retrying', 'waiting') THEN
        IF j.max_retries IS NOT NULL AND j.failed_items > 0 AND j.failed_items >= j.total_items THEN
            UPDATE jobs SET status = 'dead_letter', finished_at = clock_timestamp(), error = (
                SELECT r.message FROM job_results r WHERE r.job_id = c.job_id AND r.is_failure ORDER BY r.item_no LIMIT 1)
            WHERE id = c.job_id;
        ELSE
            UPDATE jobs SET status = 'completed', finished_at = clock_timestamp() WHERE id = c.job_id;
        END IF;
    END IF;
    PERFORM pg_notify('laneway_job', c.tenant_id || ' ' || c.job_id);
END $$;

-- Where a job verifies what it found: a chunk for what this one's items still have to be verified, before this one ends; none
-- where one is open, which takes them or, when it ends, comes by here itself. Under the job's lock, so that of two chunks which
-- end together the second sees what the first did.
CREATE FUNCTION ledger_next_stage(p_chunk bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c  chunks;
    j  jobs;
BEGIN
    SELECT * INTO c FROM chunks WHERE id = p_chunk;
    IF c.kind NOT IN ('enrich', 'verify') THEN RETURN; END IF;
    SELECT * INTO j FROM jobs WHERE id = c.job_id AND params ->> 'then' = 'verify' FOR UPDATE;
    IF NOT FOUND OR j.status = 'cancelled' OR c.cancel_requested OR NOT EXISTS (
        SELECT 1 FROM lookup_finds f WHERE f.job_id = c.job_id AND f.item_no BETWEEN c.first_item AND c.last_item
          AND NOT EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = f.job_id AND r.item_no = f.item_no)
    ) OR EXISTS (
        SELECT 1 FROM chunks x WHERE x.job_id = c.job_id AND x.kind = 'verify' AND x.id <> c.id
          AND x.first_item = c.first_item AND x.last_item = c.last_item AND x.status IN ('ready', 'released', 'running')
    ) THEN RETURN; END IF;
    INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item, run_at)
    VALUES (c.job_id, c.tenant_id, 'verify', j.priority, c.first_item, c.last_item, clock_timestamp());
    UPDATE jobs SET chunks_open = chunks_open + 1 WHERE id = c.job_id;
    PERFORM pg_notify('laneway_ready', '');
END $$;

-- End a running chunk as 'done' or 'cancelled': as the latter also where a worker has not heard yet that it was cancelled.
-- False: it is no longer held.
CREATE OR REPLACE FUNCTION ledger_finish(p_chunk bigint, p_fence integer, p_status text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_status  text;
BEGIN
    UPDATE chunks SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE p_status END, finished_at = clock_timestamp(),
        lease_until = NULL
    WHERE id = p_chunk AND fence = p_fence AND status = 'running' RETURNING status INTO v_status;
    IF NOT FOUND THEN RETURN false; END IF;
    IF v_status = 'done' THEN PERFORM ledger_next_stage(p_chunk); END IF;
    PERFORM ledger_roll_up(p_chunk);
    RETURN true;
END $$;

-- Hand a running chunk back, to be tried from p_run_at on. Done with care, so this attempt is not counted. p_waits_for says
-- what for, where that is known; chunks of the same job would find the same, so some hundreds of them are put off as well.
DROP FUNCTION ledger_put_back(bigint, integer, timestamptz, jsonb);
CREATE FUNCTION ledger_put_back(
    p_chunk bigint, p_fence integer, p_run_at timestamptz, p_retries jsonb, p_waits_for text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c chunks;
BEGIN
    UPDATE chunks SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'ready' END,
        fence = fence + 1, attempts = greatest(0, attempts - 1), run_at = p_run_at, leased_by = NULL, lease_until = NULL, queue = NULL,
        retries = coalesce(p_retries, retries), waits_for = p_waits_for
    WHERE id = p_chunk AND fence = p_fence AND status = 'running' RETURNING * INTO c;
    IF NOT FOUND THEN RETURN false; END IF;
    IF c.status = 'cancelled' THEN
        PERFORM ledger_roll_up(p_chunk);
        RETURN true;
    END IF;
    IF p_waits_for NOT IN ('retry', 'callback') THEN
        UPDATE chunks SET run_at = p_run_at, waits_for = p_waits_for WHERE id IN (
            SELECT x.id FROM chunks x WHERE x.job_id = c.job_id AND x.kind = c.kind AND x.status = 'ready'
              AND x.run_at <= clock_timestamp() ORDER BY x.id LIMIT 500 FOR UPDATE SKIP LOCKED);
    END IF;
    -- A lane that is held makes its chunks wait without a word of their own.
    IF p_waits_for IS NOT NULL OR EXISTS (SELECT 1 FROM lane_holds h
        WHERE h.tenant_id = c.tenant_id AND h.kind = c.kind AND h.until > clock_timestamp()) THEN
        -- Who takes or puts back another of the job's chunks at the same time does so before this or after, never beside it.
        PERFORM 1 FROM jobs WHERE id = c.job_id FOR NO KEY UPDATE;
        UPDATE jobs SET status = CASE p_waits_for WHEN 'retry' THEN 'retrying' ELSE 'waiting' END, updated_at = clock_timestamp()
        WHERE id = c.job_id AND max_retries IS NOT NULL AND status IN ('processing', 'retrying', 'waiting')
          AND NOT EXISTS (SELECT 1 FROM chunks x WHERE x.job_id = c.job_id AND x.status = 'running');
    END IF;
    PERFORM pg_notify('laneway_ready', '');
    RETURN true;
END $$;

-- Answer what a dead chunk leaves open, so that every row has an answer and can be retried.
CREATE OR REPLACE FUNCTION ledger_bury(p_chunk bigint, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c chunks;
    n integer;
BEGIN
    SELECT * INTO c FROM chunks WHERE id = p_chunk;
    IF c.kind <> 'parse' THEN
        -- What can't be verified is answered below; a chunk made for it would only die again.
        IF c.kind = 'enrich' THEN PERFORM ledger_next_stage(p_chunk); END IF;
        INSERT INTO job_results (job_id, item_no, tenant_id, verdict, code, message, provider, is_failure, checked_at, data)
        SELECT i.job_id, i.item_no, i.tenant_id, 'unknown', 'dead', p_reason, 'laneway', true, clock_timestamp(), f.data
        FROM job_items i
        LEFT JOIN job_duplicates d ON d.job_id = i.job_id AND d.item_no = i.item_no
        LEFT JOIN lookup_finds f ON f.job_id = i.job_id AND f.item_no = coalesce(d.duplicate_of, i.item_no)
        WHERE i.job_id = c.job_id
          AND coalesce(d.duplicate_of, i.item_no) BETWEEN c.first_item AND c.last_item
          AND i.item_no >= c.first_item
          -- What was found before is verified by a chunk of its own.
          AND NOT (c.kind = 'enrich' AND f.job_id IS NOT NULL)
          -- And a chunk that verifies what was found has nothing to say about the others.
          AND NOT (c.kind = 'verify' AND f.job_id IS NULL
              AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = c.job_id AND j.params ->> 'then' = 'verify'))
        ON CONFLICT (job_id, item_no) DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        UPDATE chunks SET done_items = done_items + n, failed_items = failed_items + n,
            counts = counts_add(counts, jsonb_build_object('unknown', n))
        WHERE id = p_chunk;
    END IF;
    PERFORM ledger_roll_up(p_chunk);
END $$;

-- Stop a job of this tenant, as before; what it has found and not verified stays too.
CREATE OR REPLACE FUNCTION ledger_cancel(p_job uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_state  text;
BEGIN
    SELECT status INTO v_state FROM jobs WHERE id = p_job;
    IF v_state IS NULL OR v_state IN ('completed', 'failed', 'cancelled', 'dead_letter') THEN RETURN false; END IF;
    PERFORM 1 FROM chunks WHERE job_id = p_job AND status IN ('ready', 'released', 'running') ORDER BY id FOR UPDATE;
    UPDATE chunks SET cancel_requested = true WHERE job_id = p_job AND status = 'running';
    WITH ended AS (
        UPDATE chunks SET status = 'cancelled', fence = fence + 1, finished_at = clock_timestamp(), queue = NULL
        WHERE job_id = p_job AND status IN ('ready', 'released') RETURNING done_items, failed_items, counts
    ), verdicts AS (
        SELECT key, sum(value::bigint) AS n FROM ended, jsonb_each_text(ended.counts) GROUP BY key
    )
    UPDATE jobs SET
        status = 'cancelled', finished_at = clock_timestamp(), updated_at = clock_timestamp(),
        chunks_open = chunks_open - (SELECT count(*) FROM ended),
        done_items = done_items + (SELECT coalesce(sum(e.done_items), 0) FROM ended e),
        failed_items = failed_items + (SELECT coalesce(sum(e.failed_items), 0) FROM ended e),
        counts = counts_add(counts, (SELECT coalesce(jsonb_object_agg(key, n), '{}') FROM verdicts))
    WHERE id = p_job AND status NOT IN ('completed', 'failed', 'cancelled', 'dead_letter');
    IF NOT FOUND THEN RAISE EXCEPTION 'job % ended in between', p_job USING ERRCODE = 'serialization_failure'; END IF;
    PERFORM ledger_keep_finds(p_job, 0, 2147483647);
    PERFORM pg_notify('laneway_job', laneway_tenant() || ' ' || p_job);
    RETURN true;
END $$;

-- Try again what failed: take the failures out of the results and open their chunks anew. Answers how many rows.
-- The only place where results are removed, and only those that are not a provider's verdict.
CREATE OR REPLACE FUNCTION ledger_retry(p_job uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_rows    integer := 0;
    v_chunks  bigint[];
BEGIN
    PERFORM 1 FROM jobs WHERE id = p_job AND tenant_id = laneway_tenant();
    IF NOT FOUND THEN RETURN 0; END IF;
    SELECT array_agg(id) INTO v_chunks FROM (
        SELECT id FROM chunks WHERE job_id = p_job AND status IN ('done', 'dead') AND failed_items > 0 ORDER BY id FOR UPDATE
    ) failed;
    IF v_chunks IS NULL THEN RETURN 0; END IF;
    WITH moved AS (
        SELECT coalesce(sum(done_items), 0) AS done, coalesce(sum(failed_items), 0) AS failed, count(*) AS n,
            (SELECT jsonb_object_agg(key, total) FROM (
                SELECT key, sum(value::bigint) AS total FROM chunks c, jsonb_each_text(c.counts)
                WHERE c.id = ANY (v_chunks) GROUP BY key) t) AS counts
        FROM chunks WHERE id = ANY (v_chunks)
    )
    UPDATE jobs SET done_items = done_items - moved.done, failed_items = jobs.failed_items - moved.failed,
        counts = counts_add(jobs.counts, coalesce(moved.counts, '{}'), -1), chunks_open = chunks_open + moved.n,
        status = 'processing', finished_at = NULL, error = NULL, updated_at = clock_timestamp()
    FROM moved WHERE id = p_job AND status IN ('completed', 'dead_letter');
    IF NOT FOUND THEN RETURN 0; END IF;
    DELETE FROM job_results r USING job_items i
    LEFT JOIN job_duplicates d ON d.job_id = i.job_id AND d.item_no = i.item_no
    WHERE r.job_id = p_job AND r.is_failure AND i.job_id = p_job AND i.item_no = r.item_no
      AND EXISTS (SELECT 1 FROM chunks c WHERE c.id = ANY (v_chunks)
                  AND coalesce(d.duplicate_of, i.item_no) BETWEEN c.first_item AND c.last_item);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    UPDATE chunks SET status = 'ready', fence = fence + 1, attempts = 0, retries = '{}', run_at = clock_timestamp(),
        done_items = done_items - failed_items, failed_items = 0, finished_at = NULL, error = NULL, queue = NULL, waits_for = NULL,
        counts = counts_add(counts, jsonb_build_object('unknown', failed_items), -1)
    WHERE id = ANY (v_chunks);
    PERFORM pg_notify('laneway_ready', '');
    RETURN v_rows;
END $$;

REVOKE ALL ON FUNCTION ledger_keep_finds(uuid, integer, integer), ledger_next_stage(bigint), ledger_put_back(bigint, integer, timestamptz, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_keep_finds(uuid, integer, integer), ledger_next_stage(bigint), ledger_put_back(bigint, integer, timestamptz, jsonb, text) TO {app_role};

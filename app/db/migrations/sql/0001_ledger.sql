-- What may happen to a chunk: record, finish, put back, bury, recover, cancel, retry.
-- Lock order everywhere: chunks, then their job. Every write of a worker repeats the fence.

CREATE FUNCTION counts_add(a jsonb, b jsonb, sign integer DEFAULT 1) RETURNS jsonb LANGUAGE sql IMMUTABLE
AS $$
    SELECT coalesce(jsonb_object_agg(key, total) FILTER (WHERE total <> 0), '{}')
    FROM (
        SELECT key, sum(n) AS total FROM (
            SELECT key, value::bigint AS n FROM jsonb_each_text(a)
            UNION ALL SELECT key, sign * value::bigint FROM jsonb_each_text(b)
        ) parts GROUP BY key
    ) sums
$$;

-- Add an ended chunk's figures to its job and end the job with its last chunk. The caller holds the chunk's lock.
CREATE FUNCTION ledger_roll_up(p_chunk bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c    chunks;
    j    jobs;
BEGIN
    SELECT * INTO c FROM chunks WHERE id = p_chunk;
    UPDATE jobs SET
        done_items = done_items + c.done_items, failed_items = failed_items + c.failed_items,
        counts = counts_add(counts, c.counts), chunks_open = chunks_open - 1, updated_at = clock_timestamp()
    WHERE id = c.job_id RETURNING * INTO j;
    IF c.status = 'dead' AND c.kind = 'parse' THEN
        UPDATE jobs SET status = 'failed', finished_at = clock_timestamp(),
            error = 'The list could not be read: ' || coalesce(c.error, 'the worker stopped each time it tried') || '.'
        WHERE id = c.job_id AND status NOT IN ('cancelled', 'completed');
    ELSIF j.chunks_open = 0 AND j.status IN ('pending', 'processing', 'retrying', 'waiting') THEN
        UPDATE jobs SET status = 'completed', finished_at = clock_timestamp() WHERE id = c.job_id;
    END IF;
    PERFORM pg_notify('laneway_job', c.tenant_id || ' ' || c.job_id);
END $$;

-- Record outcomes of a running chunk, renew its lease. Answers (held, cancel, recorded); not held: nothing was written.
-- Outcomes are JSON, [{"item_no", "verdict", "code", "message", "mx", "provider", "is_failure", "checked_at"}, …], NULL for
-- none: one string, which costs a worker a fraction of eight arrays whose every element is quoted by itself.
CREATE FUNCTION ledger_record(
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
            SELECT * FROM json_to_recordset(p_outcomes) AS t(item_no integer, verdict text, code text, message text, mx text,
                provider text, is_failure boolean, checked_at timestamptz)
        ), answered AS (
            SELECT * FROM incoming
            UNION ALL
            SELECT d.item_no, i.verdict, i.code, i.message, i.mx, i.provider, i.is_failure, i.checked_at
            FROM incoming i JOIN job_duplicates d ON d.job_id = v_job AND d.duplicate_of = i.item_no
        ), inserted AS (
            INSERT INTO job_results (job_id, item_no, tenant_id, verdict, code, message, mx, provider, is_failure, checked_at)
            SELECT v_job, item_no, v_tenant, verdict, code, message, mx, provider, is_failure, checked_at FROM answered
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

-- End a running chunk as 'done' or 'cancelled'. False: it is no longer held.
CREATE FUNCTION ledger_finish(p_chunk bigint, p_fence integer, p_status text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chunks SET status = p_status, finished_at = clock_timestamp(), lease_until = NULL
    WHERE id = p_chunk AND fence = p_fence AND status = 'running';
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM ledger_roll_up(p_chunk);
    RETURN true;
END $$;

-- Hand a running chunk back, to be tried from p_run_at on. Done with care, so this attempt is not counted.
CREATE FUNCTION ledger_put_back(p_chunk bigint, p_fence integer, p_run_at timestamptz, p_retries jsonb)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c chunks;
BEGIN
    UPDATE chunks SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'ready' END,
        fence = fence + 1, attempts = greatest(0, attempts - 1), run_at = p_run_at, leased_by = NULL, lease_until = NULL, queue = NULL,
        retries = coalesce(p_retries, retries)
    WHERE id = p_chunk AND fence = p_fence AND status = 'running' RETURNING * INTO c;
    IF NOT FOUND THEN RETURN false; END IF;
    IF c.status = 'cancelled' THEN
        PERFORM ledger_roll_up(p_chunk);
    ELSE
        PERFORM pg_notify('laneway_ready', '');
    END IF;
    RETURN true;
END $$;

-- Answer what a dead chunk leaves open, so that every row has an answer and can be retried.
CREATE FUNCTION ledger_bury(p_chunk bigint, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c chunks;
    n integer;
BEGIN
    SELECT * INTO c FROM chunks WHERE id = p_chunk;
    IF c.kind <> 'parse' THEN
        INSERT INTO job_results (job_id, item_no, tenant_id, verdict, code, message, provider, is_failure, checked_at)
        SELECT i.job_id, i.item_no, i.tenant_id, 'unknown', 'dead', p_reason, 'laneway', true, clock_timestamp()
        FROM job_items i
        LEFT JOIN job_duplicates d ON d.job_id = i.job_id AND d.item_no = i.item_no
        WHERE i.job_id = c.job_id
          AND coalesce(d.duplicate_of, i.item_no) BETWEEN c.first_item AND c.last_item
          AND i.item_no >= c.first_item
        ON CONFLICT (job_id, item_no) DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        UPDATE chunks SET done_items = done_items + n, failed_items = failed_items + n,
            counts = counts_add(counts, jsonb_build_object('unknown', n))
        WHERE id = p_chunk;
    END IF;
    PERFORM ledger_roll_up(p_chunk);
END $$;

-- A chunk whose worker died twice in a row without getting a row done may be what kills it, or may only have been beside
-- what does. Such chunks are tried one at a time on each lane, so that the guilty one takes no other suspect with it: all
-- but the first keep being put off until that one has died, ended, or got a row done. One that can't have its turn now (its
-- client's lane is held, or its client's own work is ahead of it) stands in nobody's way. Called at least once a second.
CREATE FUNCTION line_up_suspects() RETURNS void LANGUAGE sql AS $$
    WITH suspects AS (
        SELECT c.id, row_number() OVER (
            PARTITION BY CASE WHEN k.per_tenant THEN coalesce(l.queue, k.base_queue) ELSE k.base_queue END
            ORDER BY c.status = 'ready', c.status = 'ready' AND (
                EXISTS (SELECT 1 FROM lane_holds h
                    WHERE h.tenant_id = c.tenant_id AND h.kind = c.kind AND h.until > clock_timestamp())
                OR EXISTS (SELECT 1 FROM chunks x
                    WHERE x.status = 'ready' AND x.kind = c.kind AND x.tenant_id = c.tenant_id AND x.attempts < 2
                      AND x.run_at <= now() AND (x.priority, x.run_at, x.id) < (c.priority, c.run_at, c.id))
            ), c.run_at, c.id) AS place
        FROM chunks c JOIN chunk_kinds k ON k.kind = c.kind LEFT JOIN tenant_lanes l ON l.tenant_id = c.tenant_id
        WHERE c.attempts >= 2 AND c.status IN ('ready', 'released', 'running')
          AND (c.status <> 'running' OR c.attempts > 2)
    ), early AS (
        SELECT c.id FROM chunks c JOIN suspects s ON s.id = c.id
        WHERE s.place > 1 AND c.status = 'ready' AND c.run_at < clock_timestamp() + interval '2 seconds'
        FOR UPDATE OF c SKIP LOCKED
    )
    UPDATE chunks SET run_at = clock_timestamp() + interval '3 seconds' FROM early WHERE chunks.id = early.id
$$;

-- Take back released chunks whose lane is no longer their client's. The trigger on worker_configs does so at once; this
-- finds what it can't see: a release that was under way when the lane changed, people who were removed or moved.
CREATE FUNCTION recall_astray() RETURNS void LANGUAGE sql AS $$
    WITH astray AS (
        SELECT c.id FROM chunks c JOIN chunk_kinds k ON k.kind = c.kind AND k.per_tenant
        LEFT JOIN tenant_lanes l ON l.tenant_id = c.tenant_id
        WHERE c.status = 'released' AND c.queue IS DISTINCT FROM coalesce(l.queue, k.base_queue)
        ORDER BY c.id FOR UPDATE OF c SKIP LOCKED
    )
    UPDATE chunks c SET status = 'ready', fence = fence + 1, queue = NULL, released_at = NULL
    FROM astray WHERE c.id = astray.id AND c.status = 'released'
$$;

-- End the leases that ran out: back to ready with a raised fence, or dead at the cap, or cancelled if that was asked.
-- None is judged within p_grace_seconds of the server's start: while it was away nobody could renew.
CREATE FUNCTION ledger_recover(
    p_max_attempts integer, p_grace_seconds double precision DEFAULT 0, p_limit integer DEFAULT 500
)
RETURNS TABLE (chunk_id bigint, job_id uuid, tenant_id uuid, status text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c      chunks;
    reason text := format('the worker stopped %s times while working on it', p_max_attempts);
BEGIN
    -- Who is frozen while it recovers must not keep the chunks from the others.
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    FOR c IN
        WITH expired AS (
            SELECT x.id FROM chunks x WHERE x.status = 'running' AND x.lease_until < clock_timestamp()
              AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => p_grace_seconds)
            ORDER BY x.lease_until LIMIT p_limit FOR UPDATE SKIP LOCKED
        ), ended AS (
            UPDATE chunks SET fence = chunks.fence + 1, leased_by = NULL, lease_until = NULL, queue = NULL,
                status = CASE WHEN chunks.cancel_requested THEN 'cancelled'
                              WHEN chunks.attempts >= p_max_attempts THEN 'dead' ELSE 'ready' END,
                finished_at = CASE WHEN chunks.cancel_requested OR chunks.attempts >= p_max_attempts
                                   THEN clock_timestamp() END,
                -- The second failure in a row waits two seconds, the next four: a poison chunk must not spin.
                -- Beyond the eighth the exponent would soon be past what an interval holds.
                run_at = clock_timestamp() + make_interval(secs => CASE WHEN chunks.attempts > 1 THEN 2 ^ least(chunks.attempts - 1, 8) ELSE 0 END),
                error = CASE WHEN chunks.attempts >= p_max_attempts THEN reason ELSE 'the worker stopped while working on it' END
            FROM expired WHERE chunks.id = expired.id RETURNING chunks.*
        )
        -- Jobs in one order, so that two who recover at once don't wait for each other's.
        SELECT * FROM ended ORDER BY ended.job_id, ended.id
    LOOP
        IF c.status = 'dead' THEN
            PERFORM ledger_bury(c.id, 'Not verified: ' || reason);
        ELSIF c.status = 'cancelled' THEN
            PERFORM ledger_roll_up(c.id);
        END IF;
        chunk_id := c.id; job_id := c.job_id; tenant_id := c.tenant_id; status := c.status;
        RETURN NEXT;
    END LOOP;
    PERFORM recall_astray();
    PERFORM line_up_suspects();
END $$;

-- Stop a job of this tenant. What is done stays; running chunks record what they have and end.
CREATE FUNCTION ledger_cancel(p_job uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_ended  integer;
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
    PERFORM pg_notify('laneway_job', laneway_tenant() || ' ' || p_job);
    RETURN true;
END $$;

-- Try again what failed: take the failures out of the results and open their chunks anew. Answers how many rows.
-- The only place where results are removed, and only those that are not a provider's verdict.
CREATE FUNCTION ledger_retry(p_job uuid) RETURNS integer
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
        status = 'processing', finished_at = NULL, updated_at = clock_timestamp()
    FROM moved WHERE id = p_job AND status = 'completed';
    IF NOT FOUND THEN RETURN 0; END IF;
    DELETE FROM job_results r USING job_items i
    LEFT JOIN job_duplicates d ON d.job_id = i.job_id AND d.item_no = i.item_no
    WHERE r.job_id = p_job AND r.is_failure AND i.job_id = p_job AND i.item_no = r.item_no
      AND EXISTS (SELECT 1 FROM chunks c WHERE c.id = ANY (v_chunks)
                  AND coalesce(d.duplicate_of, i.item_no) BETWEEN c.first_item AND c.last_item);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    UPDATE chunks SET status = 'ready', fence = fence + 1, attempts = 0, retries = '{}', run_at = clock_timestamp(),
        done_items = done_items - failed_items, failed_items = 0, finished_at = NULL, error = NULL, queue = NULL,
        counts = counts_add(counts, jsonb_build_object('unknown', failed_items), -1)
    WHERE id = ANY (v_chunks);
    PERFORM pg_notify('laneway_ready', '');
    RETURN v_rows;
END $$;

-- How events of jobs come to be: with the job's end, while it runs, and from the outbox to each endpoint that wants them.

-- What an event says of a job. Texts are cut: a payload stays far below 20 KB whatever a list is called.
CREATE FUNCTION webhook_job_data(j jobs) RETURNS jsonb
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
                    WHERE z.job_id = j.id AND z.status IN ('ready', 'released', 'running') AND z.done_items > 0
                ) p GROUP BY p.key) s) AS counts
        FROM chunks c WHERE c.job_id = j.id AND c.status IN ('ready', 'released', 'running') AND c.done_items > 0
    ) o
$$;

CREATE FUNCTION webhook_is_wanted(p_tenant uuid, p_type text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.tenant_id = p_tenant AND e.deleted_at IS NULL
                   AND e.is_enabled AND NOT e.of_jobs AND p_type = ANY (e.events))
$$;

CREATE FUNCTION webhook_tell(j jobs, p_type text) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    INSERT INTO webhook_events (tenant_id, type, job_id, job_url, payload)
    VALUES (j.tenant_id, p_type, j.id, j.webhook_url, jsonb_build_object(
        'type', p_type, 'timestamp', clock_timestamp(), 'data', webhook_job_data(j)));
    SELECT pg_notify('laneway_webhooks', '')
$$;

-- In the transaction that ends the job, so that there is no end without its event and no event without its end. Where nobody
-- listens it is one probe of a small index.
CREATE FUNCTION webhook_job_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.webhook_url IS NOT NULL OR webhook_is_wanted(NEW.tenant_id, 'job.' || NEW.status) THEN
        PERFORM webhook_tell(NEW, 'job.' || NEW.status);
        DELETE FROM webhook_progress WHERE job_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_webhooks AFTER UPDATE OF status ON jobs FOR EACH ROW
    WHEN (NEW.status IS DISTINCT FROM OLD.status AND NOT NEW.is_system
          AND NEW.status IN ('completed', 'failed', 'cancelled', 'dead_letter'))
    EXECUTE FUNCTION webhook_job_ended();

-- Write job.progress for running jobs that somebody listens to, each not before p_seconds after its last one and only when
-- p_part of its items more are done. The job's row is locked, so that no progress comes after an end.
CREATE FUNCTION webhook_sweep_progress(p_seconds double precision, p_part double precision, p_limit integer DEFAULT 500)
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
        WHERE c.job_id = v_id AND c.status IN ('ready', 'released', 'running') AND c.done_items > 0;
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

-- Give each endpoint the job and the chunk that its deliveries run on, and lock the chunks, in one order.
CREATE FUNCTION webhook_lock_chunks(p_endpoints uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    e      webhook_endpoints;
    v_job  uuid;
BEGIN
    FOR e IN SELECT * FROM webhook_endpoints WHERE id = ANY (p_endpoints) AND job_id IS NULL ORDER BY id FOR UPDATE LOOP
        -- A UUIDv7 of now: the rest of a random one behind the time.
        v_job := left(uuid7_floor(clock_timestamp())::text, 13) || '-7' || substr(gen_random_uuid()::text, 16);
        INSERT INTO jobs (id, tenant_id, kind, title, status, is_system)
        VALUES (v_job, e.tenant_id, 'webhooks', 'Webhooks', 'completed', true);
        INSERT INTO chunks (job_id, tenant_id, kind, priority, status) VALUES (v_job, e.tenant_id, 'deliver', 3, 'done');
        UPDATE webhook_endpoints SET job_id = v_job WHERE id = e.id;
    END LOOP;
    PERFORM 1 FROM chunks c JOIN webhook_endpoints x ON x.job_id = c.job_id
    WHERE x.id = ANY (p_endpoints) ORDER BY c.id FOR UPDATE OF c;
END $$;

-- Have the chunks of these endpoints released: those that ended are opened anew, those that wait come sooner. One that runs
-- sees by itself what is due, before it ends. The caller holds their locks. One that was buried waits five minutes.
CREATE FUNCTION webhook_open_chunks(p_endpoints uuid[]) RETURNS integer
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    n integer;
BEGIN
    WITH wanted AS (
        SELECT c.id, c.status, greatest(clock_timestamp(), e.not_before,
                CASE WHEN c.status = 'dead' THEN clock_timestamp() + interval '5 minutes' END) AS at
        FROM webhook_endpoints e JOIN chunks c ON c.job_id = e.job_id
        WHERE e.id = ANY (p_endpoints) AND c.status NOT IN ('released', 'running')
    ), opened AS (
        UPDATE chunks c SET status = 'ready', fence = fence + 1, attempts = 0, run_at = w.at, queue = NULL, finished_at = NULL,
            error = NULL
        FROM wanted w WHERE c.id = w.id AND w.status <> 'ready' RETURNING c.job_id
    ), sooner AS (
        UPDATE chunks c SET run_at = w.at FROM wanted w WHERE c.id = w.id AND w.status = 'ready' AND c.run_at > w.at RETURNING 1
    )
    UPDATE jobs j SET chunks_open = chunks_open + 1, status = 'processing', finished_at = NULL, updated_at = clock_timestamp()
    FROM opened o WHERE j.id = o.job_id;
    GET DIAGNOSTICS n = ROW_COUNT;
    PERFORM pg_notify('laneway_ready', '');
    RETURN n;
END $$;

-- From the outbox to the endpoints: one delivery for each that wants the event. Events of one job stay in their order: a later
-- one waits for what is still open. Answers how many events were taken; 0 also while another is at it.
CREATE FUNCTION webhook_spread(p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_events     bigint[];
    -- Pairs: which event goes to which endpoint.
    v_told       bigint[];
    v_to         uuid[];
    v_endpoints  uuid[];
BEGIN
    -- Two at once could overtake each other with two events of one job.
    IF NOT pg_try_advisory_xact_lock(7245003) THEN RETURN 0; END IF;
    v_events := ARRAY(SELECT id FROM webhook_events WHERE NOT is_spread ORDER BY id LIMIT p_limit);
    IF v_events = '{}' THEN RETURN 0; END IF;
    INSERT INTO webhook_endpoints (tenant_id, url, events, of_jobs)
    SELECT DISTINCT v.tenant_id, v.job_url, '{}'::text[], true FROM webhook_events v
    WHERE v.id = ANY (v_events) AND v.job_url IS NOT NULL
    ON CONFLICT (tenant_id, url) WHERE of_jobs AND deleted_at IS NULL DO NOTHING;
    SELECT array_agg(v.id), array_agg(e.id) INTO v_told, v_to
    FROM webhook_events v JOIN webhook_endpoints e ON e.tenant_id = v.tenant_id
    WHERE v.id = ANY (v_events) AND e.deleted_at IS NULL AND CASE
        WHEN v.endpoint_id IS NOT NULL THEN e.id = v.endpoint_id
        WHEN e.of_jobs THEN e.is_enabled AND e.url = v.job_url
        ELSE e.is_enabled AND v.type = ANY (e.events) END;
    v_endpoints := ARRAY(SELECT DISTINCT x FROM unnest(v_to) AS x);
    PERFORM webhook_lock_chunks(v_endpoints);
    INSERT INTO webhook_deliveries (tenant_id, event_id, endpoint_id, job_id, type, status, next_at)
    SELECT d.tenant_id, d.event_id, d.endpoint_id, d.job_id, d.type, CASE WHEN d.is_first THEN 'pending' ELSE 'waiting' END,
        CASE WHEN d.is_first THEN clock_timestamp() END
    FROM (
        SELECT v.tenant_id, s.event_id, s.endpoint_id, v.job_id, v.type, v.job_id IS NULL OR (
            row_number() OVER (PARTITION BY s.endpoint_id, v.job_id ORDER BY s.event_id) = 1
            AND NOT EXISTS (
                SELECT 1 FROM webhook_deliveries o WHERE o.endpoint_id = s.endpoint_id AND o.job_id = v.job_id
                  AND o.status IN ('pending', 'waiting') AND NOT o.is_replay)) AS is_first
        FROM unnest(v_told, v_to) AS s(event_id, endpoint_id) JOIN webhook_events v ON v.id = s.event_id
    ) d ORDER BY d.event_id ON CONFLICT (event_id, endpoint_id) DO NOTHING;
    UPDATE webhook_events SET is_spread = true WHERE id = ANY (v_events);
    PERFORM webhook_open_chunks(v_endpoints);
    RETURN cardinality(v_events);
END $$;

-- Open what has something due and no open chunk: after a chunk was buried, or a job was removed with its month.
CREATE FUNCTION webhook_wake() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_endpoints uuid[] := ARRAY(
        SELECT e.id FROM webhook_endpoints e
        WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.job_id = e.job_id AND c.status IN ('ready', 'released', 'running'))
          AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.status = 'pending'));
BEGIN
    IF v_endpoints = '{}' THEN RETURN 0; END IF;
    PERFORM webhook_lock_chunks(v_endpoints);
    RETURN webhook_open_chunks(v_endpoints);
END $$;

-- Remove what is older than p_days and over, p_limit events at a time, and addresses that no delivery names any more.
CREATE FUNCTION webhook_forget(p_days double precision, p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_before  timestamptz := clock_timestamp() - make_interval(secs => p_days * 86400);
    n         integer;
BEGIN
    IF p_days IS NULL OR p_days < 1 THEN
        RAISE EXCEPTION 'the log of webhooks is kept for a day at least' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM webhook_events WHERE id IN (
        SELECT v.id FROM webhook_events v WHERE v.created_at < v_before AND v.is_spread AND NOT EXISTS (
            SELECT 1 FROM webhook_deliveries d WHERE d.event_id = v.id AND d.status IN ('pending', 'waiting'))
        ORDER BY v.created_at LIMIT p_limit);
    GET DIAGNOSTICS n = ROW_COUNT;
    WITH unused AS (
        DELETE FROM webhook_endpoints e WHERE (e.of_jobs OR e.deleted_at IS NOT NULL) AND e.created_at < v_before
          AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id)
          AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.job_id = e.job_id AND c.status IN ('ready', 'released', 'running'))
        RETURNING e.job_id
    )
    DELETE FROM jobs j USING unused u WHERE j.id = u.job_id AND j.is_system;
    RETURN n;
END $$;

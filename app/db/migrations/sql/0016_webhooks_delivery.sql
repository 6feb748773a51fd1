-- What a worker does with an endpoint's deliveries, and what people do. Each in the tenant's own transaction. Lock order:
-- the chunk, the endpoint, its deliveries.

-- Switch an endpoint off; what is open is not sent. False: there is none, or it is off already.
CREATE FUNCTION webhook_disable(p_endpoint uuid, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_url text;
BEGIN
    UPDATE webhook_endpoints SET is_enabled = false, disabled_at = clock_timestamp(), disabled_reason = p_reason
    WHERE id = p_endpoint AND tenant_id = laneway_tenant() AND is_enabled AND deleted_at IS NULL RETURNING url INTO v_url;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM webhook_cancel(p_endpoint, 'The endpoint was switched off.');
    IF p_reason <> 'person' THEN
        PERFORM audit('webhook.disabled', laneway_tenant(), jsonb_build_object('url', left(v_url, 200), 'reason', p_reason));
    END IF;
    RETURN true;
END $$;

-- What is open at an endpoint is not sent.
CREATE FUNCTION webhook_cancel(p_endpoint uuid, p_error text) RETURNS void LANGUAGE sql AS $$
    UPDATE webhook_deliveries SET status = 'cancelled', next_at = NULL, error = p_error
    WHERE endpoint_id = p_endpoint AND status IN ('pending', 'waiting')
$$;

-- Record what attempts came to, renew the lease, let the next event of each job come up. Not held: nothing was written.
-- p_outcomes: [{"id", "number", "status", "wait" (s, or null), "at", "url", "headers", "answer_status", "answer", "ms",
-- "error", "gone"}, …] in the order in which they ended, or NULL. p_pause: seconds in which nothing more is sent, or NULL.
CREATE FUNCTION webhook_record(
    p_chunk bigint, p_fence integer, p_lease_seconds double precision, p_endpoint uuid, p_outcomes json,
    p_pause double precision, p_disable_seconds double precision, OUT held boolean, OUT is_enabled boolean
) LANGUAGE plpgsql AS $$
DECLARE
    e           webhook_endpoints;
    v_jobs      uuid[];
    v_good      boolean;
    v_last_bad  integer;
    v_gone      boolean;
BEGIN
    SELECT r.held INTO held FROM ledger_record(p_chunk, p_fence, p_lease_seconds, NULL, NULL) r;
    IF NOT held THEN RETURN; END IF;
    IF p_outcomes IS NULL THEN
        SELECT x.is_enabled INTO is_enabled FROM webhook_endpoints x WHERE x.id = p_endpoint;
        RETURN;
    END IF;
    SELECT * INTO e FROM webhook_endpoints WHERE id = p_endpoint FOR NO KEY UPDATE;

    WITH incoming AS (
        SELECT * FROM json_to_recordset(p_outcomes) AS t(id bigint, number smallint, status text, wait double precision,
            at timestamptz, url text, headers jsonb, answer_status integer, answer text, ms integer, error text)
    ), logged AS (
        INSERT INTO webhook_attempts (tenant_id, delivery_id, number, at, url, headers, answer_status, answer, ms, error)
        SELECT d.tenant_id, d.id, i.number, i.at, i.url, i.headers, i.answer_status, i.answer, i.ms, i.error
        FROM incoming i JOIN webhook_deliveries d ON d.id = i.id AND d.endpoint_id = p_endpoint
    ), ended AS (
        -- What was cancelled meanwhile stays so, unless it has arrived.
        UPDATE webhook_deliveries d SET status = i.status, attempts = i.number, answer_status = i.answer_status, error = i.error,
            last_at = i.at, next_at = CASE WHEN i.status = 'pending' THEN clock_timestamp() + make_interval(secs => i.wait) END,
            is_replay = d.is_replay AND i.status = 'pending'
        FROM incoming i WHERE d.id = i.id AND d.endpoint_id = p_endpoint
          AND (d.status = 'pending' OR i.status = 'delivered' AND d.status <> 'delivered')
        RETURNING d.job_id, d.status
    )
    SELECT array_agg(DISTINCT x.job_id) INTO v_jobs FROM ended x WHERE x.status <> 'pending' AND x.job_id IS NOT NULL;

    IF v_jobs IS NOT NULL THEN
        UPDATE webhook_deliveries SET status = 'pending', next_at = clock_timestamp() WHERE id IN (
            SELECT min(w.id) FROM webhook_deliveries w
            WHERE w.endpoint_id = p_endpoint AND w.job_id = ANY (v_jobs) AND w.status IN ('pending', 'waiting') AND NOT w.is_replay
            GROUP BY w.job_id
        ) AND status = 'waiting';
    END IF;

    SELECT bool_or(o.status = 'delivered'), bool_or(coalesce(o.gone, false)),
        count(*) FILTER (WHERE o.n > coalesce(o.last_good, 0))
    INTO v_good, v_gone, v_last_bad
    FROM (SELECT t.*, max(t.n) FILTER (WHERE t.status = 'delivered') OVER () AS last_good
          FROM (SELECT x.value ->> 'status' AS status, (x.value ->> 'gone')::boolean AS gone, x.n
                FROM json_array_elements(p_outcomes) WITH ORDINALITY AS x(value, n)) t) o;
    IF v_last_bad > 0 OR e.failing_since IS NOT NULL OR p_pause IS NOT NULL THEN
        UPDATE webhook_endpoints SET
            failures = CASE WHEN v_good THEN 0 ELSE e.failures END + v_last_bad,
            failing_since = CASE WHEN v_last_bad = 0 THEN NULL WHEN v_good THEN clock_timestamp()
                                 ELSE coalesce(e.failing_since, clock_timestamp()) END,
            not_before = CASE WHEN p_pause IS NOT NULL THEN clock_timestamp() + make_interval(secs => p_pause)
                              WHEN v_last_bad = 0 THEN NULL ELSE e.not_before END
        WHERE id = p_endpoint;
    END IF;
    IF v_gone THEN
        PERFORM webhook_disable(p_endpoint, 'gone');
    ELSIF NOT v_good AND e.failing_since < clock_timestamp() - make_interval(secs => p_disable_seconds) THEN
        PERFORM webhook_disable(p_endpoint, 'failing');
    END IF;
    SELECT x.is_enabled INTO is_enabled FROM webhook_endpoints x WHERE x.id = p_endpoint;
    -- Whoever gets something sent is no poison.
    UPDATE chunks SET attempts = 0 WHERE id = p_chunk AND attempts > 0;
END $$;

-- Let go of an endpoint's chunk: `done` when nothing is open, `later` when it comes back by itself, `more` when something is
-- due now and the caller need not leave, `lost` when it was no longer held.
CREATE FUNCTION webhook_end(p_chunk bigint, p_fence integer, p_endpoint uuid, p_must_leave boolean) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    e       webhook_endpoints;
    v_next  timestamptz;
BEGIN
    PERFORM 1 FROM chunks WHERE id = p_chunk AND fence = p_fence AND status = 'running' FOR UPDATE;
    IF NOT FOUND THEN RETURN 'lost'; END IF;
    SELECT * INTO e FROM webhook_endpoints WHERE id = p_endpoint;
    -- A test is sent though the endpoint is off, nothing else.
    IF e.deleted_at IS NOT NULL OR NOT e.is_enabled THEN
        UPDATE webhook_deliveries SET status = 'cancelled', next_at = NULL, error = 'The endpoint was switched off.'
        WHERE endpoint_id = p_endpoint AND status IN ('pending', 'waiting')
          AND (e.deleted_at IS NOT NULL OR type <> 'endpoint.test');
    END IF;
    SELECT min(next_at) INTO v_next FROM webhook_deliveries WHERE endpoint_id = p_endpoint AND status = 'pending';
    IF v_next IS NULL THEN
        PERFORM ledger_finish(p_chunk, p_fence, 'done');
        RETURN 'done';
    END IF;
    v_next := greatest(v_next, e.not_before);
    IF v_next <= clock_timestamp() AND NOT p_must_leave THEN RETURN 'more'; END IF;
    PERFORM ledger_put_back(p_chunk, p_fence, v_next, NULL);
    RETURN 'later';
END $$;

-- Send a delivery once more, now, whatever came since; its attempts are counted anew. False: there is none that has ended.
CREATE FUNCTION webhook_replay(p_delivery bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_endpoint uuid;
BEGIN
    SELECT d.endpoint_id INTO v_endpoint FROM webhook_deliveries d WHERE d.id = p_delivery AND d.tenant_id = laneway_tenant();
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM webhook_lock_chunks(ARRAY[v_endpoint]);
    UPDATE webhook_deliveries SET status = 'pending', next_at = clock_timestamp(), attempts = 0, is_replay = true, error = NULL
    WHERE id = p_delivery AND status IN ('delivered', 'failed', 'cancelled');
    IF NOT FOUND THEN RETURN false; END IF;
    -- Somebody wants to see it now: what kept the endpoint back may be over.
    UPDATE webhook_endpoints SET not_before = NULL WHERE id = v_endpoint AND not_before IS NOT NULL;
    PERFORM webhook_open_chunks(ARRAY[v_endpoint]);
    RETURN true;
END $$;

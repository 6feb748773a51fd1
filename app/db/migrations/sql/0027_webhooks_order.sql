-- The order of locks that 0016 names, kept by all: the chunk, the endpoint, its deliveries. These two went from the chunk to the
-- deliveries, and could meet a person who was switching the endpoint off in the middle of them.

-- Let go of an endpoint's chunk: `done` when nothing is open, `later` when it comes back by itself, `more` when something is
-- due now and the caller need not leave, `lost` when it was no longer held.
CREATE OR REPLACE FUNCTION webhook_end(p_chunk bigint, p_fence integer, p_endpoint uuid, p_must_leave boolean) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    e       webhook_endpoints;
    v_next  timestamptz;
BEGIN
    PERFORM 1 FROM chunks WHERE id = p_chunk AND fence = p_fence AND status = 'running' FOR UPDATE;
    IF NOT FOUND THEN RETURN 'lost'; END IF;
    SELECT * INTO e FROM webhook_endpoints WHERE id = p_endpoint FOR NO KEY UPDATE;
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
CREATE OR REPLACE FUNCTION webhook_replay(p_delivery bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_endpoint uuid;
BEGIN
    SELECT d.endpoint_id INTO v_endpoint FROM webhook_deliveries d WHERE d.id = p_delivery AND d.tenant_id = laneway_tenant();
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM webhook_lock_chunks(ARRAY[v_endpoint]);
    PERFORM 1 FROM webhook_endpoints WHERE id = v_endpoint FOR NO KEY UPDATE;
    UPDATE webhook_deliveries SET status = 'pending', next_at = clock_timestamp(), attempts = 0, is_replay = true, error = NULL
    WHERE id = p_delivery AND status IN ('delivered', 'failed', 'cancelled');
    IF NOT FOUND THEN RETURN false; END IF;
    -- Somebody wants to see it now: what kept the endpoint back may be over.
    UPDATE webhook_endpoints SET not_before = NULL WHERE id = v_endpoint AND not_before IS NOT NULL;
    PERFORM webhook_open_chunks(ARRAY[v_endpoint]);
    RETURN true;
END $$;

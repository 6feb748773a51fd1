-- A lane whose client is under a hold has nothing released: its waiting work counts as work that nobody serves.

COMMENT ON TABLE lane_attendance IS 'Lanes with released, ready or held work and no live worker, since work was first released or held there; kept by tend_lanes.';

-- Note the lanes with work and no worker; let clients who wish it use the shared lane after a while, and bring them back when
-- a worker is. Also settles what no trigger sees (people who moved to another client). Any number may call it; one acts.
-- Answers how many clients changed lanes.
CREATE OR REPLACE FUNCTION tend_lanes(p_presence_seconds double precision) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant  uuid;
    v_idle    text[];
    n         integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7245002) THEN RETURN 0; END IF;
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    -- A lane with work always has some of it released, also without a worker: release sees to that. But not under a hold: with
    -- the worker went the keys that it waits for, and only another lane's worker can tell whether others have something to give.
    INSERT INTO lane_attendance (queue)
    SELECT w.queue FROM (
        SELECT c.queue FROM chunks c WHERE c.status = 'released' AND c.queue IS NOT NULL
        UNION SELECT l.queue FROM lane_holds h
            JOIN chunk_kinds k ON k.kind = h.kind AND k.per_tenant JOIN tenant_lanes l ON l.tenant_id = h.tenant_id
            WHERE h.until > clock_timestamp() AND EXISTS (
                SELECT 1 FROM chunks c WHERE c.kind = h.kind AND c.tenant_id = h.tenant_id AND c.status = 'ready')
    ) w WHERE w.queue NOT IN (SELECT a.queue FROM attended_queues(p_presence_seconds) a)
    ON CONFLICT DO NOTHING;
    DELETE FROM lane_attendance l WHERE l.queue IN (SELECT a.queue FROM attended_queues(p_presence_seconds) a);
    -- Nothing released just now: only where nothing waits to be released either is nobody missed.
    SELECT array_agg(l.queue) INTO v_idle FROM lane_attendance l
    WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.queue = l.queue AND c.status = 'released');
    IF v_idle IS NOT NULL THEN
        DELETE FROM lane_attendance l
        WHERE l.queue = ANY (v_idle) AND l.queue NOT IN (SELECT r.queue FROM lanes_with_ready_work(v_idle) r);
    END IF;

    FOR v_tenant IN
        WITH ended AS (
            DELETE FROM lane_fallbacks f USING tenants t
            WHERE t.id = f.tenant_id AND (
                t.fallback_after_seconds IS NULL
                OR f.queue IN (SELECT a.queue FROM attended_queues(p_presence_seconds) a)
                OR NOT EXISTS (SELECT 1 FROM configured_lanes c WHERE c.tenant_id = f.tenant_id AND c.queue = f.queue))
            RETURNING f.tenant_id
        ), begun AS (
            INSERT INTO lane_fallbacks (tenant_id, queue)
            SELECT c.tenant_id, c.queue FROM configured_lanes c JOIN tenants t ON t.id = c.tenant_id
            JOIN lane_attendance l ON l.queue = c.queue
            WHERE t.fallback_after_seconds IS NOT NULL
              AND l.unattended_since < clock_timestamp() - make_interval(secs => t.fallback_after_seconds)
              -- Of no use where nobody serves the shared lane either.
              AND EXISTS (SELECT 1 FROM attended_queues(p_presence_seconds) a WHERE a.queue = 'verification-queue')
            ON CONFLICT DO NOTHING RETURNING tenant_id
        )
        SELECT tenant_id FROM ended UNION SELECT tenant_id FROM begun
    LOOP
        PERFORM set_config('laneway.actor', 'fall-back', true);
        PERFORM reroute_tenant(v_tenant);
        n := n + 1;
    END LOOP;
    PERFORM set_config('laneway.actor', '', true);
    FOR v_tenant IN
        SELECT coalesce(r.tenant_id, l.tenant_id) FROM tenant_routes r FULL JOIN tenant_lanes l ON l.tenant_id = r.tenant_id
        WHERE r.queue IS DISTINCT FROM l.queue
    LOOP
        PERFORM reroute_tenant(v_tenant);
        n := n + 1;
    END LOOP;
    RETURN n;
END $$;

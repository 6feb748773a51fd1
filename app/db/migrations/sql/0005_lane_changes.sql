-- A client's lane changes: what may be written, what follows from it, who did it; and lanes whose workers are gone.

-- Only what makes a row dedicated and active is checked, so that any row can always be taken out of use.
CREATE FUNCTION check_worker_config() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant  uuid;
    v_other   text;
BEGIN
    IF NOT (NEW.is_active AND NEW.worker_mode = 'dedicated') THEN RETURN NEW; END IF;
    IF TG_OP = 'UPDATE' AND (NEW.is_active, NEW.worker_mode, NEW.verification_queue, NEW.user_id)
            IS NOT DISTINCT FROM (OLD.is_active, OLD.worker_mode, OLD.verification_queue, OLD.user_id) THEN
        RETURN NEW;
    END IF;
    IF NEW.verification_queue !~ '^verification-queue(:client-[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$' THEN
        RAISE EXCEPTION 'verification_queue "%" is not a lane''s name', NEW.verification_queue
            USING ERRCODE = 'check_violation', CONSTRAINT = 'worker_configs_queue_name',
            HINT = 'Write verification-queue:client- and then small letters, digits and hyphens: verification-queue:client-acme.';
    END IF;
    SELECT tenant_id INTO v_tenant FROM users WHERE id = NEW.user_id;
    IF v_tenant IS NULL THEN
        RAISE EXCEPTION 'the user % belongs to no client, so it has no lane', NEW.user_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'worker_configs_client_needed',
            HINT = 'Take the id of one of the client''s people: SELECT id FROM users WHERE email = ''...''.';
    END IF;
    IF NEW.verification_queue = 'verification-queue' THEN RETURN NEW; END IF;
    -- Of two who take the same name at once the second waits here and then finds the first.
    PERFORM pg_advisory_xact_lock(7245003, hashtext(NEW.verification_queue));
    SELECT t.slug INTO v_other FROM worker_configs wc JOIN users u ON u.id = wc.user_id JOIN tenants t ON t.id = u.tenant_id
    WHERE wc.verification_queue = NEW.verification_queue AND wc.is_active AND wc.worker_mode = 'dedicated'
      AND wc.id <> NEW.id AND u.tenant_id <> v_tenant LIMIT 1;
    IF v_other IS NOT NULL THEN
        RAISE EXCEPTION 'the lane % is the client %''s already', NEW.verification_queue, v_other
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'worker_configs_queue_once',
            HINT = 'Each active client has a lane of its own: choose another name, or take the other row out of use first.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER worker_configs_check BEFORE INSERT OR UPDATE ON worker_configs
    FOR EACH ROW EXECUTE FUNCTION check_worker_config();

-- Bring a client's work to the lane that is in force for it now; answers how many released chunks were called back.
-- Their old messages become no-ops. Does nothing when the lane is what it was.
CREATE OR REPLACE FUNCTION reroute_tenant(p_tenant uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_before    tenant_routes;
    v_after     tenant_routes;
    v_recalled  integer;
    v_ready     integer;
    v_running   integer;
BEGIN
    -- One at a time for a client: the second looks at what the first has left.
    INSERT INTO tenant_routes (tenant_id) SELECT id FROM tenants WHERE id = p_tenant ON CONFLICT DO NOTHING;
    SELECT * INTO v_before FROM tenant_routes WHERE tenant_id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN RETURN 0; END IF;
    SELECT p_tenant, l.queue, l.config_id INTO v_after FROM tenant_lanes l WHERE l.tenant_id = p_tenant;
    UPDATE tenant_routes SET queue = v_after.queue, config_id = v_after.config_id,
        changed_at = CASE WHEN queue IS DISTINCT FROM v_after.queue THEN clock_timestamp() ELSE changed_at END
    WHERE tenant_id = p_tenant;
    IF v_before.queue IS NOT DISTINCT FROM v_after.queue THEN RETURN 0; END IF;

    -- A chunk that is being taken right now is as good as running. Should its worker be frozen before its commit, nobody
    -- waits for it here: recall_astray brings the chunk when the session has ended.
    WITH taken AS (
        SELECT c.id FROM chunks c JOIN chunk_kinds k ON k.kind = c.kind AND k.per_tenant
        WHERE c.status = 'released' AND c.tenant_id = p_tenant ORDER BY c.id FOR UPDATE OF c SKIP LOCKED
    )
    UPDATE chunks c SET status = 'ready', fence = fence + 1, queue = NULL, released_at = NULL
    FROM taken WHERE c.id = taken.id;
    GET DIAGNOSTICS v_recalled = ROW_COUNT;
    -- One question a status: each has its index, together they have none.
    SELECT count(*) INTO v_ready FROM chunk_kinds k
    JOIN chunks c ON c.kind = k.kind AND c.tenant_id = p_tenant AND c.status = 'ready' WHERE k.per_tenant;
    SELECT count(*) INTO v_running FROM chunk_kinds k
    JOIN chunks c ON c.kind = k.kind AND c.tenant_id = p_tenant AND c.status = 'running' WHERE k.per_tenant;
    INSERT INTO audit_events (actor, action, tenant_id, tenant_slug, from_queue, to_queue, chunks_moved, details)
    SELECT laneway_actor(), 'lane.changed', t.id, t.slug, coalesce(v_before.queue, 'verification-queue'),
        coalesce(v_after.queue, 'verification-queue'), v_ready,
        jsonb_build_object('recalled', v_recalled, 'running', v_running)
    FROM tenants t WHERE t.id = p_tenant;
    -- What held the old lane back (its keys) need not hold the new one.
    DELETE FROM lane_holds h USING chunk_kinds k WHERE h.tenant_id = p_tenant AND k.kind = h.kind AND k.per_tenant;
    PERFORM pg_notify('laneway_routes', p_tenant::text);
    PERFORM pg_notify('laneway_ready', '');
    RETURN v_recalled;
END $$;

CREATE OR REPLACE FUNCTION worker_configs_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant  uuid;
    v_left    text;
BEGIN
    FOR v_tenant IN
        SELECT u.tenant_id FROM users u WHERE u.tenant_id IS NOT NULL AND u.id IN (
            CASE WHEN TG_OP <> 'INSERT' THEN OLD.user_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.user_id END)
        -- The person may be gone with the row.
        UNION SELECT r.tenant_id FROM tenant_routes r WHERE TG_OP = 'DELETE' AND r.config_id = OLD.id
    LOOP
        -- Somebody decided anew: a fall-back from the lane before is over.
        DELETE FROM lane_fallbacks f WHERE f.tenant_id = v_tenant
            AND NOT EXISTS (SELECT 1 FROM configured_lanes c WHERE c.tenant_id = v_tenant AND c.queue = f.queue)
        RETURNING f.queue INTO v_left;
        -- Who is taken off a lane that it had fallen back from stays on the shared one: no change of lane tells of it.
        IF FOUND THEN PERFORM audit('fallback.ended', v_tenant, jsonb_build_object('queue', v_left)); END IF;
        PERFORM reroute_tenant(v_tenant);
    END LOOP;
    RETURN NULL;
END $$;

-- Queues that a live worker consumes.
CREATE FUNCTION attended_queues(p_presence_seconds double precision) RETURNS TABLE (queue text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT q FROM workers w CROSS JOIN unnest(w.queues) AS q
    WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds)
$$;

-- Note the lanes with work and no worker; let clients who wish it use the shared lane after a while, and bring them back when
-- a worker is. Also settles what no trigger sees (people who moved to another client). Any number may call it; one acts.
-- Answers how many clients changed lanes.
CREATE FUNCTION tend_lanes(p_presence_seconds double precision) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant  uuid;
    n         integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7245002) THEN RETURN 0; END IF;
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    -- A lane with work always has some of it released, also without a worker: release sees to that.
    INSERT INTO lane_attendance (queue)
    SELECT DISTINCT c.queue FROM chunks c WHERE c.status = 'released' AND c.queue IS NOT NULL
        AND c.queue NOT IN (SELECT a.queue FROM attended_queues(p_presence_seconds) a)
    ON CONFLICT DO NOTHING;
    DELETE FROM lane_attendance l
    WHERE l.queue IN (SELECT a.queue FROM attended_queues(p_presence_seconds) a)
       OR NOT EXISTS (SELECT 1 FROM chunks c WHERE c.queue = l.queue AND c.status = 'released');

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

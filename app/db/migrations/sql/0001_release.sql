-- Fair release, publish failures, lost messages, and the trigger that moves a client's backlog.

-- Release ready chunks to their lanes: each lane is filled up to twice the slots of its live workers (p_window when it
-- has none), tenants take turns by what they have in flight over their weight, and within a tenant priority, then age
-- decides. Rows come in the order in which they should be published. Safe with any number of callers.
CREATE FUNCTION ledger_release(p_max integer, p_window integer, p_presence_seconds double precision)
RETURNS TABLE (chunk_id bigint, fence integer, queue text, tenant_id uuid, tenant_slug text, job_id uuid, kind text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- One at a time, for the few milliseconds it takes: two would each fill the same free places.
    PERFORM pg_advisory_xact_lock(7245001);
    RETURN QUERY
    WITH RECURSIVE probe (kind, tenant_id) AS (
        -- Which tenants have something ready: one index probe a tenant, however long their backlog is.
        SELECT k.kind, (SELECT c.tenant_id FROM chunks c WHERE c.status = 'ready' AND c.kind = k.kind
                        ORDER BY c.tenant_id LIMIT 1) FROM chunk_kinds k
        UNION ALL
        SELECT p.kind, (SELECT c.tenant_id FROM chunks c
                        WHERE c.status = 'ready' AND c.kind = p.kind AND c.tenant_id > p.tenant_id
                        ORDER BY c.tenant_id LIMIT 1)
        FROM probe p WHERE p.tenant_id IS NOT NULL
    ), backlog AS (
        SELECT kind, tenant_id FROM probe WHERE tenant_id IS NOT NULL
    ), slots AS (
        SELECT q.queue, sum(w.slots) AS n FROM workers w CROSS JOIN unnest(w.queues) AS q(queue)
        WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds) GROUP BY q.queue
    ), flight AS (
        SELECT c.queue, c.tenant_id, count(*) AS n FROM chunks c
        WHERE c.status IN ('released', 'running') GROUP BY c.queue, c.tenant_id
    ), lane_flight AS (
        SELECT queue, sum(n) AS n FROM flight GROUP BY queue
    ), routed AS (
        SELECT b.kind, b.tenant_id, t.slug, t.weight, t.max_in_flight,
            CASE WHEN k.per_tenant THEN coalesce(l.queue, k.base_queue) ELSE k.base_queue END AS queue,
            NOT k.per_tenant OR l.queue IS NULL AS is_shared
        FROM backlog b
        JOIN chunk_kinds k ON k.kind = b.kind
        JOIN tenants t ON t.id = b.tenant_id
        LEFT JOIN tenant_lanes l ON l.tenant_id = b.tenant_id
        LEFT JOIN lane_holds h ON h.tenant_id = b.tenant_id AND h.kind = b.kind AND h.until > clock_timestamp()
        WHERE h.tenant_id IS NULL
    ), placed AS (
        SELECT r.*, coalesce(f.n, 0) AS in_flight,
            greatest(0, coalesce(2 * s.n, p_window) - coalesce(lf.n, 0))::integer AS room,
            coalesce(r.max_in_flight, CASE WHEN r.is_shared THEN greatest(p_window, s.n) ELSE 2147483647 END) AS cap
        FROM routed r
        LEFT JOIN slots s ON s.queue = r.queue
        LEFT JOIN flight f ON f.queue = r.queue AND f.tenant_id = r.tenant_id
        LEFT JOIN lane_flight lf ON lf.queue = r.queue
    ), ranked AS (
        SELECT p.*, row_number() OVER turn AS turn_no, count(*) OVER (PARTITION BY p.queue) AS tenants
        FROM placed p WHERE p.room > 0 AND p.in_flight < p.cap
        -- Equal tenants take turns by chance, so that none is always last.
        WINDOW turn AS (PARTITION BY p.queue ORDER BY p.in_flight::double precision / p.weight, random())
    ), candidates AS (
        SELECT r.queue, r.slug, r.kind, r.tenant_id, c.id, c.job_id, r.room, r.turn_no,
            (r.in_flight + c.nth)::double precision / r.weight AS share
        FROM ranked r CROSS JOIN LATERAL (
            SELECT x.id, x.job_id, row_number() OVER (ORDER BY x.priority, x.run_at, x.id) AS nth FROM (
                SELECT y.* FROM generate_series(1, 5) AS level CROSS JOIN LATERAL (
                    SELECT z.id, z.job_id, z.priority, z.run_at FROM chunks z
                    WHERE z.status = 'ready' AND z.kind = r.kind AND z.tenant_id = r.tenant_id
                      AND z.priority = level AND z.run_at <= clock_timestamp()
                    ORDER BY z.run_at, z.id
                    LIMIT least(r.room, greatest(1, 2 * r.room / r.tenants))) y
                ORDER BY y.priority, y.run_at, y.id
                LIMIT least(r.room, greatest(1, 2 * r.room / r.tenants))) x
        ) c
        WHERE r.turn_no <= r.room AND r.in_flight + c.nth <= r.cap
    ), picked AS (
        SELECT p.* FROM (
            SELECT c.*, row_number() OVER (PARTITION BY c.queue ORDER BY c.share, c.turn_no) AS place
            FROM candidates c) p
        WHERE p.place <= p.room ORDER BY p.place LIMIT p_max
    ), locked AS (
        SELECT z.id FROM chunks z JOIN picked p ON p.id = z.id WHERE z.status = 'ready' FOR UPDATE OF z SKIP LOCKED
    ), released AS (
        UPDATE chunks z SET status = 'released', queue = p.queue, released_at = clock_timestamp()
        FROM picked p JOIN locked l ON l.id = p.id WHERE z.id = p.id AND z.status = 'ready'
        RETURNING z.id, z.fence, p.queue, z.tenant_id, p.slug, z.job_id, z.kind, p.place
    )
    SELECT r.id, r.fence, r.queue, r.tenant_id, r.slug, r.job_id, r.kind FROM released r ORDER BY r.place;
END $$;

-- Take back released chunks whose message could not be published or is gone.
CREATE FUNCTION ledger_recall(p_chunks bigint[]) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH taken AS (
        SELECT id FROM chunks WHERE id = ANY (p_chunks) AND status = 'released' ORDER BY id FOR UPDATE SKIP LOCKED
    ), recalled AS (
        UPDATE chunks c SET status = 'ready', fence = fence + 1, queue = NULL, released_at = NULL
        FROM taken WHERE c.id = taken.id AND c.status = 'released' RETURNING 1
    )
    SELECT count(*)::integer FROM recalled
$$;

-- Released chunks older than p_seconds, oldest first: candidates for a lost message.
CREATE FUNCTION ledger_overdue(p_seconds double precision)
RETURNS TABLE (queue text, chunk_ids bigint[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT queue, array_agg(id ORDER BY released_at) FROM chunks
    WHERE status = 'released' AND released_at < clock_timestamp() - make_interval(secs => p_seconds)
    GROUP BY queue
$$;

-- When the dispatcher has something to do next, at most p_ahead_seconds away; NULL: nothing is due by then.
CREATE FUNCTION ledger_next_due(p_ahead_seconds double precision) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT extract(epoch FROM min(at) - clock_timestamp()) FROM (
        SELECT min(run_at) AS at FROM chunks WHERE status = 'ready' AND run_at > clock_timestamp()
            AND run_at <= clock_timestamp() + make_interval(secs => p_ahead_seconds)
        UNION ALL
        SELECT min(until) FROM lane_holds WHERE until > clock_timestamp()
            AND until <= clock_timestamp() + make_interval(secs => p_ahead_seconds)
    ) due
$$;

-- A changed lane pulls the tenant's released chunks back at once; their old messages become no-ops.
CREATE FUNCTION reroute_tenant(p_tenant uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n integer;
BEGIN
    WITH taken AS (
        SELECT c.id FROM chunks c JOIN chunk_kinds k ON k.kind = c.kind AND k.per_tenant
        WHERE c.status = 'released' AND c.tenant_id = p_tenant ORDER BY c.id FOR UPDATE OF c
    )
    UPDATE chunks c SET status = 'ready', fence = fence + 1, queue = NULL, released_at = NULL
    FROM taken WHERE c.id = taken.id;
    GET DIAGNOSTICS n = ROW_COUNT;
    -- What held the old lane back (its keys) need not hold the new one.
    DELETE FROM lane_holds h USING chunk_kinds k WHERE h.tenant_id = p_tenant AND k.kind = h.kind AND k.per_tenant;
    PERFORM pg_notify('laneway_routes', p_tenant::text);
    PERFORM pg_notify('laneway_ready', '');
    RETURN n;
END $$;

CREATE FUNCTION worker_configs_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant uuid;
BEGIN
    FOR v_tenant IN
        SELECT DISTINCT u.tenant_id FROM users u WHERE u.tenant_id IS NOT NULL AND u.id IN (
            CASE WHEN TG_OP <> 'INSERT' THEN OLD.user_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.user_id END)
    LOOP
        PERFORM reroute_tenant(v_tenant);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER worker_configs_reroute AFTER INSERT OR UPDATE OR DELETE ON worker_configs
    FOR EACH ROW EXECUTE FUNCTION worker_configs_changed();

-- Changed keys may free what a hold keeps back.
CREATE FUNCTION api_keys_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
BEGIN
    DELETE FROM lane_holds WHERE v_tenant IS NULL OR tenant_id = v_tenant;
    PERFORM pg_notify('laneway_keys', coalesce(v_tenant::text, ''));
    PERFORM pg_notify('laneway_ready', '');
    RETURN NULL;
END $$;
CREATE TRIGGER api_keys_notify AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_changed();

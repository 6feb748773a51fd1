-- Release and the look ahead as before, where no plan can go through everybody's due chunks to find one client's.

-- Release ready chunks to their lanes: each lane is filled up to twice the slots of its live workers (p_window when it
-- has none), tenants take turns by what they have in flight over their weight, and within a tenant priority, then age
-- decides. Rows come in the order in which they should be published. Safe with any number of callers: whoever asks
-- for what a release has seen that began p_asked_seconds_ago or later, or will see, gets nothing and need not wait.
--
-- What it costs follows the places to be filled, not the backlog nor the number of tenants: of the tenants of a shared
-- lane, about twice as many as there are places are looked at, by lot, so a place that one chunk leaves is filled again
-- in a millisecond or two though thousands of tenants wait. With fewer tenants all of them are. Of a tenant whose first work
-- is for later, four count as one; and whose work has been due for longest is looked at in any case.
CREATE OR REPLACE FUNCTION ledger_release(
    p_max integer, p_window integer, p_presence_seconds double precision, p_asked_seconds_ago double precision DEFAULT 0)
RETURNS TABLE (chunk_id bigint, fence integer, queue text, tenant_id uuid, tenant_slug text, job_id uuid, kind text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    -- The walk over a lane's tenants begins anywhere and goes round.
    v_lot  uuid := gen_random_uuid();
    v_now  timestamptz;
    v_asked timestamptz := clock_timestamp() - make_interval(secs => p_asked_seconds_ago);
BEGIN
    IF duty_done_since('release', v_asked) OR release_is_awaited() THEN RETURN; END IF;
    -- A dispatcher that is frozen between this and its commit must not stop all the others.
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    -- One at a time, for the few milliseconds it takes: two would each fill the same free places.
    PERFORM pg_advisory_xact_lock(7245001);
    IF duty_done_since('release', v_asked) THEN RETURN; END IF;
    -- Of the moment after the wait, and in a variable: a function that may change its answer can't bound an index scan.
    v_now := clock_timestamp();
    INSERT INTO duties (name, at) VALUES ('release', v_now) ON CONFLICT (name) DO UPDATE SET at = excluded.at;
    RETURN QUERY
    WITH RECURSIVE slots AS MATERIALIZED (
        SELECT q.queue, sum(w.slots) AS n FROM workers w CROSS JOIN unnest(w.queues) AS q(queue)
        WHERE w.last_seen > v_now - make_interval(secs => p_presence_seconds) GROUP BY q.queue
    ), flight AS MATERIALIZED (
        SELECT c.queue, c.tenant_id, count(*) AS n,
            -- How many are at least as important as priority 1, 2, ... 5.
            ARRAY[count(*) FILTER (WHERE c.priority <= 1), count(*) FILTER (WHERE c.priority <= 2),
                  count(*) FILTER (WHERE c.priority <= 3), count(*) FILTER (WHERE c.priority <= 4), count(*)] AS up_to
        FROM chunks c WHERE c.status IN ('released', 'running') GROUP BY c.queue, c.tenant_id
    ), busy AS MATERIALIZED (
        SELECT f.queue, count(*) AS tenants, sum(f.n) AS chunks FROM flight f GROUP BY f.queue
    ), all_lanes AS MATERIALIZED (
        -- A client that moves, falls back or comes back has chunks on two lanes for a while; its cap is for both.
        SELECT k.kind, f.tenant_id, sum(f.n) AS n FROM flight f
        JOIN chunk_kinds k ON f.queue = k.base_queue OR (k.per_tenant AND f.queue NOT IN (SELECT b.base_queue FROM chunk_kinds b))
        GROUP BY k.kind, f.tenant_id
    ), own AS MATERIALIZED (
        SELECT l.tenant_id, l.queue FROM tenant_lanes l
    ), lanes AS MATERIALIZED (
        -- Of n clients in flight each may have the n+1st part of the slots, so that a newcomer finds one free and
        -- waits for nobody's slice; a client alone, as on a lane of its own, has half. Only what is at least as important
        -- counts, so an urgent list finds room beside a long one of the same client. Slots are cheap, keys are what binds.
        SELECT q.queue, CASE WHEN s.n IS NULL THEN p_window ELSE ceil(s.n / (1 + greatest(1, coalesce(b.tenants, 0)))::numeric) END::bigint
            AS fair_cap, s.n AS slots, (coalesce(2 * s.n, p_window) - coalesce(b.chunks, 0))::integer AS room
        FROM (SELECT k.base_queue AS queue FROM chunk_kinds k UNION SELECT o.queue FROM own o) q
        LEFT JOIN slots s ON s.queue = q.queue
        LEFT JOIN busy b ON b.queue = q.queue
    ), full_tenants AS MATERIALIZED (
        SELECT f.queue, f.tenant_id FROM flight f JOIN tenants t ON t.id = f.tenant_id
        LEFT JOIN lanes n ON n.queue = f.queue
        WHERE f.n >= t.max_in_flight OR (t.max_in_flight IS NULL AND f.up_to[1] >= n.fair_cap)
    ), barred AS MATERIALIZED (
        -- (kind, tenant) that may get nothing on the kind's shared lane.
        SELECT h.kind, h.tenant_id FROM lane_holds h WHERE h.until > v_now
        UNION ALL SELECT k.kind, o.tenant_id FROM own o CROSS JOIN chunk_kinds k WHERE k.per_tenant
        UNION ALL SELECT k.kind, f.tenant_id FROM full_tenants f JOIN chunk_kinds k ON k.base_queue = f.queue
    ), walk (kind, at, wanted, is_round, is_tenant) AS (
        -- Shared lanes with room: from tenant to tenant that has something ready, by one index probe each, until enough
        -- are found that may get something, or all the way round.
        SELECT k.kind, v_lot, 4 * (2 * n.room + 64), false, false
        FROM chunk_kinds k JOIN lanes n ON n.queue = k.base_queue WHERE n.room > 0
        UNION ALL
        SELECT w.kind, coalesce(x.tenant_id, '00000000-0000-0000-0000-000000000000'),
            w.wanted - CASE WHEN x.tenant_id IS NULL OR (w.kind, x.tenant_id) IN (SELECT b.kind, b.tenant_id FROM barred b) THEN 0
                WHEN x.run_at <= v_now THEN 4 ELSE 1 END,
            w.is_round OR x.tenant_id IS NULL, x.tenant_id IS NOT NULL
        FROM walk w LEFT JOIN LATERAL (
            SELECT c.tenant_id, c.run_at FROM chunks c WHERE c.status = 'ready' AND c.kind = w.kind AND c.tenant_id > w.at
            ORDER BY c.tenant_id, c.priority, c.run_at LIMIT 1) x ON true
        WHERE w.wanted > 0 AND NOT (w.is_round AND (x.tenant_id IS NULL OR x.tenant_id > v_lot))
    ), seen (kind, tenant_id) AS (
        SELECT w.kind, w.at FROM walk w WHERE w.is_tenant
        UNION SELECT d.kind, d.tenant_id FROM (
            SELECT c.kind, c.tenant_id FROM chunks c WHERE c.status = 'ready' AND c.kind <> '' AND c.run_at <= v_now ORDER BY c.run_at LIMIT 64) d
    ), routed AS (
        SELECT s.kind, s.tenant_id, k.base_queue AS queue
        FROM seen s JOIN chunk_kinds k ON k.kind = s.kind
        WHERE (s.kind, s.tenant_id) NOT IN (SELECT b.kind, b.tenant_id FROM barred b)
        UNION ALL
        SELECT k.kind, o.tenant_id, o.queue
        FROM own o CROSS JOIN chunk_kinds k
        WHERE k.per_tenant
          AND o.queue IN (SELECT n.queue FROM lanes n WHERE n.room > 0)
          AND (k.kind, o.tenant_id) NOT IN (SELECT h.kind, h.tenant_id FROM lane_holds h WHERE h.until > v_now)
          AND EXISTS (SELECT 1 FROM chunks c WHERE c.status = 'ready' AND c.kind = k.kind AND c.tenant_id = o.tenant_id)
    ), placed AS (
        SELECT r.*, t.slug, t.weight, t.max_in_flight_per_job AS job_cap, n.room, coalesce(f.n, 0) AS in_flight,
            coalesce(f.up_to, '{0,0,0,0,0}') AS up_to, coalesce(t.max_in_flight - coalesce(e.n, 0) + coalesce(f.n, 0), 2147483647) AS hard_cap,
            CASE WHEN t.max_in_flight IS NOT NULL THEN 2147483647
                -- Those who wait for their first place are counted too, before they have it.
                ELSE least(n.fair_cap, ceil(n.slots / (1 + count(*) OVER (PARTITION BY r.queue))::numeric)) END AS cap,
            first.priority AS first_priority
        FROM routed r
        JOIN tenants t ON t.id = r.tenant_id
        JOIN lanes n ON n.queue = r.queue
        LEFT JOIN flight f ON f.queue = r.queue AND f.tenant_id = r.tenant_id
        LEFT JOIN all_lanes e ON e.kind = r.kind AND e.tenant_id = r.tenant_id
        CROSS JOIN LATERAL (
            SELECT z.priority FROM chunks z
            WHERE z.status = 'ready' AND z.kind = r.kind AND z.tenant_id = r.tenant_id AND z.run_at <= v_now
            ORDER BY z.priority LIMIT 1) first
    ), ranked AS (
        SELECT p.*, row_number() OVER turn AS turn_no, count(*) OVER (PARTITION BY p.queue) AS tenants,
            -- What its caps leave at best: more need not be read.
            least(p.hard_cap - p.in_flight, p.cap - p.up_to[p.first_priority])::bigint AS may_have
        FROM placed p WHERE p.room > 0 AND p.in_flight < p.hard_cap AND p.up_to[p.first_priority] < p.cap
        -- Equal tenants take turns by chance, so that none is always last.
        WINDOW turn AS (PARTITION BY p.queue ORDER BY p.in_flight::double precision / p.weight, random())
    ), candidates AS (
        SELECT r.queue, r.slug, c.id, r.room, r.turn_no, (r.in_flight + c.nth)::double precision / r.weight AS share
        FROM ranked r CROSS JOIN LATERAL (
            -- From the index alone, and one probe a priority: what is deferred is stepped over, not read.
            SELECT x.id, x.priority, row_number() OVER (ORDER BY x.priority, x.run_at, x.id) AS nth FROM (
                (SELECT z.id, z.priority, z.run_at FROM chunks z
                WHERE r.job_cap IS NULL AND z.status = 'ready' AND z.kind = r.kind AND z.tenant_id = r.tenant_id AND z.run_at <= v_now
                ORDER BY z.priority, z.run_at, z.id
                LIMIT least(r.room, greatest(1, 2 * r.room / r.tenants), r.may_have))
                UNION ALL
                -- A client with a cap a job: job by job, each up to what it may still have, until there is enough.
                (SELECT z.id, z.priority, z.run_at FROM (
                    SELECT j.id FROM jobs j WHERE r.job_cap IS NOT NULL AND j.tenant_id = r.tenant_id
                        AND j.status IN ('scheduled', 'pending', 'processing', 'retrying', 'waiting')
                    ORDER BY j.priority, j.id
                ) o CROSS JOIN LATERAL (
                    SELECT y.id, y.priority, y.run_at FROM chunks y
                    WHERE y.status = 'ready' AND y.kind = r.kind AND y.job_id = o.id AND y.run_at <= v_now
                    ORDER BY y.id LIMIT greatest(0, r.job_cap - (
                        SELECT count(*) FROM chunks f WHERE f.job_id = o.id AND f.status IN ('released', 'running')))
                ) z
                -- Not by may_have: chunks that came back keep the priority that their job had when they were released, so the
                -- first of them may be such as may not go now, and would stand in front of those that may.
                LIMIT least(r.room, greatest(1, 2 * r.room / r.tenants)))) x
        ) c
        WHERE r.turn_no <= r.room AND r.in_flight + c.nth <= r.hard_cap AND r.up_to[c.priority] + c.nth <= r.cap
    ), picked AS (
        SELECT p.* FROM (
            SELECT c.*, row_number() OVER (PARTITION BY c.queue ORDER BY c.share, c.turn_no) AS place
            FROM candidates c) p
        WHERE p.place <= p.room ORDER BY p.place LIMIT p_max
    ), locked AS (
        SELECT z.id, p.queue, p.slug, p.place FROM chunks z JOIN picked p ON p.id = z.id
        WHERE z.status = 'ready' FOR UPDATE OF z SKIP LOCKED
    ), released AS (
        UPDATE chunks z SET status = 'released', queue = l.queue, released_at = v_now
        FROM locked l WHERE z.id = l.id AND z.status = 'ready'
        RETURNING z.id, z.fence, l.queue, z.tenant_id, l.slug, z.job_id, z.kind, l.place
    )
    SELECT r.id, r.fence, r.queue, r.tenant_id, r.slug, r.job_id, r.kind FROM released r ORDER BY r.place;
END $$;

CREATE OR REPLACE FUNCTION ledger_next_due(p_ahead_seconds double precision) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT extract(epoch FROM min(at) - clock_timestamp()) FROM (
        -- The moment in a subquery, so that it can bound the index scan: the function itself, whose answer changes from
        -- row to row, would have every ready chunk of the backlog read.
        SELECT min(run_at) AS at FROM chunks WHERE status = 'ready' AND kind <> '' AND run_at > (SELECT clock_timestamp())
            AND run_at <= (SELECT clock_timestamp() + make_interval(secs => p_ahead_seconds))
        UNION ALL
        SELECT min(until) FROM lane_holds WHERE until > clock_timestamp()
            AND until <= clock_timestamp() + make_interval(secs => p_ahead_seconds)
    ) due
$$;

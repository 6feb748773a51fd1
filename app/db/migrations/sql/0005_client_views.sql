-- What operators see and do of clients, their lanes and keys. Each question or act is a function of its own, owned by the
-- schema's owner, so that the web's role needs no way around row-level security; acts leave an audit row in the same
-- transaction. Who may call them is the web's to check: operators only.

-- Every client with its settings, its lane as configured and as in force, its work, its keys, its part of the shared lane.
CREATE FUNCTION clients_overview(p_presence_seconds double precision, p_tenant uuid DEFAULT NULL)
RETURNS TABLE (id uuid, slug text, name text, weight smallint, max_in_flight integer, max_in_flight_per_job integer,
    key_policy text, fallback_after_seconds integer, created_at timestamptz,
    config_id uuid, user_id uuid, user_email text, worker_mode text, configured_queue text, is_active boolean,
    api_key_hint text, notes text, queue text, changed_at timestamptz, fallback_since timestamptz, unattended_since timestamptz,
    workers bigint, ready bigint, released bigint, running bigint, open_jobs bigint, keys bigint,
    rows_last_hour bigint, shared_rows_last_hour bigint, shared_part double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH config AS (
        -- The row in force, else the newest: what `enable` would put back.
        SELECT DISTINCT ON (u.tenant_id) u.tenant_id, wc.*, u.email FROM worker_configs wc JOIN users u ON u.id = wc.user_id
        WHERE u.tenant_id IS NOT NULL AND (p_tenant IS NULL OR u.tenant_id = p_tenant)
        ORDER BY u.tenant_id, (wc.is_active AND wc.worker_mode = 'dedicated') DESC, wc.updated_at DESC, wc.id
    ), work AS (
        SELECT c.tenant_id, count(*) FILTER (WHERE c.status = 'released') AS released,
            count(*) FILTER (WHERE c.status = 'running') AS running
        FROM chunks c JOIN chunk_kinds k ON k.kind = c.kind AND k.per_tenant
        WHERE c.status IN ('released', 'running') AND (p_tenant IS NULL OR c.tenant_id = p_tenant) GROUP BY c.tenant_id
    ), usage AS (
        SELECT s.tenant_id, sum(s.rows)::bigint AS rows,
            coalesce(sum(s.rows) FILTER (WHERE s.queue = 'verification-queue'), 0)::bigint AS shared
        FROM lane_usage s WHERE s.minute > clock_timestamp() - interval '1 hour' GROUP BY s.tenant_id
    ), total AS (SELECT nullif(sum(shared), 0) AS shared FROM usage)
    SELECT t.id, t.slug, t.name, t.weight, t.max_in_flight, t.max_in_flight_per_job, t.key_policy, t.fallback_after_seconds,
        t.created_at, c.id, c.user_id, c.email, c.worker_mode, c.verification_queue, c.is_active AND c.worker_mode = 'dedicated',
        c.api_key_hint, c.notes, coalesce(l.queue, 'verification-queue'), r.changed_at, f.since, a.unattended_since,
        (SELECT count(*) FROM workers w WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds)
            AND coalesce(c.verification_queue, 'verification-queue') = ANY (w.queues)),
        -- By its own index; together with the others no index serves.
        (SELECT count(*) FROM chunk_kinds k JOIN chunks z ON z.kind = k.kind AND z.tenant_id = t.id AND z.status = 'ready'
            WHERE k.per_tenant),
        coalesce(w.released, 0), coalesce(w.running, 0),
        (SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id AND j.status IN ('scheduled', 'pending', 'processing', 'retrying', 'waiting')),
        (SELECT count(*) FROM api_keys k WHERE k.tenant_id = t.id AND k.is_enabled),
        coalesce(u.rows, 0), coalesce(u.shared, 0), u.shared / (SELECT shared FROM total)::double precision
    FROM tenants t
    LEFT JOIN config c ON c.tenant_id = t.id
    LEFT JOIN tenant_lanes l ON l.tenant_id = t.id
    LEFT JOIN tenant_routes r ON r.tenant_id = t.id
    LEFT JOIN lane_fallbacks f ON f.tenant_id = t.id
    LEFT JOIN lane_attendance a ON a.queue = c.verification_queue
    LEFT JOIN work w ON w.tenant_id = t.id
    LEFT JOIN usage u ON u.tenant_id = t.id
    WHERE p_tenant IS NULL OR t.id = p_tenant
    ORDER BY t.slug
$$;

-- The newest first; p_before is the id to go on from.
CREATE FUNCTION audit_log(p_tenant uuid DEFAULT NULL, p_limit integer DEFAULT 50, p_before bigint DEFAULT NULL)
RETURNS SETOF audit_events
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM audit_events e
    WHERE (p_tenant IS NULL OR e.tenant_id = p_tenant) AND (p_before IS NULL OR e.id < p_before)
    ORDER BY e.id DESC LIMIT least(p_limit, 500)
$$;

-- Lanes that want a look: without a worker though there is work, or left by clients that fell back to the shared one.
CREATE FUNCTION lane_watch()
RETURNS TABLE (queue text, unattended_since timestamptz, fallback_since timestamptz, fallback_tenants text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(a.queue, f.queue), a.unattended_since, f.since, f.slugs
    FROM lane_attendance a FULL JOIN (
        SELECT b.queue, min(b.since) AS since, array_agg(t.slug ORDER BY t.slug) AS slugs
        FROM lane_fallbacks b JOIN tenants t ON t.id = b.tenant_id GROUP BY b.queue
    ) f ON f.queue = a.queue
$$;

-- A worker adds up what it did: [{"queue", "tenant_id", "rows"}] of the minute that is running.
CREATE FUNCTION add_lane_usage(p_rows jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO lane_usage (minute, queue, tenant_id, rows)
    SELECT date_trunc('minute', clock_timestamp()), r.queue, r.tenant_id, sum(r.rows)
    FROM jsonb_to_recordset(p_rows) AS r(queue text, tenant_id uuid, rows bigint) JOIN tenants t ON t.id = r.tenant_id
    GROUP BY r.queue, r.tenant_id ORDER BY r.queue, r.tenant_id
    ON CONFLICT (queue, minute, tenant_id) DO UPDATE SET rows = lane_usage.rows + excluded.rows
$$;

-- Nobody asks for usage of more than a day ago. Answers how many rows are gone.
CREATE FUNCTION forget_lane_usage() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n integer;
BEGIN
    DELETE FROM lane_usage WHERE minute < clock_timestamp() - interval '25 hours';
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- Which tenant and queue a dedicated worker's client has: the lane as its row says, also while the work is on the shared
-- one because this worker was away.
CREATE OR REPLACE FUNCTION client_lane(p_client uuid)
RETURNS TABLE (tenant_id uuid, tenant_slug text, email text, queue text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.slug, u.email, l.queue
    FROM tenants t LEFT JOIN users u ON u.id = p_client LEFT JOIN configured_lanes l ON l.tenant_id = t.id
    WHERE t.id = coalesce(u.tenant_id, p_client)
$$;

-- Put a client on a lane of its own, by one of its people; the person's active row is changed, else one is made.
CREATE FUNCTION client_set_lane(p_user uuid, p_queue text, p_hint text, p_notes text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    UPDATE worker_configs SET worker_mode = 'dedicated', verification_queue = p_queue,
        api_key_hint = coalesce(p_hint, api_key_hint), notes = coalesce(p_notes, notes)
    WHERE user_id = p_user AND is_active RETURNING id INTO v_id;
    IF v_id IS NULL THEN
        INSERT INTO worker_configs (user_id, worker_mode, verification_queue, api_key_hint, notes, is_active)
        VALUES (p_user, 'dedicated', p_queue, p_hint, p_notes, true) RETURNING id INTO v_id;
    END IF;
    -- What others of the client's people have would compete with it. Last, so that the client goes from lane to lane at once.
    UPDATE worker_configs wc SET is_active = false FROM users u
    WHERE u.id = wc.user_id AND wc.is_active AND wc.user_id <> p_user
      AND u.tenant_id = (SELECT x.tenant_id FROM users x WHERE x.id = p_user);
    RETURN v_id;
END $$;

-- Roll a client back to the shared lane, or put its newest row in force again; answers how many rows changed.
CREATE FUNCTION client_set_active(p_tenant uuid, p_active boolean) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n integer;
BEGIN
    IF p_active THEN
        UPDATE worker_configs SET is_active = true WHERE NOT is_active AND id = (
            SELECT wc.id FROM worker_configs wc JOIN users u ON u.id = wc.user_id
            WHERE u.tenant_id = p_tenant AND wc.worker_mode = 'dedicated'
            ORDER BY wc.is_active DESC, wc.updated_at DESC, wc.id LIMIT 1);
    ELSE
        UPDATE worker_configs wc SET is_active = false FROM users u
        WHERE u.id = wc.user_id AND u.tenant_id = p_tenant AND wc.is_active AND wc.worker_mode = 'dedicated';
    END IF;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- Take a client's rows away for good; its work goes to the shared lane.
CREATE FUNCTION client_remove_lane(p_tenant uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n integer;
BEGIN
    DELETE FROM worker_configs wc USING users u WHERE u.id = wc.user_id AND u.tenant_id = p_tenant;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- Change a client's settings; only those named in p_settings, a JSON null empties one. Answers {setting: [before, after]}.
CREATE FUNCTION client_set(p_tenant uuid, p_settings jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_before   tenants;
    v_after    tenants;
    v_changes  jsonb;
BEGIN
    SELECT * INTO v_before FROM tenants WHERE id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    v_after := jsonb_populate_record(v_before, p_settings - ARRAY['id', 'slug', 'created_at']);
    UPDATE tenants SET name = v_after.name, weight = v_after.weight, max_in_flight = v_after.max_in_flight,
        max_in_flight_per_job = v_after.max_in_flight_per_job, key_policy = v_after.key_policy,
        fallback_after_seconds = v_after.fallback_after_seconds
    WHERE id = p_tenant;
    SELECT coalesce(jsonb_object_agg(b.key, jsonb_build_array(b.value, a.value)), '{}') INTO v_changes
    FROM jsonb_each(to_jsonb(v_before)) b JOIN jsonb_each(to_jsonb(v_after)) a USING (key) WHERE a.value IS DISTINCT FROM b.value;
    IF v_changes <> '{}' THEN
        PERFORM audit('client.changed', p_tenant, v_changes);
    END IF;
    RETURN v_changes;
END $$;

-- Whoever changes them: workers keep weight and policy of keys, dispatchers go by the caps.
CREATE FUNCTION tenant_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- What the keys of before could not give those of now may.
    IF NEW.key_policy <> OLD.key_policy THEN DELETE FROM lane_holds WHERE tenant_id = NEW.id; END IF;
    PERFORM pg_notify('laneway_keys', NEW.id::text);
    PERFORM pg_notify('laneway_ready', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_notify AFTER UPDATE OF weight, key_policy, max_in_flight, max_in_flight_per_job ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenant_changed();

-- Add a key of a client (p_tenant NULL: the platform's), already encrypted. NULL: it is there.
CREATE FUNCTION key_add(p_tenant uuid, p_provider text, p_fingerprint text, p_secret bytea, p_hint text, p_limits jsonb)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_key  api_keys;
    v_id   uuid;
BEGIN
    v_key := jsonb_populate_record(NULL::api_keys, p_limits);
    INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint, spacing_ms, requests_per_window,
        window_seconds, extra_windows, daily_limit, reset_hour, notes)
    VALUES (p_tenant, p_provider, p_fingerprint, p_secret, p_hint, coalesce(v_key.spacing_ms, 250), v_key.requests_per_window,
        coalesce(v_key.window_seconds, 30), coalesce(v_key.extra_windows, '[]'), v_key.daily_limit,
        coalesce(v_key.reset_hour, 0), v_key.notes)
    ON CONFLICT DO NOTHING RETURNING id INTO v_id;
    IF v_id IS NOT NULL THEN
        PERFORM audit('key.added', p_tenant, jsonb_build_object('key', v_id, 'hint', p_hint, 'provider', p_provider));
    END IF;
    RETURN v_id;
END $$;

-- Change a key's limits, notes, or whether it is enabled; as client_set. NULL: there is no such key.
CREATE FUNCTION key_set(p_key uuid, p_settings jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_before   api_keys;
    v_after    api_keys;
    v_changes  jsonb;
BEGIN
    SELECT * INTO v_before FROM api_keys WHERE id = p_key FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    v_after := jsonb_populate_record(v_before, p_settings
        - ARRAY['id', 'tenant_id', 'provider', 'fingerprint', 'secret_encrypted', 'hint', 'created_at', 'updated_at']);
    SELECT coalesce(jsonb_object_agg(b.key, jsonb_build_array(b.value, a.value)), '{}') INTO v_changes
    FROM jsonb_each(to_jsonb(v_before)) b JOIN jsonb_each(to_jsonb(v_after)) a USING (key) WHERE a.value IS DISTINCT FROM b.value;
    IF v_changes = '{}' THEN RETURN v_changes; END IF;
    UPDATE api_keys SET spacing_ms = v_after.spacing_ms, requests_per_window = v_after.requests_per_window,
        window_seconds = v_after.window_seconds, extra_windows = v_after.extra_windows, daily_limit = v_after.daily_limit,
        reset_hour = v_after.reset_hour, is_enabled = v_after.is_enabled, notes = v_after.notes
    WHERE id = p_key;
    PERFORM audit('key.changed', v_before.tenant_id, v_changes || jsonb_build_object('key', p_key, 'hint', v_before.hint));
    RETURN v_changes;
END $$;

CREATE FUNCTION key_remove(p_key uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_key api_keys;
BEGIN
    DELETE FROM api_keys WHERE id = p_key RETURNING * INTO v_key;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM audit('key.removed', v_key.tenant_id,
        jsonb_build_object('key', p_key, 'hint', v_key.hint, 'provider', v_key.provider));
    RETURN true;
END $$;

-- The secret of one key, still encrypted, for a test call or to encrypt it anew.
CREATE FUNCTION key_secret(p_key uuid) RETURNS TABLE (provider text, tenant_id uuid, fingerprint text, secret_encrypted bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.provider, k.tenant_id, k.fingerprint, k.secret_encrypted FROM api_keys k WHERE k.id = p_key
$$;

-- The keys that serve a tenant, by its policy.
DROP FUNCTION keys_for(uuid, text);
CREATE FUNCTION keys_for(p_tenant uuid, p_provider text)
RETURNS TABLE (id uuid, tenant_id uuid, fingerprint text, secret_encrypted bytea, hint text, spacing_ms integer,
               requests_per_window integer, window_seconds integer, extra_windows jsonb, daily_limit integer,
               reset_hour smallint, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.id, k.tenant_id, k.fingerprint, k.secret_encrypted, k.hint, k.spacing_ms, k.requests_per_window,
           k.window_seconds, k.extra_windows, k.daily_limit, k.reset_hour, k.updated_at
    FROM api_keys k
    CROSS JOIN (SELECT coalesce((SELECT t.key_policy FROM tenants t WHERE t.id = p_tenant), 'platform') AS name) policy
    WHERE k.provider = p_provider AND k.is_enabled
      AND k.tenant_id IS NOT DISTINCT FROM CASE WHEN policy.name = 'own' OR policy.name = 'own_then_platform' AND EXISTS (
          SELECT 1 FROM api_keys own WHERE own.tenant_id = p_tenant AND own.provider = p_provider AND own.is_enabled
      ) THEN p_tenant END
    ORDER BY k.created_at, k.id
$$;

-- For operators: every key, without its secret: the stored ones, and those in the environment of live workers.
DROP FUNCTION keys_overview();
CREATE FUNCTION keys_overview()
RETURNS TABLE (id uuid, tenant_id uuid, tenant_slug text, provider text, fingerprint text, hint text, spacing_ms integer,
               requests_per_window integer, window_seconds integer, daily_limit integer, is_enabled boolean,
               notes text, used_today integer, last_used_at timestamptz, source text, extra_windows jsonb, reset_hour smallint,
               in_force boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH stored AS (
        SELECT k.id, k.tenant_id, k.provider, k.fingerprint, k.hint, k.spacing_ms, k.requests_per_window,
               k.window_seconds, k.daily_limit, k.is_enabled, k.notes, 'database' AS source, k.extra_windows, k.reset_hour
        FROM api_keys k
    ), carried AS (
        -- Of several workers with the same key, the one that started last; a user's id names its tenant.
        SELECT DISTINCT ON (c.tenant_id, e.fingerprint) NULL::uuid AS id, c.tenant_id, 'mailtester' AS provider,
               e.fingerprint, e.hint, e.spacing_ms, e.requests_per_window, e.window_seconds, e.daily_limit,
               true AS is_enabled, 'in the environment of ' || w.name AS notes, 'environment' AS source,
               '[]'::jsonb AS extra_windows, 0::smallint AS reset_hour
        FROM workers w
        CROSS JOIN jsonb_to_recordset(w.environment_keys) AS e(fingerprint text, hint text, spacing_ms integer,
            requests_per_window integer, window_seconds integer, daily_limit integer, client_id uuid)
        LEFT JOIN LATERAL (
            SELECT coalesce((SELECT u.tenant_id FROM users u WHERE u.id = coalesce(e.client_id, w.client_id)),
                            e.client_id, w.client_id) AS tenant_id) c ON true
        WHERE w.last_seen > clock_timestamp() - interval '1 minute'
        ORDER BY c.tenant_id, e.fingerprint, w.started_at DESC
    ), every AS (SELECT * FROM stored UNION ALL SELECT * FROM carried)
    SELECT k.id, k.tenant_id, t.slug, k.provider, k.fingerprint, k.hint, k.spacing_ms, k.requests_per_window,
           k.window_seconds, k.daily_limit, k.is_enabled, k.notes, coalesce(u.used, 0), u.last_used_at, k.source,
           k.extra_windows, k.reset_hour,
           -- A worker's own keys win over the table's for its client; then the client's policy decides.
           k.is_enabled AND (k.source = 'environment' OR k.tenant_id IS NULL
               OR t.key_policy <> 'platform' AND NOT EXISTS (SELECT 1 FROM carried c WHERE c.tenant_id = k.tenant_id))
    FROM every k LEFT JOIN tenants t ON t.id = k.tenant_id
    LEFT JOIN key_usage u ON u.fingerprint = k.fingerprint AND u.day = (now() AT TIME ZONE 'UTC')::date
    ORDER BY t.slug NULLS FIRST, k.source, k.hint
$$;

-- For operators and /metrics: each lane with what it holds. waiting is what could be released now.
CREATE OR REPLACE FUNCTION lanes_overview(p_presence_seconds double precision)
RETURNS TABLE (queue text, kind text, tenants text[], ready bigint, deferred bigint, released bigint, running bigint,
               oldest_seconds double precision, workers bigint, slots bigint, held_until timestamptz, held_reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH open_chunks AS (
        SELECT c.kind, c.tenant_id, c.queue, c.status, c.run_at > clock_timestamp() AS later, count(*) AS n,
               min(coalesce(c.released_at, c.run_at)) AS since
        FROM chunks c WHERE c.status IN ('ready', 'released', 'running') GROUP BY 1, 2, 3, 4, 5
    ), placed AS (
        SELECT o.*, coalesce(o.queue, CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS lane
        FROM open_chunks o JOIN chunk_kinds k ON k.kind = o.kind LEFT JOIN tenant_lanes l ON l.tenant_id = o.tenant_id
    ), attended AS (
        SELECT q.queue, count(*) AS workers, sum(w.slots) AS slots FROM workers w CROSS JOIN unnest(w.queues) AS q(queue)
        WHERE w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds) GROUP BY q.queue
    ), held AS (
        SELECT coalesce(CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS lane, min(h.until) AS until,
               (array_agg(h.reason ORDER BY h.until))[1] AS reason
        FROM lane_holds h JOIN chunk_kinds k ON k.kind = h.kind LEFT JOIN tenant_lanes l ON l.tenant_id = h.tenant_id
        WHERE h.until > clock_timestamp() GROUP BY 1
    ), named AS (
        SELECT base_queue AS lane, kind FROM chunk_kinds
        -- Also a lane whose client has fallen back: it is what people look for.
        UNION SELECT l.queue, k.kind FROM configured_lanes l CROSS JOIN chunk_kinds k WHERE k.per_tenant
        UNION SELECT lane, kind FROM placed
    )
    SELECT n.lane, n.kind,
        (SELECT array_agg(t.slug ORDER BY t.slug) FROM tenants t WHERE t.id IN (
            SELECT l.tenant_id FROM configured_lanes l WHERE l.queue = n.lane
            UNION SELECT p.tenant_id FROM placed p WHERE p.lane = n.lane AND p.kind = n.kind)),
        coalesce(sum(p.n) FILTER (WHERE p.status = 'ready' AND NOT p.later), 0)::bigint,
        coalesce(sum(p.n) FILTER (WHERE p.status = 'ready' AND p.later), 0)::bigint,
        coalesce(sum(p.n) FILTER (WHERE p.status = 'released'), 0)::bigint,
        coalesce(sum(p.n) FILTER (WHERE p.status = 'running'), 0)::bigint,
        extract(epoch FROM clock_timestamp() - min(p.since) FILTER (WHERE p.status <> 'running' AND NOT p.later))::double precision,
        coalesce(max(a.workers), 0)::bigint, coalesce(max(a.slots), 0)::bigint, max(h.until), max(h.reason)
    FROM named n
    LEFT JOIN placed p ON p.lane = n.lane AND p.kind = n.kind
    LEFT JOIN attended a ON a.queue = n.lane
    LEFT JOIN held h ON h.lane = n.lane
    GROUP BY n.lane, n.kind ORDER BY n.lane
$$;

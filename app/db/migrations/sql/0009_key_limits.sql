-- What the limits of a key may be, and whose hold where several rows have one key.

-- Of each length at most one window, the first included (p_first: its seconds; NULL: there is none).
CREATE FUNCTION windows_differ(p_first integer, p_windows jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(s) = count(DISTINCT s) FROM (
        SELECT (w ->> 'seconds')::numeric AS s FROM jsonb_array_elements(p_windows) w UNION ALL SELECT p_first::numeric) t
$$;

-- Rows that the checks below would refuse. So many calls stood for no window; a window with too many becomes a shorter one
-- that allows no more in the same time; of two with one length the lower holds.
WITH wrong AS (
    SELECT k.id, k.window_seconds, CASE WHEN k.requests_per_window IS NOT NULL THEN k.window_seconds END AS first, k.extra_windows
        || CASE WHEN k.requests_per_window IS NULL THEN '[]'::jsonb ELSE jsonb_build_array(
            jsonb_build_object('requests', k.requests_per_window, 'seconds', k.window_seconds)) END AS windows
    FROM api_keys k
    WHERE k.requests_per_window > 100000 OR jsonb_path_exists(k.extra_windows, '$[*] ? (@.requests > 100000)')
        OR NOT windows_differ(CASE WHEN k.requests_per_window IS NOT NULL THEN k.window_seconds END, k.extra_windows)
), shorter AS (
    SELECT x.id, x.window_seconds, least(w.requests, 100000) AS requests,
        CASE WHEN w.requests > 100000 THEN ceil(w.seconds / floor(w.requests / 100000)) ELSE w.seconds END AS seconds
    FROM wrong x CROSS JOIN LATERAL jsonb_to_recordset(x.windows) AS w(requests numeric, seconds numeric)
    WHERE w.requests < 1000000000
), one AS (
    SELECT id, window_seconds, seconds, min(requests) AS requests FROM shorter GROUP BY id, window_seconds, seconds
)
UPDATE api_keys k
SET requests_per_window = (SELECT o.requests FROM one o WHERE o.id = k.id AND o.seconds = o.window_seconds),
    extra_windows = coalesce((
        SELECT jsonb_agg(jsonb_build_object('requests', o.requests, 'seconds', o.seconds) ORDER BY o.seconds)
        FROM one o WHERE o.id = k.id AND o.seconds <> o.window_seconds), '[]')
FROM wrong x WHERE x.id = k.id;

-- A window costs Redis memory and time for each of its calls; of two windows of one length a worker can't tell which holds.
ALTER TABLE api_keys
    ADD CONSTRAINT api_keys_window_calls CHECK (coalesce(requests_per_window, 0) <= 100000
        AND NOT jsonb_path_exists(extra_windows, '$[*] ? (@.requests > 100000)')),
    ADD CONSTRAINT api_keys_window_twice CHECK (
        windows_differ(CASE WHEN requests_per_window IS NOT NULL THEN window_seconds END, extra_windows));

-- The limits that hold for a key. A provider counts its calls once, so of several enabled rows with one key the strictest
-- of each hold for all; the day begins as the row says that was changed last. The newest change is the version of them all.
CREATE FUNCTION limits_in_force(p_key api_keys)
RETURNS TABLE (spacing_ms integer, requests_per_window integer, window_seconds integer, extra_windows jsonb,
               daily_limit integer, reset_hour smallint, updated_at timestamptz)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH enabled AS (
        SELECT k.* FROM api_keys k WHERE k.fingerprint = p_key.fingerprint AND k.provider = p_key.provider AND k.is_enabled
    ), rows AS (
        SELECT * FROM enabled UNION ALL SELECT (p_key).* WHERE NOT EXISTS (SELECT 1 FROM enabled)
    ), windows AS (
        SELECT w.seconds, min(w.requests) AS requests FROM (
            SELECT r.window_seconds::numeric AS seconds, r.requests_per_window::numeric AS requests FROM rows r
            WHERE r.requests_per_window IS NOT NULL
            UNION ALL SELECT e.seconds, e.requests
            FROM rows r CROSS JOIN LATERAL jsonb_to_recordset(r.extra_windows) AS e(requests numeric, seconds numeric)) w
        GROUP BY w.seconds
    )
    SELECT max(r.spacing_ms),
        (SELECT w.requests::integer FROM windows w WHERE w.seconds = (p_key).window_seconds), (p_key).window_seconds,
        coalesce((SELECT jsonb_agg(jsonb_build_object('requests', w.requests, 'seconds', w.seconds) ORDER BY w.seconds)
            FROM windows w WHERE w.seconds <> (p_key).window_seconds), '[]'),
        min(r.daily_limit), (array_agg(r.reset_hour ORDER BY r.updated_at DESC))[1], max(r.updated_at)
    FROM rows r
$$;

CREATE OR REPLACE FUNCTION keys_for(p_tenant uuid, p_provider text)
RETURNS TABLE (id uuid, tenant_id uuid, fingerprint text, secret_encrypted bytea, hint text, spacing_ms integer,
               requests_per_window integer, window_seconds integer, extra_windows jsonb, daily_limit integer,
               reset_hour smallint, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.id, k.tenant_id, k.fingerprint, k.secret_encrypted, k.hint, l.*
    FROM api_keys k CROSS JOIN LATERAL limits_in_force(k) l
    CROSS JOIN (SELECT coalesce((SELECT t.key_policy FROM tenants t WHERE t.id = p_tenant), 'platform') AS name) policy
    WHERE k.provider = p_provider AND k.is_enabled
      AND k.tenant_id IS NOT DISTINCT FROM CASE WHEN policy.name = 'own' OR policy.name = 'own_then_platform' AND EXISTS (
          SELECT 1 FROM api_keys own WHERE own.tenant_id = p_tenant AND own.provider = p_provider AND own.is_enabled
      ) THEN p_tenant END
    ORDER BY k.created_at, k.id
$$;

-- One key with its secret, still encrypted, as keys_for: for a test call or to encrypt it anew. Limits and version belong
-- together, so they are read together.
DROP FUNCTION key_secret(uuid);
CREATE FUNCTION key_secret(p_key uuid)
RETURNS TABLE (provider text, tenant_id uuid, fingerprint text, secret_encrypted bytea, hint text, spacing_ms integer,
               requests_per_window integer, window_seconds integer, extra_windows jsonb, daily_limit integer,
               reset_hour smallint, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.provider, k.tenant_id, k.fingerprint, k.secret_encrypted, k.hint, l.*
    FROM api_keys k CROSS JOIN LATERAL limits_in_force(k) l WHERE k.id = p_key
$$;

-- Other enabled rows with the same key. Until the transaction ends nobody else who asks gets an answer for this key.
CREATE FUNCTION key_twins(p_provider text, p_fingerprint text, p_but uuid DEFAULT NULL)
RETURNS TABLE (id uuid, tenant_id uuid, tenant_slug text, spacing_ms integer, requests_per_window integer,
               window_seconds integer, extra_windows jsonb, daily_limit integer, reset_hour smallint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(p_provider || ':' || p_fingerprint, 7245009));
    SELECT k.id, k.tenant_id, t.slug, k.spacing_ms, k.requests_per_window, k.window_seconds, k.extra_windows, k.daily_limit,
        k.reset_hour
    FROM api_keys k LEFT JOIN tenants t ON t.id = k.tenant_id
    WHERE k.provider = p_provider AND k.fingerprint = p_fingerprint AND k.is_enabled AND k.id IS DISTINCT FROM p_but
    ORDER BY t.slug NULLS FIRST
$$;

-- A row that is gone takes its limits along: the rows that are left become newer than it was, in the order they have, so that
-- every process takes theirs. And what holds back their clients may hold no more.
CREATE FUNCTION api_key_twins_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_row   api_keys := CASE WHEN TG_OP = 'INSERT' THEN NEW ELSE OLD END;
    v_twin  api_keys;
BEGIN
    FOR v_twin IN SELECT * FROM api_keys k WHERE k.fingerprint = v_row.fingerprint AND k.provider = v_row.provider
        AND k.is_enabled AND k.id <> v_row.id ORDER BY k.updated_at, k.id
    LOOP
        IF TG_OP <> 'INSERT' AND OLD.is_enabled AND (TG_OP = 'DELETE' OR NOT NEW.is_enabled
            OR (NEW.provider, NEW.fingerprint) <> (OLD.provider, OLD.fingerprint)) THEN
            UPDATE api_keys SET updated_at = clock_timestamp() WHERE id = v_twin.id;
        ELSE
            DELETE FROM lane_holds WHERE v_twin.tenant_id IS NULL OR tenant_id = v_twin.tenant_id;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER api_keys_twins AFTER INSERT OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_key_twins_changed();
-- Not for a row that only became newer.
CREATE TRIGGER api_keys_twins_changed AFTER UPDATE ON api_keys FOR EACH ROW
    WHEN ((OLD.provider, OLD.fingerprint, OLD.is_enabled, OLD.spacing_ms, OLD.requests_per_window, OLD.window_seconds,
        OLD.extra_windows, OLD.daily_limit, OLD.reset_hour) IS DISTINCT FROM (NEW.provider, NEW.fingerprint, NEW.is_enabled,
        NEW.spacing_ms, NEW.requests_per_window, NEW.window_seconds, NEW.extra_windows, NEW.daily_limit, NEW.reset_hour))
    EXECUTE FUNCTION api_key_twins_changed();

-- The hour of an enabled row comes before that of one that is switched off: its limits are in force.
CREATE OR REPLACE FUNCTION usage_day(p_fingerprint text) RETURNS date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT (now() AT TIME ZONE 'UTC' - make_interval(hours => coalesce((SELECT k.reset_hour FROM api_keys k
        WHERE k.fingerprint = p_fingerprint ORDER BY k.is_enabled DESC, k.updated_at DESC LIMIT 1), 0)))::date
$$;

-- Since when a key's calls count towards the day that is running: the beginning of its own day; of the UTC day, where a live
-- worker carries it (an environment can't say an hour) and that began earlier.
CREATE FUNCTION usage_since(p_fingerprint text) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT min((t.day + make_interval(hours => t.hour)) AT TIME ZONE 'UTC') FROM (
        SELECT usage_day(p_fingerprint) AS day, coalesce((SELECT k.reset_hour FROM api_keys k
            WHERE k.fingerprint = p_fingerprint ORDER BY k.is_enabled DESC, k.updated_at DESC LIMIT 1), 0) AS hour
        UNION ALL SELECT (now() AT TIME ZONE 'UTC')::date, 0
        FROM workers w CROSS JOIN LATERAL jsonb_to_recordset(w.environment_keys) AS e(fingerprint text)
        WHERE w.last_seen > now() - interval '1 minute' AND e.fingerprint = p_fingerprint) t
$$;

-- What a key was used for since then. A row counts by when it was last used, not by its date: the hour may have been another
-- when it was written. So it may be too much after a change, never too little.
CREATE FUNCTION used_so_far(p_fingerprint text) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT least(coalesce(sum(u.used), 0), 2147483647)::integer FROM key_usage u
    WHERE u.fingerprint = p_fingerprint AND u.last_used_at >= usage_since(p_fingerprint)
$$;

REVOKE ALL ON FUNCTION windows_differ(integer, jsonb), limits_in_force(api_keys), api_key_twins_changed(), key_secret(uuid),
    key_twins(text, text, uuid), usage_since(text), used_so_far(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION key_secret(uuid), key_twins(text, text, uuid), used_so_far(text) TO {app_role};

-- Acts on a client's lane: one at a time for each client, and each with an audit row of its own.

-- The first step of whoever changes a client's lane. What else they lock they then lock alone, so in any order. Rows that
-- refer to the client (jobs, keys) are still written meanwhile.
CREATE FUNCTION lock_client(p_tenant uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM tenants WHERE id = p_tenant FOR NO KEY UPDATE;
END $$;

-- Put a client on a lane of its own, by one of its people; the person's active row is changed, else one is made. That notes
-- changed is told; a change of lanes tells of itself.
CREATE OR REPLACE FUNCTION client_set_lane(p_user uuid, p_queue text, p_hint text, p_notes text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant  uuid;
    v_notes   text;
    v_id      uuid;
BEGIN
    SELECT u.tenant_id INTO v_tenant FROM users u WHERE u.id = p_user;
    PERFORM lock_client(v_tenant);
    SELECT wc.notes INTO v_notes FROM worker_configs wc WHERE wc.user_id = p_user AND wc.is_active;
    UPDATE worker_configs SET worker_mode = 'dedicated', verification_queue = p_queue,
        api_key_hint = coalesce(p_hint, api_key_hint), notes = coalesce(p_notes, notes)
    WHERE user_id = p_user AND is_active RETURNING id INTO v_id;
    IF v_id IS NULL THEN
        INSERT INTO worker_configs (user_id, worker_mode, verification_queue, api_key_hint, notes, is_active)
        VALUES (p_user, 'dedicated', p_queue, p_hint, p_notes, true) RETURNING id INTO v_id;
    END IF;
    -- What others of the client's people have would compete with it. Last, so that the client goes from lane to lane at once.
    UPDATE worker_configs wc SET is_active = false FROM users u
    WHERE u.id = wc.user_id AND wc.is_active AND wc.user_id <> p_user AND u.tenant_id = v_tenant;
    IF coalesce(p_notes, v_notes) IS DISTINCT FROM v_notes THEN
        PERFORM audit('lane.notes', v_tenant,
            jsonb_build_object('queue', p_queue, 'notes', jsonb_build_array(v_notes, p_notes)));
    END IF;
    RETURN v_id;
END $$;

-- Roll a client back to the shared lane, or put its newest row in force again; answers how many rows changed.
CREATE OR REPLACE FUNCTION client_set_active(p_tenant uuid, p_active boolean) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n integer;
BEGIN
    PERFORM lock_client(p_tenant);
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

-- Take a client's rows away for good; its work goes to the shared lane. Each queue is told of, also one that was not in use,
-- and before the change of lanes that may follow.
CREATE OR REPLACE FUNCTION client_remove_lane(p_tenant uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n integer;
BEGIN
    PERFORM lock_client(p_tenant);
    PERFORM audit('lane.removed', p_tenant, jsonb_build_object('queue', gone.queue, 'was_active', gone.was_active))
    FROM (
        SELECT wc.verification_queue AS queue, bool_or(wc.is_active) AS was_active
        FROM worker_configs wc JOIN users u ON u.id = wc.user_id
        WHERE u.tenant_id = p_tenant GROUP BY wc.verification_queue ORDER BY wc.verification_queue
    ) gone;
    DELETE FROM worker_configs wc USING users u WHERE u.id = wc.user_id AND u.tenant_id = p_tenant;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

REVOKE ALL ON FUNCTION lock_client(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_client(uuid) TO {app_role};

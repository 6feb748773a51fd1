-- Test calls and resets of keys leave an audit row. Which key it was is looked up here, so nobody can tell of a key that is
-- not there; a key that was removed meanwhile has told so itself.

CREATE FUNCTION key_tested(p_key uuid, p_ok boolean, p_outcome text, p_ms integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT audit('key.tested', k.tenant_id, jsonb_build_object('key', k.id, 'hint', k.hint, 'provider', k.provider,
        'ok', p_ok, 'outcome', left(p_outcome, 100), 'ms', p_ms))
    FROM api_keys k WHERE k.id = p_key
$$;

-- p_state is how its circuit stands since; NULL: the limiter did not know the key.
CREATE FUNCTION key_was_reset(p_key uuid, p_state text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT audit('key.reset', k.tenant_id,
        jsonb_build_object('key', k.id, 'hint', k.hint, 'provider', k.provider, 'state', left(p_state, 100)))
    FROM api_keys k WHERE k.id = p_key
$$;

REVOKE ALL ON FUNCTION key_tested(uuid, boolean, text, integer), key_was_reset(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION key_tested(uuid, boolean, text, integer), key_was_reset(uuid, text) TO {app_role};

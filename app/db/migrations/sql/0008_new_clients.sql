-- The web makes clients, too. The role still writes no people: this makes a new client with one person in it, never an
-- operator, and nobody in a client that is there.

CREATE FUNCTION client_create(p_slug text, p_name text, p_email text, p_password_hash text, OUT tenant_id uuid, OUT user_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO tenants (slug, name) VALUES (p_slug, p_name) RETURNING id INTO tenant_id;
    INSERT INTO users (tenant_id, email, role, password_hash)
    VALUES (client_create.tenant_id, p_email, 'admin', p_password_hash) RETURNING id INTO user_id;
    PERFORM audit('client.created', client_create.tenant_id, jsonb_build_object('name', p_name, 'person', p_email));
END $$;

REVOKE ALL ON FUNCTION client_create(text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION client_create(text, text, text, text) TO {app_role};

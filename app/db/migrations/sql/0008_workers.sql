-- Whom a worker serves, also when they are several.

ALTER TABLE workers ADD COLUMN client_ids uuid[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN workers.client_ids IS 'The clients of a dedicated worker as its DEDICATED_CLIENT_ID names them, by user or tenant, in the order of its lanes; client_id is the only one, if it is one.';
UPDATE workers SET client_ids = ARRAY[client_id] WHERE client_id IS NOT NULL;

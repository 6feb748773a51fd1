"""The database: engine, tenant scope, migrations."""

"""Runs the revisions on the connection passed by `driftline.storage.tables.schema`."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run 'driftline migrate': it knows the database and the role")

context.configure(connection=connection, version_table_schema="driftline")
with context.begin_transaction():
    context.run_migrations()

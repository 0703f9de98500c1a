"""Run by alembic, on the connection and in the transaction of `app.db.migrations.migrate`."""

from alembic import context

from app.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: `app.db.database` begins transactions itself
)
with context.begin_transaction():
    context.run_migrations()

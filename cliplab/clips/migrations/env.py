"""Run by Alembic: brings the database of the connection that ``cliplab.clips.database`` gives to a version."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()

"""The first tables: lists, revisions, idempotency keys and the log of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
LISTS: dict[str, list[sa.Column[object]]] = {
    "favorites": [
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("added_date", TIME, nullable=False),
    ],
    "watchlist": [sa.Column("added_date", TIME, nullable=False)],
    "history": [
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("watched_date", TIME, nullable=True),
        sa.Column("updated_date", TIME, nullable=False),
    ],
}


def upgrade() -> None:
    """Make the tables."""
    for name, columns in LISTS.items():
        op.create_table(
            name,
            sa.Column("id", _row_id(), autoincrement=True, nullable=False),
            sa.Column("user_id", sa.String(128), nullable=False),
            sa.Column("movie_id", sa.Integer(), nullable=False),
            sa.Column("title", sa.String(500), nullable=True),
            sa.Column("poster_path", sa.String(200), nullable=True),
            sa.Column("release_date", sa.Date(), nullable=True),
            sa.Column("genres", sa.JSON(), nullable=False),
            *columns,
            sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
            sa.UniqueConstraint("user_id", "movie_id", name=f"uq_{name}_user_id_movie_id"),
        )
    op.create_table(
        "libraries",
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_libraries"),
    )
    op.create_table(
        "changes",
        sa.Column("seq", _row_id(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "idempotency_records",
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("location", sa.String(200), nullable=True),
        sa.Column("created_date", TIME, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_idempotency_records"),
    )
    op.create_index(
        "ix_idempotency_records_created_date",
        "idempotency_records",
        ["created_date"],
    )


def downgrade() -> None:
    """Drop everything."""
    for name in ("idempotency_records", "changes", "libraries", *LISTS):
        op.drop_table(name)


def _row_id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")

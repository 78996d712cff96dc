"""Create the dated prices of models.

Seed 000 keeps one price for input and one for output with a model. Providers change prices, and charge cached tokens
and long prompts differently: a ledger needs to know what held when.

The downgrade drops the table model_prices with all its rows; the prices in `models` stay.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

PRICES = (
    "input_nano_usd_per_million",
    "output_nano_usd_per_million",
    "cache_read_nano_usd_per_million",
    "cache_creation_5m_nano_usd_per_million",
    "cache_creation_1h_nano_usd_per_million",
)


def upgrade() -> None:
    op.create_table(
        "model_prices",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("model_id", INTEGER, nullable=False),
        sa.Column("valid_from", MOMENT, nullable=False),
        sa.Column("above_input_tokens", INTEGER, server_default=sa.text("0"), nullable=False),
        *(sa.Column(name, INTEGER) for name in PRICES),
        sa.Column("source", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.UniqueConstraint(
            "model_id",
            "valid_from",
            "above_input_tokens",
            name=op.f("uq_model_prices_model_id_valid_from_above_input_tokens"),
        ),
        *(
            sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_model_prices_{name}"))
            for name in ("above_input_tokens", *PRICES)
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_prices")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_model_prices_model_id_models"), ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("model_prices")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")

"""The tables of rollouts, in the registry's database. Their names begin with rollout_."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint

METADATA = MetaData()
VERSION_TABLE = "rollout_version"

# Reports of the last days, so that one which comes again counts once; decisions read the sums. content is its digest,
# and in rows of earlier versions the report itself: a fleet of 1,000 devices would write gigabytes per day.
REPORTS = Table(
    "rollout_reports",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("received", Float(53), nullable=False),
    Column("content", Text, nullable=False),
    UniqueConstraint("device", "client", "sequence", name="rollout_reports_once"),
    Index("rollout_reports_by_time", "received"),
)

# One row per name. previous_client shows two devices of one name.
DEVICES = Table(
    "rollout_devices",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("client", Text, nullable=False),
    Column("previous_client", Text),
    Column("cloned_at", Float(53)),
    Column("first_seen", Float(53), nullable=False),
    Column("last_seen", Float(53), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("versions", Text, nullable=False),
    Column("disk_free_bytes", BigInteger),
    Column("temperature_celsius", Float(53)),
)

# Counts by device, version and hour of the server's clock: candidate and control are compared within the same hours.
# What was counted before a rollout began, in the hour or day in which it did, has a negative hour or day.
SUMS = Table(
    "rollout_sums",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("reports", BigInteger, nullable=False),
    Column("predictions", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("golden_failures", BigInteger, nullable=False),
    Column("restarts", BigInteger, nullable=False),
    Column("labelled", BigInteger, nullable=False),
    Column("correct", BigInteger, nullable=False),
    Index("rollout_sums_by_hour", "model", "hour"),
)

# Histograms are long, so that they are kept by day.
HISTOGRAMS = Table(
    "rollout_histograms",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("latency", Text, nullable=False),
    Column("scores", Text, nullable=False),
)

# The present state of each rollout; revision counts its events and decides between two writers.
ROLLOUTS = Table(
    "rollout_rollouts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("control", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("percent", Float(53), nullable=False),
    Column("started", Float(53), nullable=False),
    Column("stage_started", Float(53), nullable=False),
    Column("revision", Integer, nullable=False),
    Index("rollout_rollouts_by_model", "model", "state"),
)

# Append-only: what was decided, by whom, and the numbers that it rests on.
DECISIONS = Table(
    "rollout_decisions",
    METADATA,
    Column("rollout", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("at", Float(53), nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("percent", Float(53), nullable=False),
    Column("reason", Text, nullable=False),
    Column("numbers", Text, nullable=False),
)

# Who was in the rollout, from when, and whether the device fell silent while it was.
MEMBERS = Table(
    "rollout_members",
    METADATA,
    Column("rollout", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("place", Float(53), nullable=False),
    Column("joined", Float(53), nullable=False),
    # The first hour in which the device was among those with the candidate; NULL: it is in the control group.
    Column("candidate_since", Float(53)),
    Column("silent_at", Float(53)),
)

# The version that databases of cliplab 0.2 and before have; Alembic keeps it in VERSION_TABLE since.
FACTS = Table("rollout_facts", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

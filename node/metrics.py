"""Counters and histograms, in base units; no UID and no patient data is ever a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

COUNTERS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that makes prometheus_client share counters between processes by files."""

INSTANCES_RECEIVED = Counter(
    "wetread_instances_received_total",
    "C-STORE requests by what became of them.",
    ["outcome"],
)

STORAGE_FREE = Gauge(
    "wetread_storage_free_ratio",
    "Free share of data_dir's file system, as the receiver last saw it.",
    ["resource"],
    multiprocess_mode="mostrecent",
)

STEP_SECONDS = Histogram(
    "wetread_step_seconds",
    "Wall time of one step of one study.",
    ["step"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
)

OBJECTS_SENT = Counter(
    "wetread_objects_sent_total",
    "C-STORE operations towards destinations by outcome.",
    ["destination", "outcome"],
)

REPORTS_RECEIVED = Counter(
    "wetread_reports_received_total",
    "Report messages and documents by the way they came and what became of them.",
    ["way", "outcome"],
)

LATENCY_BUDGETS = Counter(
    "wetread_latency_budgets_total",
    "Runs of rules with a latency budget, by whether their results were there in time.",
    ["rule", "outcome"],
)

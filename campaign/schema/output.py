"""Where a campaign leaves its results, and how it shows its progress."""

from typing import Literal

from campaign.schema.settings import Settings, setting


class OutputSettings(Settings):
    """The folders of results, and how progress is shown."""

    results: str = setting("results", help="folder; each campaign has its own below it")
    mlruns: str = setting("mlruns", help="folder of MLflow's database and artifacts")
    log: Literal["auto", "plain", "json", "ecs"] = setting(
        "auto",
        help="progress: auto (live on a terminal), plain; as a JSON object a line, json, or with "
        "the field names of the Elastic Common Schema, ecs",
    )
    metrics_port: int | None = setting(
        None,
        ge=0,
        le=65535,
        help="port on 127.0.0.1 where Prometheus reads the campaign's metrics; 0: one that is free",
    )
    metrics_file: str | None = setting(
        None, help="file NAME.prom of the campaign's metrics, for the node exporter's folder"
    )

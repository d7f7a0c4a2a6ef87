"""The figures and the tables of a campaign's report as files for a paper."""

from pathlib import Path

from campaign.core.files import write_atomically
from campaign.core.optional import require
from campaign.execution.fidelity import fidelity_of_baseline
from campaign.execution.front import findings_of
from campaign.execution.report_again import begun
from campaign.execution.summary import facts_of, result_of
from campaign.records.results import Results
from campaign.report.all_charts import all_charts
from campaign.report.page import render
from campaign.report.page_tables import as_csv, as_latex, tables_of
from campaign.report.paper import Width, write_figure


def export_figures(results: Results, target: Path, width: Width) -> list[Path]:
    """Write the figures of a campaign into the folder `target` as SVG and PDF; return the files.

    Raises LedgerError without such a campaign, ConfigError where matplotlib isn't installed.
    """
    require("figures", "export figures")
    composed, history = begun(results)
    facts = facts_of(composed, results, history)
    result = result_of(facts, composed.schedulers, history, results.ledger_path)
    quality = findings_of(result, results, history, composed.space)
    charts = all_charts(result, results.trial_jobs, quality)
    target.mkdir(parents=True, exist_ok=True)
    return [file for chart in charts for file in write_figure(chart, target, width)]


def export_tables(results: Results, target: Path) -> list[Path]:
    """Write the tables of a campaign's report into `target` as CSV and LaTeX; return the files.

    Raises LedgerError without such a campaign.
    """
    composed, history = begun(results)
    facts = facts_of(composed, results, history)
    result = result_of(facts, composed.schedulers, history, results.ledger_path)
    fidelity = fidelity_of_baseline(results, composed, history)
    quality = findings_of(result, results, history, composed.space)
    tables = tables_of(render(result, results.trial_jobs, fidelity, quality))
    target.mkdir(parents=True, exist_ok=True)
    files = []
    for table in tables:
        for ending, text in ((".csv", as_csv(table)), (".tex", as_latex(table))):
            files.append(target / f"{table.name}{ending}")
            write_atomically(files[-1], text.encode())
    return files

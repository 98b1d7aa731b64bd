"""What every long-lived process writes to its log."""

from __future__ import annotations

from perdure.clock import iso
from perdure.config.settings import Settings
from perdure.messages import ids
from perdure.monitor.logs import set_up_logs, write_events

__all__ = ["begin_log"]


def begin_log(settings: Settings) -> None:
    """Send log lines to stderr from now on, and among them what happened that somebody may have to look into.

    Args:
        settings (Settings): Whose `log` says in which form.
    """
    set_up_logs(settings.log)
    write_events(said={"message": ids.write, "until": lambda moment: str(iso(moment))})

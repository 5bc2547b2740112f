"""Copy everything the product remembers into the folder of backups, while everything runs."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel

from soulcaster.backup import BackupReport
from tasks.backup import backup as copy


class BackupParams(BaseModel):
    """Nothing to choose: folder and number are settings of the machine, a form must name no path on it."""


@flow(name="backup")
def backup(params: BackupParams = BackupParams()) -> BackupReport | None:  # noqa: ARG001  every deployment takes params
    """What was copied; None while SOULCASTER_BACKUP_FOLDER names no folder."""
    return copy()

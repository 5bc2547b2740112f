"""A run bundle done again: the same patch and verdict by hash, offline; what was altered is found out."""

from __future__ import annotations

import json
import zipfile

import pytest
from fix_store import CLUSTER, add_cluster, add_repository, with_script
from grouping_store import PROJECT
from standins.forge import running_forge

from soulcaster import fix, job_folders
from soulcaster.errors import PermanentError
from soulcaster.launching import make_launcher
from soulcaster.replay import replay
from soulcaster.run_bundle import write_bundle


def rewrite(bundle, target, **changes):
    """A copy of the bundle with these texts replaced; None leaves one out."""
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            text = changes.get(name, old.read(name))
            if text is not None:
                new.writestr(name, text)
    return target


@pytest.mark.slow
def test_a_bundle_comes_out_the_same_and_what_was_altered_does_not(settings, tmp_path, monkeypatch):
    """A real job with the real launcher, packed with its base; forge, store and job folder are away when it is done
    again; another patch on record, another base, a torn file are each found out.
    """
    with running_forge(tmp_path / "forge") as forge:
        monkeypatch.setenv("NOTES_TOKEN", forge.token)
        add_cluster(settings)
        add_repository(settings, forge)
        store = with_script(settings, tmp_path)
        job = fix.start(store, PROJECT, CLUSTER, actor="ann", dry_run=True)
        job = fix.follow_job(store, PROJECT, job.job_id, make_launcher(store), actor="ann", poll_seconds=0.1)
    assert "proved" == job.verdict, job.reason
    bundle = write_bundle(store, PROJECT, job.job_id, tmp_path / "job.zip", has_source=True)
    bare = write_bundle(store, PROJECT, job.job_id, tmp_path / "bare.zip")
    source = job_folders.source_of(store, job.job_id).rename(tmp_path / "base.tar.gz")
    elsewhere = store.model_copy(update={"home": tmp_path / "elsewhere"})

    report = replay(elsewhere, bundle)
    assert report.is_same, report
    assert ["patch of launch 1 (edit)", "findings", "verdict", "test runs"] == [part.what for part in report.parts]
    assert not elsewhere.home.exists()

    detail = json.loads(zipfile.ZipFile(bundle).read("detail.json"))
    detail["proof"]["verdict"] = "regression_safe"
    altered = rewrite(bundle, tmp_path / "altered.zip", **{"detail.json": json.dumps(detail), "launches.json": "[]"})
    assert ["verdict", "test runs"] == [part.what for part in replay(elsewhere, altered).parts if not part.is_same]
    with pytest.raises(PermanentError, match="--with-source"):
        replay(elsewhere, bare)
    with pytest.raises(PermanentError, match="not the one on record"):
        replay(elsewhere, bare, source=bundle)
    none = rewrite(bare, tmp_path / "none.zip", **{"detail.json": None})
    for broken in (none, tmp_path / "base.tar.gz"):
        with pytest.raises(PermanentError):
            replay(elsewhere, broken, source=source)

"""A hundred shards with faults injected at random; `make soak` runs two thousand."""

import random

import pytest

from tests.soak import ROUNDING, Soak

pytestmark = pytest.mark.xdist_group("soak")


def test_a_hundred_shards_and_random_faults_lose_nothing(tmp_path, capsys):
    soak = Soak(tmp_path / "work", 100, random.Random(0))
    soak.run(seconds=120, mean_pause=6)
    difference = soak.largest_difference()
    with capsys.disabled():
        print("\n" + soak.report(difference))
    assert soak.lost == []
    assert soak.started >= len(soak.seen)
    assert difference <= ROUNDING
    assert soak.faults.total() >= 5
    manifests = {spec.manifest for spec in soak.specs("overlay", "images")}
    assert len(manifests) == 100
    assert manifests <= set(soak.seen)

"""Ranks over data sets against Demšar's tables and worked example."""

import numpy as np
import pandas as pd
import pytest

from bood_tasks.reporting import ranks

# Demšar (2006), table 6: AUC of C4.5, with m, cf and both tuned, on 14 data sets
AUC = np.array([
    [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1.0, .940, .619, .972, .957],
    [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1.0, .962, .666, .981, .978],
    [.771, .590, .968, .654, .886, .916, .609, .563, .866, 1.0, .965, .614, .9751, .946],
    [.798, .569, .967, .657, .898, .931, .685, .625, .875, 1.0, .962, .669, .975, .970],
])  # fmt: skip


def measured(values, metric="auroc", seeds=(0.0,)):
    """Rows of metrics.csv of [rows, sets]; seeds differ by these."""
    return pd.DataFrame(
        {"method": f"m{row}", "variant": "", "score": "energy", "ood_dataset": f"set{place}",
         "split": "test", "metric": metric, "convention": "id" if metric == "fpr95" else "",
         "value": value + seed}
        for row, line in enumerate(values) for place, value in enumerate(line) for seed in seeds
    )  # fmt: skip


def test_ranks_and_friedmans_test_are_those_of_demsars_example():
    found = ranks.rank(measured(AUC), "auroc")
    assert [round(rank, 3) for rank in found.mean.values()] == [3.143, 2.0, 2.893, 1.964]
    assert found.chance == pytest.approx(0.02, abs=0.01)  # F = 3.69, critical value 2.85 at 5 %
    assert found.critical == pytest.approx(1.25, abs=0.01)


@pytest.mark.parametrize(("rows", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])  # his table 5
def test_nemenyis_point_is_that_of_the_printed_table(rows, q):
    blocks = 6
    expected = q * np.sqrt(rows * (rows + 1) / (6 * blocks))
    assert ranks.critical_difference(rows, blocks) == pytest.approx(expected, rel=1e-3)


def test_small_fpr95_ranks_first_and_seeds_are_averaged_before():
    values = np.array([[0.1, 0.2, 0.3], [0.2, 0.3, 0.4], [0.3, 0.4, 0.5]])
    found = ranks.rank(measured(values, "fpr95", seeds=(-0.05, 0.05)), "fpr95")
    assert [*found.mean.values()] == [1, 2, 3]
    assert (found.sets, found.chance) == (3, 0.0)
    assert ranks.rank(measured(values), "auroc").mean["m2", "", "energy"] == 1


def test_equal_rows_share_their_rank_and_never_differ():
    found = ranks.rank(measured(np.full((3, 4), 0.5)), "auroc")
    assert [*found.mean.values()] == [2, 2, 2]
    assert found.chance == 1
    assert found.cliques() == []


def test_cliques_are_as_wide_as_the_critical_difference_allows():
    of = {(name, "", ""): rank for name, rank in zip("abcd", (1.0, 1.5, 2.4, 4.0), strict=True)}
    assert ranks.Ranks(of, 5, 0.01, 1.0).cliques() == [(1.0, 1.5), (1.5, 2.4)]
    assert ranks.Ranks(of, 5, 0.01, 3.0).cliques() == [(1.0, 4.0)]


@pytest.mark.parametrize("shape", [(2, 5), (5, 2)])
def test_too_few_sets_or_rows_have_no_ranks_and_that_is_said(shape):
    results = measured(np.random.default_rng(0).random(shape))
    assert ranks.rank(results, "auroc") is None
    assert "this run has fewer" in ranks.said(results)


def test_what_ranks_tell_is_said():
    text = ranks.said(measured(AUC[:, :5]))
    assert "Ranked on 5 test sets by AUROC, rows do not differ by more than chance" in text
    assert "3 of 3 lie within the critical difference" in text
    assert "little power" in text
    assert "little power" not in ranks.said(measured(AUC))

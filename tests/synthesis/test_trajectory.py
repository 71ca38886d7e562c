import numpy as np

from bood_tasks.synthesis.trajectory import choose_row


def test_chosen_row_crosses_in_about_six_steps():
    steps = np.array([0, 2, 9, 6, 6, 100])
    crossed = np.array([True, True, True, True, True, False])
    assert choose_row(steps, crossed) == 3
    assert choose_row(steps[[0, 1, 2, 5]], crossed[[0, 1, 2, 5]]) == 2

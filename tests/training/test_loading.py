"""What a training reads is checked before it trains."""

import numpy as np
import pytest

from bood_tasks.training.loading import require_labels


@pytest.mark.parametrize(("labels", "bad"), [([0, 1, 99], 99), ([0, -1], -1)])
def test_labels_of_no_class_are_refused_before_training(labels, bad):
    require_labels(np.array([0, 2, 1]), 3, "here")
    with pytest.raises(ValueError, match=f"must be 0 to 2, got {bad} in here"):
        require_labels(np.array(labels), 3, "here")

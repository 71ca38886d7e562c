import numpy as np
import torch

from bood_tasks.synthesis.cosine import cosine_logits
from bood_tasks.synthesis.encoder import train_encoder
from bood_tasks.synthesis.features import extract_features
from bood_tasks.training.recipe import Recipe

RECIPE = Recipe(10, 16, 0.1, 5e-4, crop_padding=1, flip=True, clip_norm=1.0)


def halves(count=64):
    """Two classes: bright above, bright below."""
    labels = np.arange(count) % 2
    images = np.random.default_rng(0).integers(0, 60, (count, 8, 8, 3), dtype=np.uint8)
    images[labels == 0, :4] += 150
    images[labels == 1, 4:] += 150
    return images, labels


def train(tmp_path, anchors):
    images, labels = halves()
    return train_encoder(
        images, labels, anchors, RECIPE, depth=18, width=2, stem="strided", temperature=0.1,
        seed=0, checkpoint=tmp_path / "c", device="cpu",
    )  # fmt: skip


def test_features_align_with_the_anchors_of_their_classes(tmp_path):
    anchors = np.eye(2, 5, dtype=np.float32) * 0.4
    model, curve, _ = train(tmp_path, anchors)
    images, labels = halves()
    features, predictions = extract_features(model, images, anchors, batch_size=50, device="cpu")
    assert features.shape == (64, 5)
    assert (predictions == labels).all()
    cosines = cosine_logits(torch.from_numpy(features), torch.from_numpy(anchors), temperature=1.0)
    assert cosines[torch.arange(64), torch.from_numpy(labels)].median() > 0.3
    assert curve[-1]["loss"] < curve[0]["loss"] / 2


def test_features_keep_their_raw_norms(tmp_path):
    anchors = np.eye(2, 5, dtype=np.float32)
    model, _, _ = train(tmp_path, anchors)
    features, _ = extract_features(model, halves()[0], anchors, batch_size=9, device="cpu")
    assert np.linalg.norm(features, axis=1).std() > 1e-3


def test_loss_is_cross_entropy_over_cosines_by_hand(tmp_path):
    """With weights that hardly move, the first point is the mean loss of the first steps."""
    anchors = np.array([[3.0, 0.0], [0.0, 0.2]], np.float32)
    still = Recipe(1, 64, 1e-9, 0, crop_padding=0, flip=False, clip_norm=1)
    images, labels = halves()
    model, curve, _ = train_encoder(
        images, labels, anchors, still, depth=18, width=2, stem="strided", temperature=0.5,
        seed=0, checkpoint=tmp_path / "c", device="cpu",
    )  # fmt: skip
    model.train()  # the recorded loss used the batch's own statistics
    from bood_tasks.networks.pixels import to_input
    from bood_tasks.training.loading import to_pixels

    z = model(to_input(to_pixels(images, "cpu"))).detach().double().numpy()
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)  # anchors are the two axes
    logits = unit / 0.5
    right = logits[np.arange(64), labels]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - right)
    assert abs(curve[0]["loss"] - expected) < 1e-4

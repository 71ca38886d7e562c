"""The drawn world: deterministic, varied, and free of what would resemble a test set."""

import numpy as np
import pytest

from bood_tasks import EMBEDDED
from bood_tasks.generators.drawn_world import world


def _draw(word, count=12, seed=0):
    return world.draw(word, count, np.random.default_rng(seed))


@pytest.mark.parametrize("word", world.WORDS)
def test_every_word_draws_varied_pictures_that_depend_on_the_seed_alone(word):
    pictures = _draw(word)
    assert pictures.shape == (12, world.SIZE, world.SIZE)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, _draw(word))
    assert len(np.unique(pictures.reshape(12, -1), axis=0)) == 12
    assert (pictures.std(axis=(1, 2)) > 2).mean() > 0.8  # hardly any is empty


def test_words_are_plain_tokens_and_wide():
    assert all(word.isascii() and word.isalpha() and word.islower() for word in world.WORDS)
    assert 60 <= len(world.WORDS) <= 150


def _grain(pictures):
    """Median absolute second difference along rows: 0 for ramps and flat areas."""
    return np.median(np.abs(np.diff(pictures.astype(float), n=2, axis=2)))


def test_no_word_is_as_grainy_as_the_texture_photographs():
    textures = np.load(EMBEDDED / "textures.npz")["x"]
    grains = {word: _grain(_draw(word)) for word in world.WORDS}
    assert max(grains.values()) < _grain(textures) / 4, max(grains, key=grains.get)


def test_oblong_bodies_never_stand_on_black():
    """A bright bar on black could pass for a digit."""
    for word in world.WORDS:
        if word.removeprefix("staged").removeprefix("misty") in world.OBLONG or any(
            word == style + figure for style in world.SHADES for figure in ("slab", "oval", "lens")
        ):
            corners = _draw(word, 40)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
            assert (corners.max(axis=1) > 0).all(), word


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match=r"must be one of the world's .* got 'dress'"):
        _draw("dress")

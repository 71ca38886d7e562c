"""The word that fills short texts up: the first of every vocabulary."""

PAD = 0

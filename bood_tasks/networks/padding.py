"""The two words that mean none of the vocabulary's own: the first of every vocabulary."""

PAD = 0  # fills short texts up
UNKNOWN = PAD + 1  # stands for a word that the vocabulary lacks

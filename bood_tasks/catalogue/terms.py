"""What the words of a table mean, for somebody who has read neither paper. Imports nothing heavy.

One or two sentences each, without another term that is not explained here. A test holds that every
method, score, metric and kind of data set has its line.
"""

from collections.abc import Mapping

from bood_tasks.catalogue.corpora import ALL_PUBLISHED

WORDS = {
    "ID": "In-distribution: pictures or texts of the classes that the classifier was trained on.",
    "OOD": "Out-of-distribution: anything else. A detector should tell it from ID.",
    "ID positive": "Rates are named from the side of ID: a true positive is an ID sample that is "
    "accepted, a false positive an OOD sample that is accepted.",
    "OOD positive": "Rates are named from the side of OOD: a true positive is an OOD sample that "
    "is rejected, a false positive an ID sample that is rejected.",
    "outliers": "Samples outside the classes that training shows beside ID.",
    "score": "One number a sample, larger for what looks more like ID; a threshold on it decides.",
    "seed": "The number that every random choice of one run starts from.",
}
METRICS = {
    "fpr95": "False positives at 95 % true positives. With ID positive: of the OOD samples, the "
    "share that is taken for ID when 95 % of ID are accepted. 0 is perfect, 95 is chance.",
    "auroc": "Area under the ROC curve: the chance that a random ID sample has a larger score than "
    "a random OOD sample. 100 is perfect, 50 is chance.",
    "aupr_in": "Area under precision and recall with ID positive. 100 is perfect.",
    "aupr_out": "Area under precision and recall with OOD positive. 100 is perfect.",
    "id_acc": "Accuracy: the share of ID test samples that the classifier puts into their class.",
}
METHODS = {
    "ce": "A classifier trained by cross-entropy on ID alone: the plain baseline.",
    "bood": "Outliers are decoded by a text-to-image generator from features that were pushed "
    "just across the classifier's decision boundary; training lowers the energy's hold on them.",
    "dreamood": "Outliers are decoded by a text-to-image generator from features drawn where few "
    "features lie; trained as BOOD.",
    "godin": "A classifier that divides its logits by a confidence which it learns itself.",
    "gan": "Classifier and generative adversarial network are trained together; the classifier "
    "should be unsure on what the network makes.",
    "vos": "Outliers are drawn among the features, where a Gaussian of each class is thin.",
    "npos": "Outliers are drawn among the features, around those that lie far from their "
    "neighbours.",
    "oe": "Outlier Exposure: on outliers the classifier should give all classes the same "
    "probability.",
    "pixel_statistics": "No network: for each set, whichever of five statistics of the pixels "
    "tells it best from ID, chosen on the test set itself. A detector below it proves little.",
    "text_statistics": "No network: what the length of a text, or its share of unknown words, "
    "tells.",
}
SCORES = {
    "msp": "Maximum softmax probability: the probability of the most likely class.",
    "odin": "The most likely class's probability, tempered, after a small step that raises it.",
    "mahalanobis": "Distance from the features to the nearest class's mean, in units of the "
    "classes' common covariance.",
    "mahalanobis_ensemble": "Mahalanobis distances of all stages of the network, weighted.",
    "energy": "log Σ exp of the logits: large where some class fits well.",
    "knn": "Distance from the features to the k-th nearest training sample's.",
    "vim": "Energy less the length of the features outside the subspace of the training samples.",
    "react": "Energy after the largest activations were cut down.",
    "dice": "Energy with the last layer's most important weights alone.",
    "godin": "The largest learnt similarity to a class, after a small step that raises it.",
    "godin_unperturbed": "The largest learnt similarity to a class.",
    "vos": "Energy with a weight learnt for each class.",
    "npos": "The logit of a small network trained to tell features from drawn outliers.",
    "best": "The best of five statistics of the pixels, chosen for each set.",
    "length": "The length of a text before it is cut.",
}
KINDS = {  # of data sets that are not published ones
    "npz": "pictures of an array file",
    "folder": "pictures in a folder",
    "digits": "handwritten digits",
    "noise": "pictures whose every pixel is drawn on its own",
    "corrupted": "ID pictures, spoilt: the outliers of the validation",
    "resampled": "the ID test pictures made smaller and large again: a control, which a detector "
    "of other objects would accept",
    "tsv": "texts of a table's column",
    "lines": "texts, one a line of a file",
    "texts": "texts in a folder",
    "random_tokens": "texts of words drawn at random",
}


def meaning_of_row(method: str, told: Mapping[str, str]) -> str:
    """Return what a row's method does; `told` is what methods of one's own say of themselves."""
    return METHODS.get(method) or told.get(method, "")


def meaning_of_score(score: str, told: Mapping[str, str]) -> str:
    """Return what a score is; `told` likewise."""
    return SCORES.get(score) or told.get(score, "")


def meaning_of_set(kind: str) -> str:
    """Return what a data set of a kind is."""
    return ALL_PUBLISHED[kind].title if kind in ALL_PUBLISHED else KINDS[kind]

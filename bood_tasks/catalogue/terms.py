"""What the words of a table mean, for somebody who has read neither paper. Imports nothing heavy.

One or two sentences each, without another term that is not explained here. A test holds that every
method, score, metric and kind of data set has its line.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bood_tasks.catalogue.corpora import ALL_PUBLISHED

WORDS = {
    "method": "One way to train the classifier, with or without outliers: a row of the table.",
    "ID": "In-distribution: pictures or texts of the classes that the classifier was trained on.",
    "OOD": "Out-of-distribution: anything else. A detector should tell it from ID.",
    "ID positive": "Rates are named from the side of ID: a true positive is an ID sample that is "
    "accepted, a false positive an OOD sample that is accepted.",
    "OOD positive": "Rates are named from the side of OOD: a true positive is an OOD sample that "
    "is rejected, a false positive an ID sample that is rejected.",
    "outliers": "Samples outside the classes that training shows beside ID.",
    "score": "One number a sample, larger for what looks more like ID; a threshold on it decides.",
    "95\u00a0% interval": "Where the figure of endlessly many samples lies with 95 %, by the "
    "number of samples alone: another seed may differ by more.",
    "told apart": "Two rows are where the 95 % interval of their difference, on the same samples "
    "and over seeds, leaves out 0. Of 20 pairs that are equal one is told apart by chance.",
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
    "hamos": "Outliers are drawn among the features by random walks that start between two classes "
    "and go where both are far.",
    "gcos": "Outliers are features moved away from their class in directions that the class hardly "
    "uses, a little farther than nearly all of its own lie.",
    "ascood": "Outliers are ID pictures whose pixels that speak most for the class are spoilt; on "
    "them the classifier should give all classes the same probability.",
    "oe": "Outlier Exposure: on outliers the classifier should give all classes the same "
    "probability.",
    "pixel_statistics": "No network: for each set, whichever of five statistics of the pixels "
    "tells it best from ID, chosen on the test set itself. A detector below it proves little.",
    "text_statistics": "No network: what the length of a text, or its share of unknown words, "
    "tells.",
}
SCORES = {
    "msp": "Maximum softmax probability: the probability of the most likely class.",
    "max_logit": "The largest logit.",
    "gen": "How far the most likely classes' probabilities are from an even split.",
    "klm": "How near the probabilities are to the mean ones of some predicted class.",
    "odin": "The most likely class's probability, tempered, after a small step that raises it.",
    "iodin": "As ODIN, but one number of the picture alone takes the step.",
    "mahalanobis": "Distance from the features to the nearest class's mean, in units of the "
    "classes' common covariance.",
    "mahalanobis_ensemble": "Mahalanobis distances of all stages of the network, weighted.",
    "rmds": "The Mahalanobis distance less that to all classes taken as one.",
    "she": "How like the features are to the mean ones of the class that is predicted.",
    "energy": "log Σ exp of the logits: large where some class fits well.",
    "knn": "Distance from the features to the k-th nearest training sample's.",
    "nnguide": "Energy times the likeness of the features to the nearest energetic training "
    "samples'.",
    "vim": "Energy less the length of the features outside the subspace of the training samples.",
    "react": "Energy after the largest activations were cut down.",
    "dice": "Energy with the last layer's most important weights alone.",
    "ash": "Energy of the sample's largest activations alone, made larger.",
    "scale": "Energy of activations made larger, the more so the more even they are.",
    "adascale": "As SCALE, but less so for a sample whose activations a small step moves far.",
    "fdbd": "Mean distance from the features to the other classes' decision boundaries.",
    "gradnorm": "Length of the last layer's gradient towards even probabilities.",
    "godin": "The largest learnt similarity to a class, after a small step that raises it.",
    "godin_unperturbed": "The largest learnt similarity to a class.",
    "vos": "Energy with a weight learnt for each class.",
    "npos": "The logit of a small network trained to tell features from drawn outliers.",
    "best": "The best of five statistics of the pixels, chosen for each set.",
    "length": "The length of a text before it is cut.",
}
OUTLIERS = {  # kinds that training may be shown
    "decoded": "outliers that a text-to-image generator decoded.",
    "generated": "outliers that another generator made.",
    "natural": "outliers of a collected data set.",
    "noise": "plain noise as outliers.",
    "mixed": "outliers of several kinds.",
    "none": "no outliers.",
}
KINDS = {  # of data sets that are not published ones
    "npz": "Pictures of an array file.",
    "folder": "Pictures in a folder of one's own.",
    "imglist": "Pictures named in list files.",
    "digits": "Handwritten digits, enlarged from 8 × 8 pixels.",
    "noise": "Pictures whose every pixel is drawn on its own.",
    "corrupted": "ID pictures, spoilt: the outliers of the validation.",
    "resampled": "The ID test pictures made smaller and large again: a control, which a detector "
    "of other objects would accept.",
    "fold": "Pictures of some of the ID classes; without them the others are trained on.",
    "text_fold": "Texts of some of the ID classes; without them the others are trained on.",
    "tsv": "Texts of a table's column.",
    "lines": "Texts, one a line of a file.",
    "texts": "Texts in a folder of one's own.",
    "random_tokens": "Texts of words drawn at random.",
}
EMBEDDED = {  # files that ship with the project
    "embedded:fashion_mnist.npz": "Grey pictures of clothes, shoes and bags: Fashion-MNIST.",
    "embedded:clipart.npz": "Drawings of things, symbols and charts.",
    "embedded:textures.npz": "Photographs of gravel, bricks, grass and the like.",
}
PUBLISHED = {
    "cifar10": "Small photographs of 10 kinds of animals and vehicles.",
    "cifar100": "Small photographs of 100 kinds of animals, plants, vehicles, things and places.",
    "imagenet100": "Photographs of 100 of ImageNet's classes.",
    "imagenet1k": "Photographs of 1,000 classes of things and animals.",
    "svhn": "Digits of house numbers, photographed in streets.",
    "mnist": "Handwritten digits, grey.",
    "places365": "Photographs of 365 kinds of places, inside and outside.",
    "lsun_c": "Photographs of rooms and places, cut to small pieces.",
    "lsun_r": "Photographs of rooms and places, made small.",
    "isun": "Photographs of places, made small.",
    "dtd": "Photographs of textures, by 47 words such as bumpy or striped.",
    "inaturalist": "Photographs of plants whose species ImageNet has not.",
    "sun": "Photographs of places that ImageNet has not.",
    "places": "Photographs of places that ImageNet has not, of another collection.",
    "ninco": "Photographs of classes that ImageNet has not, each checked by a person.",
    "ssb_hard": "Photographs of classes that are hard to tell from ImageNet's 1,000: near OOD.",
    "tinyimagenet_crop": "Photographs of ImageNet's things, cut to small pieces.",
    "tinyimagenet_resize": "Photographs of ImageNet's things, made small.",
    "tinyimagenet": "Small photographs of 200 of ImageNet's classes.",
    "imagenet_a": "Photographs of ImageNet's classes that classifiers get wrong.",
    "imagenet_r": "Paintings, toys and other renditions of ImageNet's classes.",
    "imagenet_o": "Photographs of other classes that classifiers take for ImageNet's.",
    "openimage_o": "Photographs of things that ImageNet has not, each checked by people.",
    "random_images": "Small pictures of all kinds from the web, gathered as outliers.",
    "cifar100_gan": "Pictures of a generator of CIFAR-100, drawn far outside its training range.",
    "newsgroups20": "Messages to 20 news groups.",
    "reuters52": "News of Reuters, of 52 topics.",
    "multi30k": "Sentences that describe photographs.",
    "wmt16_sentences": "Sentences of a translation task.",
    "wikitext2": "Articles of Wikipedia.",
}
MOST_CLASSES = 12  # named in a meaning


OWN_METHOD = "A method of one's own: its file says what it does."
OWN_SCORE = "A score of one's own: larger for what looks more like ID."


def meaning_of_row(
    method: str,
    variant: str = "",
    outliers: str = "none",
    told: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return what a row's method does, and of a variant what kind of outliers it was shown
    (plan/reporting.kind_of_outliers); `told` is what methods of one's own say of themselves."""
    meaning = METHODS.get(method) or told.get(method) or OWN_METHOD
    return f"{meaning} This variant: {OUTLIERS[outliers]}" if variant else meaning


def meaning_of_score(score: str, told: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return what a score is; `told` is what scores of one's own say of themselves."""
    return SCORES.get(score) or told.get(score) or OWN_SCORE


def meaning_of_set(item: Mapping) -> str:
    """Return what a data set of the configuration holds, with the classes that were chosen."""
    kind = item["kind"]
    known = KINDS | {name: f"{entry.title}." for name, entry in ALL_PUBLISHED.items()} | PUBLISHED
    text = EMBEDDED.get(item.get("file"), known[kind])
    chosen = item.get("classes")
    if isinstance(chosen, Mapping) and len(chosen) <= MOST_CLASSES:
        text += f" Here: {', '.join(chosen)}."
    return text

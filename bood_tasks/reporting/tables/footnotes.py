"""The choices that decide the numbers, in words: the footnotes under every table."""

from collections.abc import Iterable, Mapping

from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.samplers import SAMPLERS
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.catalogue.titles import row_name, score_name

THRESHOLDS = {
    "first": "the strictest threshold that accepts at least 95 % of ID",
    "nearest": "the threshold whose accepted share of ID is nearest to 95 %",
}
AREAS = {
    "step": "average precision",
    "trapezoid": "area under straight lines between the points",
}
FITS = {
    "pad": "smaller pictures keep their pixels on a black border, larger ones are shrunk",
    "resize": "the short side is scaled, the centre cut out",
    "squash": "both sides are scaled, whatever the shape",
}
CROPS = {
    "shift": "crops keep their scale",
    "resized_crop": "crops resized",
    "contrastive": "two views of each ID picture, crops resized, colours changed",
    "none": "no random crops",
}
SELECTIONS = {
    "boundary": "those with the fewest steps to the decision boundary",
    "random": "drawn at random",
    "anchor": "the class anchors themselves",
}
PERTURBATIONS = {
    "adversarial": "stepped across the boundary along the sign of the loss gradient",
    "gaussian": "moved by Gaussian noise",
    "centroid": "moved away from the class centroid",
    "none": "not perturbed",
}
RESCALINGS = {
    "anchor": "normalised, then given the anchor's length",
    "anchor_no_renorm": "multiplied by the anchor's length without normalising",
    "none": "used as they are",
}
ONLY_FOR = {read: value for value, read in SAMPLERS["bood"].variants["perturb"].items()}
SPACES = {"unit": "unit-length features", "raw": "features of their own length"}
DECODED = {"outliers": "outlier vectors", "anchors": "plain class anchors", "words": "other words"}


def _said(value: object, words: Mapping[str, str] | None = None) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return (words or {}).get(str(value), str(value))


def _sentence(settings: Mapping, parts: Iterable[tuple[str, str, Mapping | None]]) -> str:
    """Fill each part's words with its setting, if it has one; other settings follow as they are,
    those that are off left out."""
    told, left = [], dict(settings)
    for key, words, meaning in parts:
        value = left.pop(key, None)
        if value is not None:
            told.append(words.format(_said(value, meaning)))
    told.extend(
        key.replace("_", " ") + ("" if value is True else f" {_said(value)}")
        for key, value in left.items()
        if value is not False and value not in (None, [], {}, "")
    )
    return "; ".join(told)


NETWORKS = {
    "resnet": "ResNet",
    "wideresnet": "WideResNet",
    "vit_b16": "ViT-B/16",
    "resnet101": "ResNet-101",
    "gru": "GRU",
}
TRAINING = (
    ("width", "width {}", None),
    ("stem", "{} stem", None),
    ("dropout", "dropout {}", None),
    ("epochs", "{} epochs", None),
    ("batch_size", "{} rows a batch", None),
    ("lr", "learning rate {}", None),
    ("weight_decay", "weight decay {}", None),
    ("clip_norm", "gradients clipped at length {}", None),
    ("crop_padding", "random crops of pictures padded by {}", None),
    ("flip", "{}", {"True": "random flips", "False": "no flips"}),
    ("augment", "{}", CROPS),
    ("precision", "passes in {}", None),
)
SECTIONS: dict[str, tuple[str, tuple[tuple[str, str, Mapping | None], ...]]] = {
    "image": (
        "Pictures",
        (
            ("size", "{0} × {0} pixels", None),
            ("fit", "{}", FITS),
            ("kernel", "every resize {}, antialiased", None),
            ("crop", "networks see {0} × {0} of them", None),
            ("whole", "{}", {"True": "random parts are those of whole training pictures"}),
        ),
    ),
    "detector": (
        "Detector",
        (
            ("network", "{}", NETWORKS),
            ("depth", "{} layers deep", None),
            *TRAINING,
            (
                "outlier_fit",
                "outliers {}",
                {"resize": "resized once", "crop": "cropped as they are, not resized"},
            ),
            ("ood_weight", "OOD term weighted by β = {} (0 for cross-entropy)", None),
            ("reduction", "reduction {}", None),
            (
                "phi",
                "φ is {}",
                {"mlp": "an MLP", "linear": "linear", "increasing": "an increasing function"},
            ),
            ("soft_labels", "soft labels of outliers, {} of them the cosine classifier's", None),
            ("soft_weight", "weighted by {}", None),
            ("distance_margin", "margin of {} per unit beyond the boundary", None),
        ),
    ),
    "encoder": (
        "Encoder",
        (
            ("depth", "ResNet, {} layers deep", None),
            *TRAINING,
            ("temperature", "temperature t = {}", None),
        ),
    ),
    "distances": (
        "Distances",
        (
            ("feature_space", "{}", SPACES),
            ("step_size", "step size α = {}", None),
            ("median_steps", "so that the median feature crosses after {} steps", None),
            ("max_steps", "at most K = {} steps", None),
        ),
    ),
    "ood_features": (
        "Outlier features",
        (
            ("rate", "r = {} of the features", None),
            ("scope", "counted {}", {"per_class": "class by class", "global": "over all classes"}),
            ("select", "{}", SELECTIONS),
            (
                "misclassified",
                "wrongly classified ones {}",
                {"keep": "stay in", "drop": "are left out"},
            ),
            (
                "uncrossed",
                "{}",
                {
                    "skip": "those that never cross give their place to the next",
                    "keep": "those that never cross are moved by K steps",
                },
            ),
            ("perturb", "{}", PERTURBATIONS),
            ("extra_steps", "c = {} more steps after crossing", None),
            (
                "overshoot",
                "pushed beyond the boundary to quantile {} of their class's own margins inside",
                None,
            ),
            ("sigma", "noise of standard deviation {}", None),
            ("shift", "moved by {} of their length", None),
            ("rescale", "{}", RESCALINGS),
        ),
    ),
    "images": (
        "Decoding",
        (
            ("per_class", "{} images a class", None),
            ("resolution", "generated at {} pixels", None),
            ("saved_size", "saved at {} pixels", None),
            ("kernel", "{} resizing to that size", None),
            ("dtype", "networks in {}", None),
            ("decode", "of {}", DECODED),
            ("prompt", "prompt “{}”", None),
            (
                "scheduler",
                "{} sampler",
                None,
            ),
            ("steps", "{} steps", None),
            ("guidance", "guidance {}", None),
        ),
    ),
}


def _title(section: str) -> str:
    """Return what a section is called: as the score or method that alone reads it."""
    if section in SCORES:
        return score_name(section)
    return row_name(section, "") if section in METHODS else section.replace("_", " ").capitalize()


def footnotes(notes: Mapping) -> dict[str, str]:
    """Return {topic: text} of the choices that decide the numbers, in the order of numbering.

    `notes` holds the configuration's sections, with `seeds`, `threshold` and, for rows that
    override settings, `rows`: {row name: {section: {setting: value}}}.
    """
    known = dict(notes)
    rule = THRESHOLDS[known.pop("threshold")]
    area = AREAS[known.pop("aupr", "step")]
    seeds = known.pop("seeds")
    found = {
        "metrics": (
            f"FPR95, ID positive: share of OOD accepted at {rule}. OOD positive: the same with "
            "the sides exchanged, the share of ID flagged when 95 % of OOD is caught. "
            f"AUROC: ties count half. AUPR-IN and AUPR-OUT: {area}, ID or OOD positive. "
            "Test and control sets are compared with the ID test split, validation sets with the "
            "ID validation split, always whole sets"
        ),
        "seeds": (
            f"One run, seed {seeds[0]}: no deviation known"
            if len(seeds) == 1
            else f"Mean ± standard deviation (ddof = 1) over {len(seeds)} runs, "
            f"seeds {', '.join(map(str, seeds))}; averages are taken per run first"
        ),
    }
    overrides = known.pop("rows", {})
    if "ood_features" in known:
        way = known["ood_features"].get("perturb")
        known["ood_features"] = {
            key: value
            for key, value in known["ood_features"].items()
            if key not in ONLY_FOR or ONLY_FOR[key] == way
        }
    for section, (title, parts) in SECTIONS.items():
        if section in known:
            found[section] = f"{title}: {_sentence(known.pop(section), parts)}"
    for section, settings in known.items():
        values = settings if isinstance(settings, Mapping) else {section: settings}
        if told := _sentence(values, ()):
            found[section] = f"{_title(section)}: {told}"
    changed = [
        f"{name}: " + ", ".join(
            f"{section}.{key} = {_said(value)}"
            for section, values in sections.items()
            for key, value in values.items()
        )
        for name, sections in overrides.items()
        if sections
    ]  # fmt: skip
    if changed:
        found["rows"] = f"Rows that differ: {'; '.join(changed)}"
    return found


def choices_behind(settings: Mapping, table: str) -> list[str]:
    """Return the notes of a table that sets our values beside published ones, from a job's
    settings: the choices, and where they are not the published ones."""
    unlike = settings.get("departures", {}).get(table, [])
    return [
        *footnotes(settings["notes"]).values(),
        *(f"Not as published \N{EN DASH} {x}" for x in unlike),
    ]

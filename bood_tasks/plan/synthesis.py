"""The specs of the stages from anchors to outliers. Imports no torch."""

from bood_tasks.artifacts.spec import Spec, readable, shard_range
from bood_tasks.catalogue.samplers import SAMPLERS
from bood_tasks.config.root import Config
from bood_tasks.config.synthesis import Distances, OodFeatures
from bood_tasks.plan.datasets import dataset
from bood_tasks.plan.generators import gan_generator, generator, language_model, words

EXTRA_STEPS_SHOWN = range(6)  # c, as in the paper's Figure 3
COMPARED = "dreamood"  # the sampler of the paper's figure 8, beside BOOD's
STEP_SIZE_FACTORS = (0.25, 0.5, 1, 2, 4)
SCALE_FREE = {"step_size": "auto", "overshoot": 0.1}  # of the preset scale-free, for figure 4
OVERSHOOTS_SHOWN = (0.05, 0.25, 0.5, 0.75, 1.0)


def _shards(count: int, size: int) -> list[tuple[int, int]]:
    """Return whole shards: how many items are used is the detector's setting, not theirs."""
    return [(start, start + size) for start in range(0, count, size)]


def gan_images(config: Config, seed: int) -> tuple[Spec, ...]:
    """Specs of the shards of a generator's pictures; more pictures add shards."""
    item = config.gan_images
    inputs = {"gan_generator": gan_generator(config)}
    settings = item.model_dump(exclude={"count", "shard"}) | {"seed": seed}
    kind = f"{item.meaning}{item.scale:g}"
    return tuple(
        Spec(
            "gan_images",
            readable(kind, f"seed{seed}", shard_range(start, stop)),
            settings | {"start": start, "stop": stop},
            inputs,
        )
        for start, stop in _shards(item.count, item.shard)
    )


def texts(config: Config, seed: int) -> tuple[Spec, ...]:
    """Specs of the shards of sampled texts; more texts add shards."""
    item = config.texts
    inputs = {"language_model": language_model(config)}
    settings = item.model_dump(include={"temperature", "dtype"})
    settings |= {"words": item.words or config.tokens.words, "seed": seed}
    return tuple(
        Spec(
            "texts",
            readable(f"T{item.temperature:g}", f"seed{seed}", shard_range(start, stop)),
            settings | {"start": start, "stop": stop},
            inputs,
        )
        for start, stop in _shards(item.count, item.shard)
    )


def anchors(config: Config) -> Spec:
    """Spec of the class anchors."""
    inputs = {"generator": generator(config), "dataset": dataset(config, config.id)}
    return Spec("anchors", readable(config.id), {"words": words(config)}, inputs)


def encoder(config: Config, seed: int) -> Spec:
    """Spec of the image encoder."""
    item = config.encoder
    inputs = {"dataset": dataset(config, config.id), "anchors": anchors(config)}
    name = readable(f"resnet{item.depth}", f"w{item.width}", f"seed{seed}")
    settings = item.model_dump() | {"seed": seed, "crop": config.image.crop}
    return Spec("encoder", name, settings, inputs)


def features(config: Config, seed: int) -> Spec:
    """Spec of the training split's features."""
    inputs = {
        "dataset": dataset(config, config.id),
        "encoder": encoder(config, seed),
        "anchors": anchors(config),
    }
    settings = {"crop": config.image.crop}
    return Spec("features", readable(config.id, f"seed{seed}"), settings, inputs)


def stepping(config: Config) -> dict:
    """Return the settings of the steps that are read: `median_steps` where the step size is found.

    `rows` changes no selection.
    """
    unused = {"rows"} if config.distances.step_size == "auto" else {"rows", "median_steps"}
    return config.distances.model_dump(exclude=unused)


def _stepping(config: Config) -> dict:
    return stepping(config) | {"temperature": config.encoder.temperature}


def distances(config: Config, seed: int) -> Spec:
    """Spec of the step counts to the decision boundary.

    All rows are stepped for a selection that does not take the nearest.
    """
    chosen = config.ood_features
    selects = SAMPLERS[chosen.sampler].steps == "selected"
    nearest = selects and chosen.select == "boundary"
    settings = _stepping(config) | {"rows": config.distances.rows if nearest else "all"}
    if settings["rows"] == "nearest":
        settings |= chosen.model_dump(include={"rate", "scope", "misclassified"})
    inputs = {"features": features(config, seed), "anchors": anchors(config)}
    alpha = config.distances.step_size
    if alpha == "auto":
        settings["seed"] = seed  # of the sample
        name = readable(f"median{config.distances.median_steps}", f"seed{seed}")
    else:
        name = readable(f"alpha{alpha:g}", f"seed{seed}")
    return Spec("distances", name, settings, inputs)


def sampler_section(config: Config, sampler: str) -> dict | None:
    """Return the settings that a sampler alone reads; None for one without a section."""
    section = getattr(config.ood_features, sampler, None)
    return section and section.model_dump()


def sampler_of(config: Config, row: str) -> str:
    """Return the sampler that makes a row's outlier vectors."""
    return config.for_row(row).ood_features.sampler


def _overshoots(item: OodFeatures) -> bool:
    """Whether outliers go to a margin, and not some steps, beyond the boundary."""
    return item.overshoot is not None and item.perturb == "adversarial"


def sampling(config: Config) -> dict:
    """Return the settings that the chosen sampler of outlier vectors reads, and no others."""
    item = config.ood_features
    if own := sampler_section(config, item.sampler):
        return {"sampler": item.sampler, "rescale": item.rescale, **own}
    unused = {name for name in SAMPLERS if sampler_section(config, name)}
    for setting, read_by in SAMPLERS[item.sampler].variants.items():
        chosen = getattr(item, setting)
        unused |= {name for value, name in read_by.items() if value != chosen}
    unused |= {"extra_steps"} if _overshoots(item) else {"overshoot"}
    return item.model_dump(exclude=unused)


def ood_features(config: Config, seed: int) -> Spec:
    """Spec of the outlier vectors."""
    item = config.ood_features
    settings = sampling(config) | {"seed": seed}
    inputs = {"features": features(config, seed), "anchors": anchors(config)}
    if SAMPLERS[item.sampler].steps != "none":
        settings |= _stepping(config)
        inputs["distances"] = distances(config, seed)
    own = sampler_section(config, item.sampler)
    kind = [item.sampler] if own else [item.select, item.perturb]
    return Spec("ood_features", readable(*kind, f"seed{seed}"), settings, inputs)


def compared(config: Config, seed: int) -> dict | None:
    """Return the settings of the ways that figure 4 has beside the run's own: the scale-free ones,
    or beside such a run the published ones; None where no feature is pushed across by steps."""
    item = config.ood_features
    if SAMPLERS[item.sampler].steps == "none" or item.perturb != "adversarial":
        return None
    published = Distances.model_fields["step_size"].default, OodFeatures().extra_steps
    scaled = config.distances.step_size == "auto" or item.overshoot is not None
    size = published[0] if scaled else SCALE_FREE["step_size"]
    distances = config.distances.model_copy(update={"step_size": size})
    settings = _stepping(config.model_copy(update={"distances": distances}))
    if scaled:
        return settings | {"extra_steps": published[1]}
    return settings | {"overshoot": SCALE_FREE["overshoot"], "seed": seed}


# Tables and figures ask for a detector's thousands of shards again and again: made once in a plan.
KNOWN_SHARDS: dict[tuple[str, int, int], tuple[Spec, ...]] = {}


def _decoding(config: Config, seed: int) -> dict:
    return config.images.model_dump(exclude={"per_class", "shard", "decode", "words"}) | {
        "seed": seed
    }


def images(config: Config, seed: int) -> tuple[Spec, ...]:
    """Specs of the image shards: index ranges, each over every class.

    The number of images is not part of a shard's identity: more images add shards.
    """
    item = config.images
    inputs = {"generator": generator(config), "anchors": anchors(config)}
    settings = _decoding(config, seed) | {"decode": item.decode}
    kind = item.decode
    if item.decode == "outliers":
        inputs["ood_features"] = ood_features(config, seed)
        kind = inputs["ood_features"].name.removesuffix(f"-seed{seed}")
    elif item.decode == "words":
        settings["words"] = item.words

    def shard(start: int) -> Spec:
        stop = min(start + item.shard, item.per_class)
        name = readable(kind, f"seed{seed}", shard_range(start, stop))
        return Spec("images", name, settings | {"start": start, "stop": stop}, inputs)

    starts = range(0, item.per_class, item.shard)
    key = (shard(0).digest, item.per_class, item.shard)
    if key not in KNOWN_SHARDS:
        KNOWN_SHARDS[key] = tuple(map(shard, starts))
    return KNOWN_SHARDS[key]


def id_images(config: Config, seed: int, per_class: int) -> tuple[Spec, ...]:
    """Specs of a few decodes of the plain class anchors, for the contact sheets."""
    plain = {"decode": "anchors", "per_class": per_class}
    return images(
        config.model_copy(update={"images": config.images.model_copy(update=plain)}), seed
    )


def trajectory(config: Config, seed: int) -> Spec:
    """Spec of one feature's way across the boundary, decoded step by step."""
    inputs = {
        "features": features(config, seed),
        "distances": distances(config, seed),
        "anchors": anchors(config),
        "generator": generator(config),
    }
    settings = _stepping(config) | _decoding(config, seed)
    item = config.ood_features
    beyond = "extra_steps" if item.overshoot is None else "overshoot"
    settings |= {beyond: getattr(item, beyond), "rescale": item.rescale}
    return Spec("trajectory", readable(config.id, f"seed{seed}"), settings, inputs)


def strips(config: Config, seed: int) -> Spec:
    """Spec of a few features decoded for several c, or overshoots, and several α, beside the
    settings' own."""
    like, alpha = trajectory(config, seed), config.distances.step_size
    settings = dict(like.settings)
    if "overshoot" in settings:
        settings["overshoots_shown"] = sorted({*OVERSHOOTS_SHOWN, settings["overshoot"]})
    else:
        settings["extra_steps_shown"] = sorted({*EXTRA_STEPS_SHOWN, settings["extra_steps"]})
    if alpha == "auto":
        settings["step_size_factors"] = list(STEP_SIZE_FACTORS)
    else:
        settings["step_sizes_shown"] = [alpha * each for each in STEP_SIZE_FACTORS]
    return Spec("strips", like.name, settings, like.inputs)


def dreamood_images(config: Config, seed: int) -> tuple[Spec, ...] | None:
    """Specs of the first DreamOOD row's images; None without one, or if they are `images`."""
    for name, row in config.rows.items():
        if sampler_of(config, name) == COMPARED and list(row.outliers) == ["images"]:
            found = images(config.for_row(name), seed)
            return None if found == images(config, seed) else found
    return None

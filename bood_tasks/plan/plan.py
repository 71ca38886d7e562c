"""From a configuration to every artifact that it asks for. Reads no data, imports no torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bood_tasks.artifacts.outside import require_whole_weights
from bood_tasks.artifacts.spec import Spec, readable, to_json
from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.catalogue.weights import WEIGHTS
from bood_tasks.config.candidates import candidates
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config
from bood_tasks.plan.choice import rungs
from bood_tasks.plan.datasets import code, content, corpus, dataset, published_folder
from bood_tasks.plan.detectors import pretrained
from bood_tasks.plan.generators import gan_generator
from bood_tasks.plan.goe import kinds_of_outliers
from bood_tasks.plan.networks import check_networks
from bood_tasks.plan.notes import grey_outliers, own_words, trained
from bood_tasks.plan.pipelines import check_pipelines
from bood_tasks.plan.reporting import products, shown
from bood_tasks.plan.scoring import evaluated
from bood_tasks.plan.synthesis import KNOWN_SHARDS, ood_features
from bood_tasks.plan.weights import folder, lacks


@dataclass
class Plan:
    """All specs by digest, and the things that people read."""

    specs: dict[str, Spec] = field(default_factory=dict)
    targets: dict[str, Spec] = field(default_factory=dict)
    choice: list[Spec] = field(default_factory=list)  # its rungs, as far as they are known
    rungs: int = 0  # that it will have
    shards: dict[str, list[Spec]] = field(default_factory=dict)  # of the same images or texts
    places: dict[str, tuple[list[Spec], int]] = field(default_factory=dict)  # each shard's in those

    @property
    def chosen(self) -> Spec | None:
        """The last rung of a choice, None while it cannot be planned."""
        return self.choice[-1] if self.choice and len(self.choice) == self.rungs else None

    def shown(self) -> dict[str, Spec]:
        """Return the targets, and the choice if it can be planned."""
        return self.targets | ({"choice": self.chosen} if self.chosen else {})

    def add(self, spec: Spec) -> Spec:
        """Register a spec with all it is made from; return the one known by its digest."""
        if spec.digest not in self.specs:
            for upstream in spec.upstream():
                self.add(upstream)
            self.specs[spec.digest] = spec
        return self.specs[spec.digest]


def following(plan: Plan, shard: Spec, count: int) -> list[str]:
    """Return the index ranges, START-STOP, of the `count` shards of the same thing after one."""
    if not (STAGES[shard.stage].packs and count):
        return []
    if not plan.places:
        for spec in plan.specs.values():
            if STAGES[spec.stage].packs:
                plan.shards.setdefault(_without_range(spec), []).append(spec)
        for shards in plan.shards.values():
            shards.sort(key=lambda spec: (spec.settings["start"], spec.settings["stop"]))
            plan.places.update({spec.digest: (shards, n) for n, spec in enumerate(shards, 1)})
    shards, after = plan.places[shard.digest]
    return [
        f"{spec.settings['start']}-{spec.settings['stop']}"
        for spec in shards[after : after + count]
    ]


def _without_range(shard: Spec) -> str:
    settings = {k: v for k, v in shard.settings.items() if k not in ("start", "stop")}
    return to_json(shard.identity() | {"settings": settings})


def absent(config: Config) -> list[str]:
    """Return one message for each published data set, and each released network's weights, that
    the plan needs and that are not there."""
    parts = [config, config.of_texts()] if config.of_texts() else [config]
    return sorted({message for part in parts for message in (*_absent(part), *_no_weights(part))})


def _no_weights(config: Config) -> Iterator[str]:
    """Yield a message for released weights that a row needs and that are not there."""
    for name, row in config.rows.items():
        own, needed = config.for_row(name), {}
        if own.detector.pretrained:
            needed["detector.pretrained"] = pretrained(own, config.seeds[0])
        for source in row.outliers:
            if config.kind_of(source) == "gan":
                needed["gan_generator.path"] = gan_generator(config.for_source(name, source))
        for setting, spec in needed.items():
            if lacks(config, spec) and not config.run.download:
                released = spec.settings["released"]
                yield WEIGHTS[released].missing(setting, folder(config, released))


def _absent(config: Config) -> list[str]:
    used = set(evaluated(config))
    used |= {config.kind_of(name) for row in config.rows.values() for name in row.outliers}
    if config.generator.source == "train":
        used |= {*config.generator.train.also}
    if config.choice:
        used |= {*config.choice.validation}
        for candidate in candidates(config).every.values():
            used |= {config.kind_of(name) for name in candidate.row.outliers}
    used |= {getattr(config.datasets[name], "of", name) for name in used & set(config.datasets)}
    messages = []
    for name in sorted(used & set(config.datasets)):
        item = config.datasets[name]
        entry = ALL_PUBLISHED.get(item.kind)
        if entry is None or (config.run.download and entry.downloadable):
            continue
        folder = published_folder(config, name)
        spec = corpus(config, name) if is_text(item) else dataset(config, name)
        if not Path(spec.manifest).is_file() and not entry.holds(folder):
            messages.append(entry.missing(name, folder))
    return messages


def read(config: Config) -> list[Spec]:
    """Return the specs of the data sets that a configuration's figures rest on: ID and OOD ones,
    those that are outliers, and its texts."""
    found = set(evaluated(config))
    found |= {config.kind_of(x) for row in config.rows.values() for x in row.outliers}
    specs = [dataset(config, name) for name in sorted(found & set(config.datasets))]
    return specs + (read(config.of_texts()) if config.of_texts() else [])


def step_sizes_found(config: Config) -> tuple[Spec, ...]:
    """Return the distances behind the rows whose step size a job finds: the report says which."""
    found: dict[str, Spec] = {}
    for name, row in config.rows.items():
        for source in row.outliers:
            own = config.for_source(name, source)
            if config.kind_of(source) != "images" or own.images.decode != "outliers":
                continue
            for seed in config.seeds:
                spec = ood_features(own, seed).inputs.get("distances")
                if spec and spec.settings["step_size"] == "auto":
                    found[spec.digest] = spec
    return tuple(found.values())


def choosing(config: Config) -> Config | None:
    """Return the configuration that has a choice: of the pictures or of the texts, or None.

    Raises ValueError if both have one.
    """
    texts = config.of_texts()
    having = [part for part in (config, texts) if part and part.choice]
    if len(having) > 1:
        raise ValueError(
            "choice must be given once, got one of the pictures and one of the texts; take one away"
        )
    return having[0] if having else None


def plan_on(plan: Plan, config: Config) -> None:
    """Add to a plan what the finished rungs of its choice let be planned."""
    of = choosing(config)
    if of is None:
        return
    plan.choice, plan.rungs = rungs(of, of_texts=of is not config), of.choice.rungs
    known = set(plan.specs)
    for spec in plan.choice:
        plan.add(spec)
    check_pipelines(spec for digest, spec in plan.specs.items() if digest not in known)
    plan.places.clear()
    plan.shards.clear()


def make(config: Config) -> Plan:
    """Return the plan of a whole configuration."""
    plan = _make(config)
    plan_on(plan, config)
    return plan


def _make(config: Config) -> Plan:
    code.cache_clear()
    content.cache_clear()  # files may have changed since this process made another plan
    KNOWN_SHARDS.clear()
    check_networks(config)
    if config.of_texts():
        check_networks(config.of_texts())
    plan, shows = Plan(), products(config)
    for spec in shows.values():
        plan.add(spec)
    for spec in plan.specs.values():
        if spec.stage in ("gan_generator", "language_model") and spec.source:
            require_whole_weights(Path(spec.source), f"{spec.stage}.path")
    check_pipelines(plan.specs.values())
    plan.targets = shows
    if "figures" not in shows:
        return plan
    provenance = [
        {"stage": spec.stage, "name": spec.name, "digest": spec.digest}
        for spec in plan.specs.values()
    ]
    settings = {
        "config": shown(config),
        "outliers": kinds_of_outliers(config),
        "provenance": provenance,
    }
    settings |= {
        name: found
        for name, found in {
            "told": own_words(config),
            "grey_outliers": grey_outliers(config),
            "trained": trained(config),
            "chosen": config.reasons(),
        }.items()
        if found
    }
    inputs: dict = {
        "pixel_statistics": shows["figures"].inputs["pixels"],
        "datasets": tuple(read(config)),
    }
    if found := step_sizes_found(config):
        inputs["distances"] = found
    report = Spec("report", readable(config.id), settings, shows | inputs)
    plan.add(report)
    plan.targets = shows | {"report": report}
    return plan

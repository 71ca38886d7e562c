"""Random settings, identities and damage: a named error or the right answer, nothing else."""

import contextlib
import copy
import datetime
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import ROWS_PER_CHUNK, Artifact, Draft
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.config.fields import Section, merged
from bood_tasks.config.load import ConfigError, effective_config, load
from bood_tasks.config.root import Config
from bood_tasks.plan import plan as planning
from tests import fake_artifacts

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
# With a row of every method that has settings of its own, and every score.
DEFAULT["seeds"] = [0]
DEFAULT["rows"]["ce"]["scores"] = [name for name, entry in SCORES.items() if entry.module]
DEFAULT["ablations"] = {
    "seeds": [0],
    "variants": {"still": {"ood_features": {"perturb": "none"}}},
    "sweeps": {"detector.lr": [0.1]},
}
# One row of each kind; DreamOOD's settings have rows of their own below.
PLAIN = DEFAULT | {
    "ablations": None,
    "rows": {name: row for name, row in DEFAULT["rows"].items() if name != "dreamood"},
}

# --- the config loader ---

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 10**30, 1e308, 0.0, -0.0])
TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", "..", "/", "\0", "a\nb", "embedded:", "embedded:../../x", "$(id)", "{class}", "1e-3", "~"]
)
SCALARS = (
    st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=5)
    | st.just(datetime.date(2026, 1, 1))
)  # fmt: skip
KEYS = TEXTS | st.integers() | st.none() | st.booleans()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(tree, path=()):
    """Return every path in nested mappings and lists."""
    found = [path] if path else []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


@st.composite
def broken(draw):
    """Return the default configuration with one to three random edits."""
    raw = copy.deepcopy(DEFAULT)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(places(raw)))
        node = raw
        for key in parents:
            node = node[key]
        edit = draw(st.sampled_from(["replace", "remove", "add"]))
        if edit == "replace":
            node[last] = draw(VALUES)
        elif edit == "remove":
            del node[last]
        elif isinstance(node, dict):
            node[draw(KEYS)] = draw(VALUES)
        if not places(raw):
            break
    return raw


@given(broken())
@settings(max_examples=300)
def test_any_configuration_loads_and_plans_or_says_why_not(raw):
    with contextlib.suppress(ConfigError):
        config = load(raw)
        assert load(config.model_dump()) == config
        with contextlib.suppress(ValueError, OSError):  # the Snakefile makes a line of these
            planning.make(config)


@given(
    st.text() | st.from_regex(r"!!(int|bool|float|timestamp|set|binary|omap) ?\S*", fullmatch=True)
)
@settings(max_examples=200)
def test_any_text_is_a_configuration_or_a_named_error(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.yaml")
        path.write_text(text, encoding="utf-8", errors="replace")
        with pytest.raises(ValueError, match=r"x\.yaml|config: "):
            effective_config([path])


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"[" * 3000, b"a: !!bool x", b"a: !!int ''", b"a: !!timestamp x"],
    ids=lambda content: repr(content[:20]),
)
def test_yaml_that_its_parser_stumbles_over_is_named(tmp_path, content):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.yaml is no YAML"):
        effective_config([tmp_path / "x.yaml"])


@pytest.mark.parametrize("text", ["?", "3: x", "? [a]\n: b"])
def test_a_setting_that_is_no_text_is_named(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"x\.yaml (must name its settings by text|is no YAML)"):
        effective_config([tmp_path / "x.yaml"])


# --- the spec digest ---

WAYS = {"trajectory", "strips"}
STEPPING = {"distances", "ood_features"} | WAYS
TRAINED = {"encoder", "detector"}
DECODING = {"images"} | WAYS
# Each setting, another value, and the stages whose own settings it enters. Everything that readers
# see (tables, report) names all settings and is left out here.
USES = {
    "image.size": (40, {"dataset", "detector"}),  # of the GAN
    "image.fit": ("resize", {"dataset"}),
    "image.kernel": ("box", {"dataset"}),
    "image.crop": (28, {"encoder", "features", "detector", "outputs", "scores"}),
    "anchors.aliases": ("cifar100", {"anchors"}),
    "anchors.words": ({"bag": "plainstar"}, {"anchors"}),
    **{
        f"{stage}.{key}": (value, {stage})
        for stage in ("encoder", "detector")
        for key, value in {
            "precision": "bf16", "depth": 34, "width": 8, "stem": "cifar",
            "batch_size": 32, "lr": 0.3, "weight_decay": 0.1, "crop_padding": 1, "flip": False,
            "clip_norm": 9, "optimiser": "adam", "momentum": 0.5, "schedule": "constant",
            "steps": 7,
        }.items()
    },
    "encoder.epochs": (3, {"encoder"}),
    "detector.epochs": (9, {"detector"}),  # VOS fills its queue in a share of them
    "detector.snapshots": (True, {"detector"}),
    "detector.dropout": (0.5, set()),  # of another network
    "detector.new_head": (True, set()),  # of pretrained weights
    **{f"detector.gru.{key}": (7, set()) for key in ("embedding", "hidden", "layers", "lead")},
    "encoder.temperature": (0.2, {"encoder"} | STEPPING),
    "distances.step_size": (0.5, STEPPING),
    "distances.median_steps": (7, set()),  # while the step size is a number
    "distances.max_steps": (7, STEPPING),
    "distances.feature_space": ("raw", STEPPING),
    "distances.rows": ("nearest", {"distances"}),
    "outlier_filter.max_confidence": (0.9, {"detector"}),  # and a stage of its own
    "outlier_filter.row": ("npos", set()),  # while the filter is off
    "ood_features.sampler": ("dreamood", {"ood_features"}),
    "ood_features.select": ("random", {"ood_features"}),
    "ood_features.rate": (0.5, {"ood_features"}),
    "ood_features.scope": ("global", {"ood_features"}),
    "ood_features.misclassified": ("keep", {"ood_features"}),
    "ood_features.uncrossed": ("keep", {"ood_features"}),
    "ood_features.perturb": ("none", {"ood_features"}),
    "ood_features.extra_steps": (5, {"ood_features"} | WAYS),
    "ood_features.overshoot": (0.5, {"ood_features"} | WAYS),
    "ood_features.rescale": ("none", {"ood_features"} | WAYS),
    "ood_features.sigma": (0.5, set()),  # of another perturbation
    "ood_features.shift": (0.7, set()),
    **{
        f"ood_features.dreamood.{key}": (value, set())  # of another sampler
        for key, value in {
            "neighbours": 3, "boundary": 3, "candidates": 3, "sigma": 0.9, "vectors": 3,
            "reference_bug": True,
        }.items()
    },
    **{
        f"ood_features.gcos.{key}": (value, set())
        for key, value in {"vectors": 3, "variance": 0.5, "inner": 0.5, "outer": 0.999}.items()
    },
    **{
        f"ood_features.ncis.{key}": (value, set())
        for key, value in {
            "vectors": 3, "variance": 0.5, "layers": 3, "epochs": 3, "batch_size": 3, "lr": 3,
            "candidates": 30, "kept": 3,
        }.items()
    },
    **{
        f"ood_features.hamos.{key}": (value, set())
        for key, value in {
            "vectors": 3, "neighbours": 3, "adjacent": 3, "rounds": 3, "leapfrogs": 2,
            "step_size": 3, "kappa": 3, "margin": 3,
        }.items()
    },
    "images.per_class": (150, {"images", "detector"}),  # more shards
    "images.shard": (50, {"images", "detector"}),
    "images.prompt": ("a {class}", DECODING),
    "images.decode": ("anchors", {"images"}),
    "images.words": (["tshirt"], set()),  # of another kind of decoding
    "images.scheduler": ("ddim", DECODING),
    "images.steps": (3, DECODING),
    "images.guidance": (2, DECODING),
    "images.dtype": ("bfloat16", DECODING),
    "images.resolution": (64, DECODING),
    "images.saved_size": (16, DECODING),
    "images.kernel": ("area", DECODING),
    "images.latent_scale": (2, DECODING),
    "images.stop_after": (3, DECODING),
    "detector.ood_weight": (1, {"detector"}),
    "detector.outlier_fit": ("crop", {"detector"}),
    "detector.outlier_kernel": ("random", {"detector"}),
    **{f"detector.pixmix.{key}": (value, set()) for key, value in
       {"rounds": 2, "beta": 2, "severity": 2}.items()},  # without a mixing set
    "detector.reduction": ("sum", {"detector"}),
    "detector.phi": ("linear", {"detector"}),
    "detector.soft_labels": (0.5, {"detector"}),
    "detector.soft_weight": (2, set()),  # without soft labels
    "detector.distance_margin": (2, {"detector"}),
    "detector.gan.width": (8, {"detector"}),
    "detector.gan.kl_weight": (2, {"detector"}),
    **{
        f"detector.vos.{key}": (value, {"detector"})
        for key, value in {
            "queue": 7, "candidates": 7, "selected": 2, "weight": 7, "start": 0.7,
        }.items()
    },
    **{
        f"detector.npos.{key}": (value, {"detector"})
        for key, value in {
            "embedding": 7, "temperature": 7, "prototype_momentum": 0.7, "dispersion_weight": 7,
            "queue": 700, "neighbours": 7, "boundary": 7, "points": 7, "candidates": 7,
            "kept": 7, "sigma": 7, "outlier_weight": 7, "phi_lr": 7, "start": 0.7,
        }.items()
    },
    **{
        f"detector.ascood.{key}": (value, set())  # of a method that has no row here
        for key, value in {
            "outliers": "gradient", "share": 0.7, "weight": 7, "sigma": 7, "alpha_first": 7,
            "alpha_last": 7, "head_lr": 7,
        }.items()
    },
    **{
        f"detector.gcos.{key}": (value, set())
        for key, value in {
            "queue": 7, "selected": 7, "weight": 7, "start": 0.7, "variance": 0.7, "inner": 0.7,
            "outer": 0.97,
        }.items()
    },
    **{
        f"detector.hamos.{key}": (value, set())
        for key, value in {
            "embedding": 7, "temperature": 7, "prototype_momentum": 0.7, "dispersion_weight": 7,
            "queue": 700, "neighbours": 7, "adjacent": 7, "rounds": 7, "leapfrogs": 7,
            "step_size": 7, "kappa": 7, "margin": 7, "weight": 7, "start": 0.7,
        }.items()
    },
    "scoring.odin.temperature": (10, {"scores"}),
    "scoring.odin.magnitudes": ([0.1], {"scores"}),
    "scoring.godin.magnitudes": ([0.1], {"scores"}),
    "scoring.mahalanobis.magnitudes": ([0.1], {"scores"}),
    "scoring.knn.neighbours": (7, {"scores"}),
    "scoring.vim.dimension": (7, {"scores"}),
    "scoring.react.percentile": (70, {"scores"}),
    "scoring.dice.sparsity": (70, {"scores"}),
    "scoring.ash.variant": ("p", {"scores"}),
    "scoring.ash.percentile": (70, {"scores"}),
    "scoring.scale.percentile": (70, {"scores"}),
    **{
        f"scoring.adascale.{key}": (value, {"scores"})
        for key, value in {
            "variant": "l", "lowest": 70, "highest": 80, "magnitude": 1, "pixels": 0.1,
            "shifted": 2, "corrected": 7, "weight": 7,
        }.items()
    },
    "scoring.gen.gamma": (1, {"scores"}),
    "scoring.gen.classes": (7, {"scores"}),
    "scoring.iodin.temperature": (10, {"scores"}),
    "scoring.iodin.magnitudes": ([0.1], {"scores"}),
    "scoring.nnguide.neighbours": (7, {"scores"}),
    "scoring.nnguide.share": (0.7, {"scores"}),
    "metrics.threshold": ("nearest", {"metrics", "pixel_statistics"}),
    "metrics.aupr": ("trapezoid", {"metrics", "pixel_statistics"}),
    "metrics.groups": ({"close": ["near"]}, {"metrics"}),
    "generator.repo": ("some/thing", set()),  # of another source
    "generator.revision": ("0" * 40, set()),
    "generator.lora.revision": ("0" * 40, set()),  # without a repository
    "generator.lora.file": ("x", set()),
    "generator.lora.scale": (2, set()),
    **{
        f"generator.train.{key}": (value, set())
        for key, value in {
            "init_from": "x", "world_per_word": 1, "id_share": 0.9, "vae_steps": 1,
            "unet_steps": 1, "batch_size": 1, "lr": 1, "caption_dropout": 0.5, "seed": 1,
            "also": ["near"], "vae_channels": [8], "unet_channels": [16], "ema": 0.5,
            "precision": "bf16", "minutes": 1,
        }.items()
    },
    **{
        f"run.{key}": (value, set())
        for key, value in {
            "inference_batch": 1, "image_batch": 1, "compile": True, "attention": "sliced",
            "fused_projections": True, "split_guidance": True,
            "pack": 2, "vae_slicing": True, "workers": 1, "data": "x", "download": True,
            "container": "x.sif",
        }.items()
    },
}  # fmt: skip
NOT_LISTED = {  # they need another key as well, or say what rows there are
    "seeds", "id", "test", "validation", "control", "datasets", "rows", "methods", "scores",
    "ablations", "generator.source", "generator.path", "generator.lora.path", "generator.lora.repo",
    "encoder.augment", "detector.augment", "detector.start",
    "detector.batch_norm",
    "detector.network", "detector.pretrained", "detector.pixmix.set", "sources", "text",
    "gan_generator.source",
    "gan_generator.path", "language_model.source", "language_model.path", "only.rows",
    "only.variants", "only.sweeps", "image.whole", "vocabulary.tokenizer", "choice",
}  # fmt: skip
# The same for GOE's, in a run that has rows of it.
GOE = {
    "rows": {"oe": {"method": "oe", "outliers": "gan"}},
    "gan_generator": {"source": "train"},
    "datasets": {
        "glosses": {
            "kind": "tsv", "file": "embedded:wordnet_glosses.tsv.gz", "text": "definition",
            "label": "lexicographer_file", "classes": {"food": "noun.food", "plant": "noun.plant"},
        },
        "verses": {"kind": "lines", "file": "embedded:kjv_verses.txt.gz"},
    },
    "text": {
        "id": "glosses", "test": ["verses"], "detector": {"network": "gru"},
        "rows": {"oe": {"method": "oe", "outliers": "texts"}},
    },
    "language_model": {"source": "train"},
}  # fmt: skip
GOE_USES = {
    "gan_images.scale": (3, {"gan_images"}),
    "gan_images.meaning": ("variance", {"gan_images"}),
    "gan_images.statistics": ("standing", {"gan_images"}),
    "gan_images.count": (2500, {"gan_images", "detector"}),  # more shards
    "gan_images.shard": (500, {"gan_images", "detector"}),
    "gan_images.dtype": ("bfloat16", {"gan_images"}),
    "gan_images.saved_size": (16, {"gan_images"}),
    "gan_images.kernel": ("area", {"gan_images"}),
    "gan_generator.layout": ("biggan-pytorch", set()),  # of another source
    "gan_generator.attention": (8, set()),
    **{
        f"gan_generator.train.{key}": (value, {"gan_generator"})
        for key, value in {
            "channels": 8, "latent": 8, "shared": 8, "attention": 8, "steps": 8, "batch_size": 8,
            "d_steps": 8, "lr_g": 8, "lr_d": 8, "adam_eps": 8, "ema": 0.5, "orthogonal": 8,
            "flip": True, "precision": "bf16", "stored": "float16", "seed": 8,
        }.items()
    },
    "vocabulary.size": (80, {"vocabulary"}),
    "vocabulary.min_count": (8, {"vocabulary"}),
    "tokens.words": (9, {"tokens", "texts"}),
    "tokens.min_words": (7, {"tokens"}),
    "texts.words": (5, {"texts"}),
    **{
        f"language_model.train.{key}": (value, {"language_model"})
        for key, value in {
            "layers": 8, "width": 8, "heads": 8, "hidden": 8, "dropout": 0.5, "context": 8,
            "epochs": 8, "batch_size": 8, "lr": 8, "tied": False, "precision": "bf16",
            "stored": "float16", "seed": 8, "optimiser": "sgd", "schedule": "plateau",
            "clip_norm": 8, "order": "stream",
        }.items()
    },
    "texts.temperature": (3, {"texts"}),
    "texts.count": (6000, {"texts", "detector"}),
    "texts.shard": (800, {"texts", "detector"}),
    "texts.dtype": ("bfloat16", {"texts"}),
    "detector.outlier_exposure.loss_weight": (3, {"detector"}),
    "detector.outlier_exposure.weighting": ("balanced", {"detector"}),
}  # fmt: skip
FOR_READERS = {
    "best",
    "comparison",
    "outlier_distance",
    "metrics",
    "tables",
    "costs",
    "examples",
    "figures",
    "gallery",
    "losses",
    "report",
}


def keys_of(model, path="") -> set[str]:
    """Return the dotted name of every setting."""
    found = set()
    for name, item in model.model_fields.items():
        kind = item.annotation
        nested = isinstance(kind, type) and issubclass(kind, Section)
        found |= keys_of(kind, f"{path}{name}.") if nested else {path + name}
    return found


def test_the_list_of_settings_is_whole():
    assert keys_of(Config) == set(USES) | set(GOE_USES) | NOT_LISTED


def overlay_of(keys) -> dict:
    result: dict = {}
    for key in keys:
        inner = (USES | GOE_USES)[key][0]
        for name in reversed(key.split(".")):
            inner = {name: inner}
        result = merged(result, inner)
    return result


@cache
def plan_of(keys: frozenset[str]) -> planning.Plan:
    return planning.make(load(merged(PLAIN, overlay_of(sorted(keys)))))


def own_settings(plan) -> dict[str, set[str]]:
    """Return each stage's settings, inputs left out, without those that name other settings."""
    found: dict[str, set[str]] = {}
    for spec in plan.specs.values():
        chosen = dict(spec.settings)
        if spec.stage == "metrics":
            chosen.pop("rows")
        text = json.dumps([spec.stage, chosen], sort_keys=True, default=str)
        found.setdefault(spec.stage, set()).add(text)
    return found


@pytest.mark.parametrize("key", USES)
def test_a_setting_enters_the_stages_that_use_it_and_no_other(key):
    before, after = own_settings(plan_of(frozenset())), own_settings(plan_of(frozenset({key})))
    left_out = FOR_READERS - {"metrics"}
    changed = {stage for stage in before if before[stage] != after[stage]} - left_out
    assert changed == USES[key][1]


@pytest.mark.parametrize("key", GOE_USES)
def test_a_setting_of_goe_enters_the_stages_that_use_it_and_no_other(key):
    raw = merged(PLAIN, GOE)
    plans = [planning.make(load(merged(raw, overlay))) for overlay in ({}, overlay_of([key]))]
    before, after = map(own_settings, plans)
    left_out = FOR_READERS | {"goe_tables", "goe_gallery", "text_metrics"}
    changed = {stage for stage in before if before[stage] != after[stage]} - left_out
    assert changed == GOE_USES[key][1]


# Settings whose use does not hang on another setting of the list.
FREE = sorted(
    set(USES)
    - {"ood_features.sampler", "ood_features.perturb", "ood_features.select", "distances.rows"}
    - {"images.decode", "images.per_class", "images.shard"}
    - {"ood_features.extra_steps", "ood_features.overshoot"}  # one in place of the other
    - {"detector.soft_labels", "detector.soft_weight"}
    - {"detector.outlier_kernel"}  # random has no use while outlier_fit is crop
    - {key for key in USES if key.startswith(("detector.gan.", "detector.vos.", "detector.npos."))}
)
STAGES = ("dataset", "encoder", "features", "distances", "ood_features", "images", "detector")


def last_of(plan, stage):
    """Return one stage's spec of the row bood: the one with most behind it."""
    specs = [item for item in plan.specs.values() if item.stage == stage]
    return max(specs, key=lambda item: (len(stages_behind(item)), item.name))


def stages_behind(spec) -> set[str]:
    return {spec.stage}.union(*(stages_behind(item) for item in spec.upstream()), set())


@given(st.sets(st.sampled_from(FREE), max_size=3), st.sets(st.sampled_from(FREE), max_size=3))
@settings(max_examples=60)
def test_equal_settings_that_count_and_equal_digests_are_the_same_thing(one, other):
    plans = [plan_of(frozenset(one)), plan_of(frozenset(other))]
    for stage in STAGES:
        specs = [last_of(plan, stage) for plan in plans]
        behind = stages_behind(specs[0])
        count = [{key for key in keys if USES[key][1] & behind} for keys in (one, other)]
        assert (specs[0].digest == specs[1].digest) == (count[0] == count[1])


# --- the artifact reader ---

ARRAYS = {
    "floats": np.random.default_rng(0).standard_normal((3000, 12)).astype(np.float32),
    "part/labels": np.arange(3000, dtype=np.int64),
}
PIXELS = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Artifact:
    """Small and large chunks, a sharded array, a text and a JSON file."""
    root = tmp_path_factory.mktemp("whole")
    spec = fake_artifacts.identity("dataset", {"k": 1})
    manifest = root / "artifacts/dataset/fake" / digest_of(spec) / "manifest.json"
    with Draft(manifest, spec) as draft:
        for name, values in ARRAYS.items():
            draft.save(name, values)
        draft.array("pixels", PIXELS.shape, "uint8", chunk=1, shard=30)[...] = PIXELS
        (draft.folder / "facts.json").write_text('{"classes": ["a", "b"]}')
        draft.finish(rows={"pixels": 40})
    return Artifact(manifest)


def damage(folder: Path, draw) -> None:
    """Do one random harm to one random file of an artifact."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = draw(st.sampled_from(files))
    content = path.read_bytes()
    position = draw(st.integers(0, max(0, len(content) - 1)))
    kinds = ["truncate", "flip", "delete", "append", "noise", "swap", "folder"]
    match draw(st.sampled_from(kinds)):
        case "truncate":
            path.write_bytes(content[:position])
        case "flip":
            bit = 1 << draw(st.integers(0, 7))
            flipped = bytes([content[position] ^ bit]) if content else b""
            path.write_bytes(content[:position] + flipped + content[position + 1 :])
        case "delete":
            path.unlink()
        case "append":
            path.write_bytes(content + b"\0")
        case "noise":
            path.write_bytes(
                draw(st.binary(min_size=len(content), max_size=len(content)))
                if len(content) < 500
                else bytes(len(content))
            )
        case "swap":
            other = draw(st.sampled_from(files))
            path.write_bytes(other.read_bytes())
            other.write_bytes(content)
        case "folder":
            path.unlink()
            path.mkdir()


@given(st.data())
@settings(max_examples=250)
def test_a_damaged_artifact_gives_the_right_arrays_or_a_named_error(whole, data):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, whole.folder.name)
        shutil.copytree(whole.folder, folder)
        for _ in range(data.draw(st.integers(1, 2))):
            damage(folder, data.draw)
        try:
            artifact = Artifact(folder / "manifest.json")
            found = {name: artifact[name][...] for name in (*ARRAYS, "pixels")}
            facts = artifact.json("facts.json")
        except (ValueError, OSError):  # DamagedArtifact is a ValueError
            return
        for name, expected in (ARRAYS | {"pixels": PIXELS}).items():
            assert found[name].dtype == expected.dtype
            np.testing.assert_array_equal(found[name], expected)
        assert facts == {"classes": ["a", "b"]}
        assert artifact.rows == {"pixels": 40} or artifact.damaged(rehash=True) == []


def test_zarr_itself_reads_a_missing_chunk_as_fill(whole, tmp_path):
    """Why opening an artifact counts its files: without that a deleted chunk is its fill value."""
    folder = tmp_path / whole.folder.name
    shutil.copytree(whole.folder, folder)
    (folder / "data.zarr/part/labels/c/1").unlink()
    read = zarr.open_group(folder / "data.zarr", mode="r")["part/labels"][:]
    fill = np.iinfo(read.dtype).min  # no label; of floats NaN
    assert (read[ROWS_PER_CHUNK : 2 * ROWS_PER_CHUNK] == fill).all()
    with pytest.raises(ValueError, match="c/1 is missing"):
        Artifact(folder / "manifest.json")

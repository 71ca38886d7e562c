"""LoRA files of both namings, fused: the network then gives what low-rank layers beside it give."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.generators.text_to_image import generator as stage
from bood_tasks.generators.text_to_image import interface, lora
from bood_tasks.networks.pipelines import describe, require_sampler
from tests.generators import tiny_families

pytestmark = pytest.mark.usefixtures("nobodys_plan")

RANK, ALPHA, SCALE = 2, 6.0, 0.5
UNET = [
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0",
    "down_blocks.0.resnets.0.conv1",
]
TEXT = ["encoder.layers.0.self_attn.q_proj"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_families.save("sd-turbo", tmp_path_factory.mktemp("lora"))


@pytest.fixture
def pipe(folder):
    return interface.load(folder).pipe


def pairs(pipe):
    """Random (down, up) of some modules of a pipeline, by component and module."""
    random, found = torch.Generator().manual_seed(0), {}
    for part, names in (("unet", UNET), ("text_encoder", TEXT)):
        for name in names:
            weight = getattr(pipe, part).get_submodule(name).weight
            down = torch.randn(RANK, *weight.shape[1:], generator=random)
            up = torch.randn(len(weight), RANK, *[1] * (weight.ndim - 2), generator=random)
            found[part, name] = 0.3 * down, 0.3 * up
    return found


def kohya(found):
    start, state = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}, {}
    for (part, name), (down, up) in found.items():
        at = start[part] + name.replace(".", "_")
        state |= {f"{at}.lora_down.weight": down, f"{at}.lora_up.weight": up}
        state[f"{at}.alpha"] = torch.tensor(ALPHA)
    return state, {}


def peft(found):
    state = {}
    for (part, name), (down, up) in found.items():
        state |= {f"{part}.{name}.lora_A.weight": down, f"{part}.{name}.lora_B.weight": up}
    sizes = {part: {"r": RANK, "lora_alpha": ALPHA} for part in ("unet", "text_encoder")}
    flat = {f"{part}.{key}": value for part, own in sizes.items() for key, value in own.items()}
    return state, {"lora_adapter_metadata": json.dumps(flat)}


def beside(pipe, found):
    """The low-rank layers beside the modules, as training has them."""
    for (part, name), (down, up) in found.items():
        module = getattr(pipe, part).get_submodule(name)

        def add(module, inputs, output, down=down, up=up):
            if down.ndim == 2:
                more = F.linear(F.linear(inputs[0], down), up)
            else:
                more = F.conv2d(F.conv2d(inputs[0], down, padding=module.padding), up)
            return output + SCALE * ALPHA / RANK * more

        module.register_forward_hook(add)


def outputs(pipe):
    random = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, 8, 8, generator=random)
    with torch.no_grad():
        states = pipe.text_encoder(input_ids=torch.arange(16)[None])[0]
        return states, pipe.unet(x, torch.tensor(500), states).sample


@pytest.mark.parametrize("written", [kohya, peft])
def test_fused_weights_give_what_layers_beside_them_give(folder, pipe, tmp_path, written):
    import shutil

    found, copy = pairs(pipe), shutil.copytree(folder, tmp_path / "sd")
    state, metadata = written(found)
    save_file(state, tmp_path / "lora.safetensors", metadata)
    plain = outputs(pipe)
    lora.fuse_folder(copy, tmp_path / "lora.safetensors", SCALE)
    fused = outputs(interface.load(copy).pipe)
    beside(pipe, found)
    for was, got, want in zip(plain, fused, outputs(pipe), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
        assert (got - was).abs().max() > 1e-2


def test_a_change_of_a_module_that_is_not_there_is_refused(folder, pipe, tmp_path):
    found = {("unet", "input_blocks.1.1.to_q"): next(iter(pairs(pipe).values()))}
    save_file(kohya(found)[0], tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"1 of its 1 changes.*first input_blocks_1_1_to_q"):
        lora.fuse_folder(folder, tmp_path / "x.safetensors", 1.0)


def test_a_change_of_another_width_is_refused():
    change = {"a": lora.Change(torch.zeros(2, 5), torch.zeros(3, 2), 2.0)}
    with pytest.raises(ValueError, match=r"a is \[3, 4\], its change 3 x 5"):
        lora.fuse({"a.weight": torch.zeros(3, 4)}, change, 1.0)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"lora_unet_a.hada_w1_a": torch.zeros(1)}, r"plain LoRA.*hada_w1_a"),
        ({"base.a.lora_A.weight": torch.zeros(1, 1)}, r"plain LoRA"),
        ({"unet.a.lora_A.weight": torch.zeros(1, 1)}, r"lacks one for a of unet"),
        ({"unet.a.lora_A.weight": torch.full((1, 1), torch.nan)}, r"must be finite"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_name(tmp_path, state, message):
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=message):
        lora.read_lora(tmp_path / "x.safetensors")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"x\.safetensors must hold whole weights"):
        lora.read_lora(tmp_path / "x.safetensors")


def test_the_stages_leave_a_generator_with_the_lora_in_it(folder, pipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file(kohya(pairs(pipe))[0], tmp_path / "mine.safetensors")
    file = Spec("lora", "local", {"source": "local", "content": "c"}, {}, "mine.safetensors")
    settings = {"source": "local", "content": "d", "lora_scale": SCALE}
    spec = Spec("generator", "local", settings, {"lora": file}, str(folder))
    for each, main in ((file, lora.main), (spec, stage.main)):
        inputs = [str(item.manifest) for item in each.upstream()]
        main(["--in", *inputs, "--out", each.manifest, "--source", each.source,
              "--spec", to_json(each.identity())])  # fmt: skip
    made = Artifact(spec.manifest).folder / "pipeline"
    assert describe(made).adapted
    require_sampler(describe(made), "lcm", 4, "x")
    name = f"{UNET[0]}.weight"
    (file,) = (made / "unet").glob("*.safetensors")
    assert not torch.equal(load_file(file)[name], pipe.unet.state_dict()[name])

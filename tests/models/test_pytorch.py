import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from simnb.models import embed, from_torch

torch = pytest.importorskip("torch", reason='PyTorch modules need PyTorch: pip install "simnb[torch]"')

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
NUMBERS = {"mean": MEAN, "std": STD}


def seeded(make):
    """A module with weights of its own, and the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def flat(sides=(8, 6), dropout=0.0):
    dense = seeded(lambda: torch.nn.Linear(3 * sides[0] * sides[1], 5))
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(dropout), dense)


def pixels(height=8, width=6, count=5):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def unit(vectors):
    vectors = np.asarray(vectors.detach().float(), dtype="float64")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def normalized(images):
    return torch.tensor((images / 255 - MEAN) / STD).permute(0, 3, 1, 2).float()


def test_a_module_embeds_pixels_of_its_mean_and_deviation_whatever_their_type_and_the_batch_size():
    module, images = flat(), pixels()
    model, wanted = from_torch(module, **NUMBERS), unit(module(normalized(images)))
    embeddings = embed(model, images)
    assert (embeddings.shape, embeddings.dtype) == ((5, 5), np.float32)
    np.testing.assert_allclose(embeddings, wanted, atol=1e-5)
    np.testing.assert_allclose(embed(model, images.astype("float64"), batch_size=2), wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(model(images), axis=1), 1, atol=1e-5)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_module_is_in_evaluation_mode_also_if_it_was_trained_meanwhile():
    model = from_torch(flat(dropout=0.5), **NUMBERS)
    wanted = embed(model, pixels())
    model.module.train()
    np.testing.assert_array_equal(embed(model, pixels()), wanted)


def test_images_are_resized_to_cover_the_size_and_cut_out_in_the_middle():
    seen = []
    model = from_torch(
        flat(), **NUMBERS, image_size=(8, 6), forward=lambda _, x: seen.append(x) or x.mean((2, 3))
    )
    model(pixels(32, 20))  # covered by 9.6 x 6
    image = pixels(32, 20)[0].astype("float32") / 255
    channels = [
        Image.fromarray(channel).resize((6, 9), Image.Resampling.BICUBIC)
        for channel in np.moveaxis(image, 2, 0)
    ]
    wanted = np.clip(np.stack([np.asarray(channel) for channel in channels], 2), 0, 1)[0:8]
    np.testing.assert_allclose(seen[0][:1], normalized(255 * wanted[None]), atol=1e-4)


def test_resizing_covers_to_the_pixel():
    seen = []
    options = {"image_size": (49, 49), "forward": lambda _, x: seen.append(x) or x.mean((2, 3))}
    from_torch(flat(), **NUMBERS, **options)(pixels(15, 3))  # 15 * (49 / 3) is below 245 in floats
    image = pixels(15, 3)[0, :, :, 0].astype("float32") / 255
    covering = Image.fromarray(image).resize((49, 245), Image.Resampling.BICUBIC)
    wanted = np.clip(np.asarray(covering)[98:147], 0, 1)
    np.testing.assert_allclose(seen[0][0, 0], (wanted - MEAN[0]) / STD[0], atol=1e-4)


def test_a_map_is_averaged_and_other_outputs_need_a_forward():
    convolution = seeded(lambda: torch.nn.Conv2d(3, 4, 3))
    wanted = convolution(normalized(pixels()))
    np.testing.assert_allclose(
        embed(from_torch(convolution, **NUMBERS), pixels()), unit(wanted.mean((2, 3))), atol=1e-5
    )
    tokens = torch.nn.Sequential(convolution, torch.nn.Flatten(2))
    with pytest.raises(
        ValueError, match=r"one vector per image, .* got \(5, 4, 24\) for 5; say what to take"
    ):
        embed(from_torch(tokens, **NUMBERS), pixels())
    taken = from_torch(tokens, **NUMBERS, forward=lambda module, x: module(x)[..., 0])
    np.testing.assert_allclose(embed(taken, pixels()), unit(wanted[:, :, 0, 0]), atol=1e-5)


def test_half_precision_is_near_and_given_up_where_it_overflows():
    module = flat()
    wanted = unit(module(normalized(pixels())))
    near = from_torch(module, **NUMBERS, half=True)
    embeddings = embed(near, pixels())
    assert near.half
    assert 1e-7 < np.abs(embeddings - wanted).max() < 1e-2
    with torch.no_grad():
        module[2].weight *= 1e7
        module[2].bias *= 1e7
    far = from_torch(module, **NUMBERS, half=True)
    np.testing.assert_allclose(embed(far, pixels()), wanted, atol=1e-5)
    assert not far.half
    model = from_torch(module, **NUMBERS)
    assert model.half == (model.device.type == "cuda")


def test_weights_in_16_bits_get_pixels_in_16_bits():
    wanted = unit(flat()(normalized(pixels())))
    embeddings = embed(from_torch(flat().bfloat16(), **NUMBERS, device="cpu"), pixels())
    np.testing.assert_allclose(embeddings, wanted, atol=2e-2)


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet"])
def test_a_module_of_timm_embeds_by_its_own_transform_and_pooling(architecture):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    module = seeded(lambda: timm.create_model(architecture, num_classes=7)).eval()
    model, images = from_torch(module), pixels(70, 90, count=2)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module), is_training=False)
    ready = torch.stack([transform(Image.fromarray(image)) for image in images])
    features = module.forward_features(ready)
    wanted = features[:, 0] if features.ndim == 3 else features.mean((2, 3))
    if architecture == "test_vit":
        wanted = module.fc_norm(wanted)
    np.testing.assert_allclose(embed(model, images), unit(wanted), atol=1e-4)
    np.testing.assert_allclose(embed(model, images.astype("float32")), unit(wanted), atol=1e-4)
    assert model.name.startswith(architecture)
    small = from_torch(module, image_size=(32, 32)) if architecture == "test_resnet" else None
    assert small is None or embed(small, images).shape == (2, wanted.shape[1])


def transformers_model(kind):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**size, "image_size": 16, "patch_size": 8, "intermediate_size": 24}
    if kind == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**size, image_size=16, patch_size=8))
    if kind == "siglip":
        return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**vision))
    text = {**size, "vocab_size": 9, "intermediate_size": 24}
    return transformers.CLIPModel(
        transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=6)
    )


FEATURES = {
    "dinov2": lambda module, x: module(pixel_values=x).last_hidden_state[:, 0],
    "siglip": lambda module, x: module(pixel_values=x).pooler_output,
    "clip": lambda module, x: module.visual_projection(module.vision_model(pixel_values=x).pooler_output),
}


@pytest.mark.parametrize("kind", FEATURES)
def test_a_module_of_transformers_embeds_by_its_own_processor(kind):
    module = seeded(lambda: transformers_model(kind)).eval()
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    images = pixels(33, 20)
    ready = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt").pixel_values
    model = from_torch(module, preprocess=processor)
    assert ready.shape == (5, 3, 16, 16)
    np.testing.assert_allclose(embed(model, images), unit(FEATURES[kind](module, ready)), atol=1e-4)
    numbers = from_torch(module, mean=processor.image_mean, std=processor.image_std)
    for_both = SimpleNamespace(image_processor=processor)  # such as a CLIPProcessor
    np.testing.assert_array_equal(
        embed(from_torch(module, preprocess=for_both), images), embed(model, images)
    )
    exact = pixels(16, 16)
    np.testing.assert_allclose(embed(numbers, exact), embed(model, exact), atol=1e-4)


def test_vit_without_weights_of_its_pooler_is_embedded_the_same_each_time_it_is_loaded(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.ViTConfig(**size, image_size=16, patch_size=8)
    module = seeded(lambda: transformers.ViTModel(config, add_pooling_layer=False)).eval()
    module.save_pretrained(tmp_path / "mine")
    wanted = unit(module(pixel_values=normalized(pixels(16, 16))).last_hidden_state[:, 0])
    loaded = [seeded(lambda: transformers.ViTModel.from_pretrained(tmp_path / "mine"))]
    loaded.append(transformers.ViTModel.from_pretrained(tmp_path / "mine"))
    for module in loaded:
        model = from_torch(module, **NUMBERS)
        np.testing.assert_allclose(embed(model, pixels(16, 16)), wanted, atol=1e-5)
        assert model.name == "mine"  # not the folder's place
    assert not torch.equal(loaded[0].pooler.dense.weight, loaded[1].pooler.dense.weight)


def test_timms_processor_of_transformers_is_one_though_it_has_no_mean_of_its_own():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    timm = pytest.importorskip("timm", reason="timm is not installed")
    module = seeded(lambda: timm.create_model("test_resnet", num_classes=0))
    processor = transformers.TimmWrapperImageProcessor(pretrained_cfg=module.pretrained_cfg)
    assert not hasattr(processor, "image_mean")
    by_itself = embed(from_torch(module), pixels(70, 90, count=2))
    given = from_torch(module, preprocess=processor)
    np.testing.assert_allclose(embed(given, pixels(70, 90, count=2)), by_itself, atol=1e-5)


def test_a_digest_tells_weights_apart_and_a_file_of_embeddings_asks_for_a_name_and_keeps_it(tmp_path):
    models = [from_torch(flat(), **NUMBERS) for _ in range(3)]
    with torch.no_grad():
        models[2].module[2].bias[4] += 1
    digests = [model.digest for model in models]
    assert digests[0] == digests[1] != digests[2]
    assert from_torch(flat().bfloat16(), **NUMBERS).digest not in digests
    file = tmp_path / "features.sqlite"
    with pytest.raises(ValueError, match=r"kept needs known_as=\.\.\., a name of this embedder .* got Torch"):
        embed(models[0], pixels(), kept=file)
    embed(models[0], pixels(), kept=file, known_as="mine")
    np.testing.assert_array_equal(
        embed(models[1], pixels(), kept=file, known_as="mine"), embed(models[0], pixels())
    )
    with pytest.raises(ValueError, match=rf"another embedder: mine, {digests[0]}, while this one is mine, "):
        embed(models[2], pixels(), kept=file, known_as="mine")


@pytest.mark.parametrize("wrong", [256, -1, np.nan, np.inf])
def test_pixels_beyond_the_range_are_refused_in_every_batch_and_way(wrong):
    images = pixels().astype("float32")
    images[4, 0, 0, 0] = wrong
    to_tensor = {"preprocess": lambda image: torch.tensor(np.asarray(image) / 255).permute(2, 0, 1).float()}
    for way in (NUMBERS, to_tensor):
        with pytest.raises(ValueError, match=r"images must be finite .* 0 to 255, got float32 of .*: scale"):
            embed(from_torch(flat(), **way), images, batch_size=4)


def test_pixels_of_16_bits_are_refused_and_what_rounds_to_a_level_is_taken():
    with pytest.raises(ValueError, match=r"got int64 of \d+ to \d+: scale them, such as images / 257"):
        embed(from_torch(flat(), **NUMBERS), pixels().astype("int64") * 257)
    images, model = pixels().astype("float32"), from_torch(flat(), **NUMBERS)
    images[0, 0, 0], images[0, 1, 1] = -0.1, 255.1
    assert np.isfinite(embed(model, images)).all()


def test_a_function_chains_a_head_of_keras_to_a_module():
    embedder, features = from_torch(flat(), **NUMBERS), keras.Input((5,))
    head = keras.Model(features, keras.layers.Dense(3, use_bias=False)(features))
    wanted = unit(torch.tensor(embedder(pixels()) @ keras.ops.convert_to_numpy(head.weights[0])))
    embeddings = embed(lambda images: head(embedder(images)), pixels())
    np.testing.assert_allclose(embeddings, wanted, atol=1e-5)


def test_a_model_of_open_clip_embeds_by_its_own_transform():
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    text = {"context_length": 4, "vocab_size": 9, "width": 16, "heads": 2, "layers": 1}
    module = seeded(lambda: open_clip.CLIP(6, vision, text)).eval()
    transform = open_clip.image_transform(16, is_train=False)
    images = pixels(33, 20)
    ready = torch.stack([transform(Image.fromarray(image)) for image in images])
    embeddings = embed(from_torch(module, preprocess=transform), images)
    np.testing.assert_allclose(embeddings, unit(module.encode_image(ready)), atol=1e-4)


def test_bad_input_is_named(monkeypatch):
    with pytest.raises(ValueError, match=r"module must be a torch.nn.Module, got str"):
        from_torch("vit_small", **NUMBERS)
    with pytest.raises(
        ValueError, match=r"Sequential does not say how pixels .*: pass preprocess=, .* or mean="
    ):
        from_torch(flat(), mean=MEAN)
    with pytest.raises(ValueError, match=r"preprocess does what mean, std would: pass the one or the other"):
        from_torch(flat(), **NUMBERS, preprocess=lambda image: image)
    with pytest.raises(ValueError, match=r"std must be a number above 0 and at most 1, got 57"):
        from_torch(flat(), mean=MEAN, std=[57, 57, 57])
    cfg = {"pretrained_cfg": {"input_size": (3, 8, 6)}}  # of timm
    for module in (flat(), seeded(lambda: type("OfTimm", (torch.nn.Flatten,), cfg)())):
        with pytest.raises(ValueError, match=r"mean must have a number for each channel, .* got 0.5"):
            from_torch(module, mean=0.5, std=STD)
        with pytest.raises(ValueError, match=r"mean must be a number from 0 to 1, got 124"):
            from_torch(module, mean=[124, 116, 104])
        with pytest.raises(ValueError, match=r"mean and std must have the same length, got 3 and 2"):
            from_torch(module, mean=MEAN, std=STD[:2])
    with pytest.raises(ValueError, match=r"images must have 3 channels, as mean has, got 1"):
        embed(from_torch(flat(), **NUMBERS), pixels()[..., :1])
    with pytest.raises(ValueError, match=r"images must have 3 channels here, got 1; np.repeat"):
        embed(from_torch(flat(), preprocess=lambda image: image), pixels()[..., :1])
    with pytest.raises(ValueError, match=r"images must have values of 0 to 255 here, got float64 of 0 to 1"):
        embed(from_torch(flat(), **NUMBERS), pixels() / 255)
    for name in (5, "", Path("weights")):
        with pytest.raises(ValueError, match=r"name must be a text, such as .*, got "):
            from_torch(flat(), **NUMBERS, name=name)
    for wrong, got in {"no tensor": "str", torch.zeros(3, 8, 6): r"\(3, 8, 6\) and str"}.items():
        given = iter([wrong, "no tensor"])
        with pytest.raises(ValueError, match=rf"preprocess must make tensors of one shape, .* got {got}$"):
            embed(from_torch(flat(), preprocess=lambda image, given=given: next(given)), pixels(count=2))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r'from_torch needs PyTorch: pip install "simnb\[torch\]"'):
        from_torch(None)

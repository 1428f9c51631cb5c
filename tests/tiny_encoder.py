"""An encoder of a few thousand random weights with its own tokenizer, and questions for it, made in a second."""

import json

TEXTS = (
    ("The river Otter flows past Sidmouth into the sea at Budleigh.", "Where does the Otter end?", "the sea"),
    ("In 1969 two people walked on the Moon, and 600 million watched.", "When was the walk?", "1969"),
    ("A mole of gas fills 22.4 litres at standard conditions of pressure.", "How much is it?", "22.4 litres"),
    ("Ada Lovelace wrote the first program; Babbage built the engine.", "Who built it?", "Babbage"),
)


def write_encoder(folder, dropout=0.1, layers=2):
    """A two-layer BERT of width 16 over a word-piece vocabulary of single characters and some words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    words = ["the", "of", "in", "was", "and", "moon", "river", "who", "when"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), *words]
    made = Tokenizer(models.WordPiece({piece: k for k, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", pieces.index("[CLS]")), ("[SEP]", pieces.index("[SEP]"))],
    )
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, model_input_names=["input_ids", "token_type_ids", "attention_mask"], **special
    ).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=256,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def write_questions(path, repeat=1):
    """`repeat` copies of four questions in SQuAD format."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": f"{copy}-{number}",
                    "question": question,
                    "answers": [{"text": answer, "answer_start": context.index(answer)}],
                }
            ],
        }
        for copy in range(repeat)
        for number, (context, question, answer) in enumerate(TEXTS)
    ]
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8")
    return path

"""A Hugging Face model, untrained and small, on tensors by name: which of two tokens a sentence has more of."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from tngd_bench.problems import problem_of

LENGTH, WORDS = 16, 20


def sentences(count, generator):
    """Return inputs by the names of the model's arguments, and labels."""
    tokens = torch.randint(2, WORDS, (count, LENGTH), generator=generator)
    labels = torch.randint(0, 2, (count,), generator=generator)
    places = torch.rand(count, LENGTH, generator=generator)
    tokens = torch.where(places < 0.4, labels.unsqueeze(1), tokens)
    tokens = torch.where(places > 0.8, 1 - labels.unsqueeze(1), tokens)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, labels


def data():
    """Return the training and the test part, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return sentences(600, generator), sentences(200, generator)


def model(width):
    """Return one layer of two heads; a pretrained model is `from_pretrained(FOLDER)` here, without the argument."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS,
            hidden_size=16,
            intermediate_size=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


ENTRY = problem_of("majority-bert", model, data, outputs=2, title="Majority token, BERT")

"""Model classes as users have them, for tests of `model_class`."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BertModel, BertPreTrainedModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanOfTokens(BertPreTrainedModel):
    """BERT under a head that sees the mean of its tokens."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        tokens = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        means = (tokens * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return answer(self.classifier(means), labels)


class BagConfig(PreTrainedConfig):
    model_type = "bag-of-embeddings"

    def __init__(self, vocab_size: int = 29, width: int = 8, **fields: Any) -> None:
        self.vocab_size, self.width = vocab_size, width
        super().__init__(**fields)


class BagOfEmbeddings(PreTrainedModel):
    """The mean of embeddings, with a config of its own."""

    config_class = BagConfig
    base_model_prefix = "embeddings"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = torch.nn.EmbeddingBag(config.vocab_size, config.width)
        self.head = torch.nn.Linear(config.width, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        return answer(self.head(self.embeddings(input_ids)), labels)


def answer(logits: torch.Tensor, labels: torch.Tensor | None) -> SequenceClassifierOutput:
    loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
    return SequenceClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]

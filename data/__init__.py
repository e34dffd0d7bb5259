"""Text and tokens: quotes, splits, the tokenizer contract, batches, prompts, the shipped corpora and nano weights."""

"""Pretrained checkpoints: loading, heads, LoRA, saving, and their checks."""
